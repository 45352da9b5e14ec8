"""Score a data set from what a user typed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.data.publish import check_not_input, check_output
from prcli.errors import RequestError
from prcli.records import Progress, no_progress
from prcli.workflows.frames import Frames
from prcli.workflows.hessian_options import HessianOptions, override
from prcli.workflows.inputs import DataArgument, InputOptions, load_hessian, open_input, paths_of
from prcli.workflows.score import Per, Scores, check_scorable, score
from prcli.workflows.score_table import Order, chosen_rows, score_columns, score_table
from prcli.workflows.score_write import write_scored

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoreRequest:
    """Everything that decides a table of scores.

    Attributes
    ----------
    hessian : path or HessianRecord
    data : tuple of DataArgument
    per : {"structure", "atom", "force", "stress"}
    order : {"rank", "file"}
    top : int, optional
        Only so many of the least rigid.
    below : float, optional
        Only those of lower rigidity.
    write : str, optional
        Structure file to write with rigidities added.
    structures : tuple of path
        Structure files in place of those that the stores name.
    hessian_options : HessianOptions
        Numbers in place of those stored.
    inputs : InputOptions
    overwrite : bool
    """

    hessian: str | Path | HessianRecord
    data: tuple[DataArgument, ...]
    per: Per = "structure"
    order: Order = "rank"
    top: int | None = None
    below: float | None = None
    write: str | None = None
    structures: tuple[str | Path, ...] = ()
    hessian_options: HessianOptions = field(default_factory=HessianOptions)
    inputs: InputOptions = field(default_factory=InputOptions)
    overwrite: bool = False


class ScoreRun:
    """A scoring under way; use it in a ``with`` block, which opens and closes the data.

    Parameters
    ----------
    request : ScoreRequest
    progress : callable
    """

    scores: Scores
    data: Dataset
    record: HessianRecord

    def __init__(self, request: ScoreRequest, progress: Progress = no_progress) -> None:
        if request.top is not None and request.top < 1:
            raise RequestError("--top must be at least 1", got=str(request.top))
        if request.below is not None and np.isnan(request.below):
            raise RequestError("--below must be a number", got="nan")
        self._request = request
        self._progress = progress
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Open and check everything before long work starts."""
        request = self._request
        if request.write is not None:
            _check_write(request)
        with ExitStack() as stack:
            self.record = override(load_hessian(request.hessian), request.hessian_options)
            self.data = stack.enter_context(open_input(request.data, "scored", request.inputs))
            check_scorable(self.record, self.data, request.per)
            self._frames = None
            if request.write is not None:
                self._frames = Frames(self.data, request.structures)
                check_not_input(request.write, self._frames.paths.values())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the data."""
        self._stack.close()

    def run(self) -> Scores:
        """Compute the rigidities, and write the structures where that was asked for."""
        request = self._request
        self.scores = score(self.record, self.data, request.per, self._progress)
        if self.scores.n_infinite:
            logger.warning("%d rows are zero and have infinite rigidity", self.scores.n_infinite)
        if request.write is not None and self._frames is not None:
            write_scored(
                request.write,
                self.scores,
                self.data,
                self._frames,
                overwrite=request.overwrite,
                progress=self._progress,
            )
        self._rows = chosen_rows(self.scores, request.order, top=request.top, below=request.below)
        return self.scores

    @property
    def n_rows(self) -> int:
        """Rows that were scored."""
        return len(self.scores.rigidity)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the table."""
        return score_columns(self.scores, self.record)

    def table(self) -> Iterator[Mapping[str, NDArray[np.generic]]]:
        """Yield the table in batches."""
        return score_table(self.scores, self.data, self.columns, self._rows)


def _check_write(request: ScoreRequest) -> None:
    """Refuse an output that cannot be written, or that is read."""
    path = str(request.write)
    if request.per == "stress":
        raise RequestError(
            "rigidities of stresses cannot be written into frames",
            where="--write",
            expected="--per structure, --per atom or --per force",
            remedy="take them from the table on stdout",
        )
    if path == "-" or path.endswith((".gz", ".bz2", ".xz")):
        raise RequestError(
            "scored structures can be written to a plain file only",
            where="--write",
            expected="the name of an extxyz file",
            got=path,
            remedy="stdout carries the table; compress the file afterwards",
        )
    check_output(path, request.overwrite)
    hessian = () if isinstance(request.hessian, HessianRecord) else (request.hessian,)
    check_not_input(path, [*hessian, *paths_of(request.data)])
