"""Frames copied with their rigidities added."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from prcli.data.annotation import add_column, annotate
from prcli.data.dataset import Dataset
from prcli.data.extxyz import join_frames
from prcli.data.publish import publish_file
from prcli.records import Progress, no_progress
from prcli.workflows.frames import Frames
from prcli.workflows.relative import Relative
from prcli.workflows.scores import Scores


def write_scored(
    path: str,
    scores: Scores,
    data: Dataset,
    frames: Frames,
    *,
    relative: Relative | None = None,
    first: int = 0,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> None:
    """Copy all frames with their rigidities added, in the order of the set.

    Structures get ``prcli_pr=`` (and ``prcli_sigma=`` from a calibrated Hessian) in the
    comment line, atoms a column ``prcli_lpr``, or ``prcli_force_pr`` of three numbers where
    forces are scored, nan in frames without force rows; components are vectors ``prcli_cpr`` and
    columns ``prcli_lcpr`` of a number per block. Every other byte stays.

    Parameters
    ----------
    path : str
    scores : Scores
        Of anything but stresses.
    data : Dataset
    frames : Frames
        Of `data`, or of a set that it is a share of.
    relative : Relative, optional
        Adds ``prcli_relative_pr`` (and with a window ``prcli_relative_pr_average``), or a column
        ``prcli_relative_lpr``.
    first : int
        Where in that set it begins.
    overwrite : bool
    progress : callable
    """
    with publish_file(path, overwrite) as temporary, open(temporary, "wb") as file:
        for content in join_frames(_scored_frames(scores, data, frames, relative, first, progress)):
            file.write(content)
    frames.say_converted()


def _scored_frames(
    scores: Scores,
    data: Dataset,
    frames: Frames,
    relative: Relative | None,
    first: int,
    progress: Progress,
) -> Iterator[bytes]:
    contents = frames.copy(range(first, first + data.n_structures))
    for i, content in enumerate(contents):
        where = f"{data.label}, structure {first + i}"
        content = _scored_frame(content, scores, i, int(data.n_atoms[i]), where)
        yield content if relative is None else _related(content, scores, relative, i, where)
        progress("write", i + 1, data.n_structures)


def _scored_frame(content: bytes, scores: Scores, index: int, n_atoms: int, where: str) -> bytes:
    """Add the rigidities of one structure to its frame."""
    start, stop = scores.offsets[index : index + 2].tolist()
    rigidity = scores.rigidity[start:stop]
    if scores.per == "atom":
        return add_column(content, "prcli_lpr", rigidity, overwrite=True, where=where)
    if scores.per == "atom-component":
        parts = rigidity.reshape(n_atoms, scores.n_components)
        return add_column(content, "prcli_lcpr", parts, overwrite=True, where=where)
    if scores.per == "component":
        return annotate(content, {"prcli_cpr": rigidity}, overwrite=True, where=where)
    if scores.per == "force":
        # All frames have the same columns, whether or not they have rows.
        forces = rigidity.reshape(-1, 3) if len(rigidity) else np.full((n_atoms, 3), np.nan)
        return add_column(content, "prcli_force_pr", forces, overwrite=True, where=where)
    values = {"prcli_pr": float(rigidity[0])}
    if scores.alpha is not None:
        values["prcli_sigma"] = float(scores.alpha / np.sqrt(rigidity[0]))
    return annotate(content, values, overwrite=True, where=where)


def _related(content: bytes, scores: Scores, relative: Relative, index: int, where: str) -> bytes:
    """Add the relative rigidities of one structure to its frame."""
    start, stop = scores.offsets[index : index + 2].tolist()
    values = scores.rigidity[start:stop] / relative.mean
    name = f"prcli_{relative.name}"
    if scores.per == "atom":
        return add_column(content, name, values, overwrite=True, where=where)
    keys = {name: float(values[0])}
    if relative.average is not None:
        keys[f"{name}_average"] = float(relative.average[index])
    return annotate(content, keys, overwrite=True, where=where)
