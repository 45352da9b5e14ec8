"""Embed environments from what a user typed, and write what came of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from prcli.data.publish import check_not_input, check_output, publish_file
from prcli.data.slices import split_slice
from prcli.data.tables import TableFormat, write_table
from prcli.errors import RequestError
from prcli.records import Progress, no_progress
from prcli.workflows.embed import embed
from prcli.workflows.embed_output import embedding_columns, embedding_table, write_embedded
from prcli.workflows.embed_request import EmbedRequest
from prcli.workflows.embedding import Embedding


@dataclass(frozen=True)
class EmbedOutput:
    """Where small structures and their table go.

    Attributes
    ----------
    structures : str, optional
        extxyz file.
    table : str, optional
        File of the table.
    table_format : {"tsv", "csv", "jsonl"}
    overwrite : bool
    """

    structures: str | None = None
    table: str | None = None
    table_format: TableFormat = "tsv"
    overwrite: bool = False


def run_embedding(
    request: EmbedRequest, output: EmbedOutput, progress: Progress = no_progress
) -> Embedding:
    """Build small structures, and write those files that were asked for.

    Parameters
    ----------
    request : EmbedRequest
    output : EmbedOutput
    progress : callable

    Returns
    -------
    embedding : Embedding

    Raises
    ------
    PrcliError
        As `embed`, and before any work if an output cannot be written.
    """
    paths = [path for path in (output.structures, output.table) if path is not None]
    for path in paths:
        check_output(path, output.overwrite)
        check_not_input(path, _inputs(request))
    if len({os.path.realpath(path) for path in paths}) < len(paths):
        raise RequestError(
            "structures and table would go to the same file", where="-o and --table", got=paths[0]
        )
    embedding = embed(request, progress)
    if output.structures is not None:
        write_embedded(output.structures, embedding, output.overwrite)
    if output.table is not None:
        columns = embedding_columns(embedding)
        with (
            publish_file(output.table, output.overwrite) as temporary,
            open(temporary, "w", encoding="utf-8") as file,
        ):
            write_table(file, output.table_format, columns, [embedding_table(embedding)])
    return embedding


def _inputs(request: EmbedRequest) -> list[str]:
    """Files that are read."""
    structures = (request.structure, request.crystal)
    named = [split_slice(os.fspath(s))[0] for s in structures if isinstance(s, (str, Path))]
    others = (request.lpr, request.hessian, request.inputs.featurizer)
    return named + [os.fspath(path) for path in others if isinstance(path, (str, Path))]
