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
from prcli.data.shards import Shard, take_shard
from prcli.errors import RequestError
from prcli.records import Progress, no_progress
from prcli.workflows.frames import Frames
from prcli.workflows.hessian_options import HessianOptions, override
from prcli.workflows.inputs import DataArgument, InputOptions, load_hessian, open_input, paths_of
from prcli.workflows.score import Per, Scores, alpha_of, check_scorable, score_rows
from prcli.workflows.score_table import Limits, Order, chosen_rows, score_columns, score_table
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
    shard : Shard, optional
        Only this share of the structures, without ranks, which are those of the whole.
    order : {"rank", "file"}, optional
        By default by rank, and of a shard as in the files.
    top : int, optional
        Only so many of the least rigid.
    limits : Limits
        Only rows whose rigidity or σ is lower or higher.
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
    shard: Shard | None = None
    order: Order | None = None
    top: int | None = None
    limits: Limits = field(default_factory=Limits)
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
        if request.shard is not None:
            _check_unranked(request, request.shard)
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
            data = open_input(
                request.data,
                "scored",
                request.inputs,
                needs_atoms=request.per == "atom",
                needs_gradients=request.per in ("force", "stress"),
                per=request.per,
                records=[self.record],
                reserved=_other_files(request),
                progress=self._progress,
            )
            whole = stack.enter_context(data)
            check_scorable(self.record, whole, request.per)
            self.data, self._first = take_shard(whole, request.shard)
            if request.limits.of_sigma:
                _check_calibrated(self.record, request)
            self._frames = None
            if request.write is not None:
                self._frames = Frames(whole, request.structures)
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
        self.scores = score_rows(self.record, self.data, request.per, self._progress)
        if self.scores.n_infinite:
            logger.warning("%d rows are zero and have infinite rigidity", self.scores.n_infinite)
        if request.write is not None and self._frames is not None:
            write_scored(
                request.write,
                self.scores,
                self.data,
                self._frames,
                first=self._first,
                overwrite=request.overwrite,
                progress=self._progress,
            )
        order = request.order or ("rank" if request.shard is None else "file")
        self._rows = chosen_rows(self.scores, order, top=request.top, limits=request.limits)
        return self.scores

    @property
    def n_rows(self) -> int:
        """Rows that were scored."""
        return len(self.scores.rigidity)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the table."""
        names = score_columns(self.scores, self.record)
        unknown = () if self._request.shard is None else ("rank",)
        return tuple(name for name in names if name not in unknown)

    def table(self) -> Iterator[Mapping[str, NDArray[np.generic]]]:
        """Yield the table in batches."""
        return score_table(self.scores, self.data, self.columns, self._rows, self._first)


def _check_unranked(request: ScoreRequest, shard: Shard) -> None:
    """Refuse what needs the ranks of the whole set."""
    named = "--order rank" if request.order == "rank" else "--top" if request.top else None
    if named is not None:
        raise RequestError(
            "ranks are known only of a whole set",
            where=f"--shard {shard}, {named}",
            expected="the order of the files",
            remedy="sort what all shards have written, or limit each with --below",
        )


def _check_calibrated(record: HessianRecord, request: ScoreRequest) -> None:
    """Refuse limits on σ where it is not known."""
    if alpha_of(record, request.per) is None:
        kind = {"force": "force", "stress": "stress"}.get(request.per, "energy")
        raise RequestError(
            "sigma is not known, since the Hessian is not calibrated",
            where="--below-sigma or --above-sigma",
            expected=f"alpha_{kind} in the Hessian",
            remedy="run prcli calibrate on a validation set, or limit the rigidity with --below "
            "and --above",
        )


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
    check_not_input(path, [*_hessian_files(request), *paths_of(request.data)])


def _other_files(request: ScoreRequest) -> list[str | Path]:
    """Files beside the data that are read or written."""
    written = [] if request.write is None else [request.write]
    return [*_hessian_files(request), *request.structures, *written]


def _hessian_files(request: ScoreRequest) -> list[str | Path]:
    return [] if isinstance(request.hessian, HessianRecord) else [request.hessian]
