"""Score a data set from what a user typed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.data.publish import check_not_input
from prcli.data.shards import take_shard
from prcli.errors import RequestError
from prcli.records import ALONE, Communicator, Progress, no_progress
from prcli.wording import counted
from prcli.workflows.frames import Frames
from prcli.workflows.health import say_health
from prcli.workflows.hessian_options import override
from prcli.workflows.inputs import (
    load_hessian,
    open_inputs,
)
from prcli.workflows.model import warn_about_zero
from prcli.workflows.rank_limits import check_ranks
from prcli.workflows.relative import (
    Relation,
    Relative,
    mean_of_first,
    mean_rigidity,
)
from prcli.workflows.score import check_scorable, score_rows
from prcli.workflows.score_request import (
    ScoreRequest,
    check_calibrated,
    check_unranked,
    check_write,
    input_sets,
    other_files,
)
from prcli.workflows.score_table import chosen_rows, score_columns, score_table
from prcli.workflows.score_write import write_scored
from prcli.workflows.scores import ScorePer, Scores

__all__ = ["ScoreRequest", "ScoreRun"]

logger = logging.getLogger(__name__)

#: What rows are called in sentences.
_NOUNS: dict[ScorePer, str] = {
    "structure": "structures",
    "atom": "atoms",
    "force": "components of forces",
    "stress": "components of stresses",
    "component": "components of structures",
    "atom-component": "components of atoms",
}


class ScoreRun:
    """A scoring under way; use it in a ``with`` block, which opens and closes the data.

    Parameters
    ----------
    request : ScoreRequest
    progress : callable
    communicator : Communicator
        Ranks divide the structures among them; rank 0 has the scores, and writes.

    Attributes
    ----------
    scores : Scores
    relative : Relative or None
    data : Dataset
    record : HessianRecord
    """

    scores: Scores
    relative: Relative | None = None
    data: Dataset
    record: HessianRecord

    def __init__(
        self,
        request: ScoreRequest,
        progress: Progress = no_progress,
        communicator: Communicator = ALONE,
    ) -> None:
        if request.top is not None and request.top < 1:
            raise RequestError("--top must be at least 1", got=str(request.top))
        if request.shard is not None:
            check_unranked(request, request.shard)
        if request.relative is not None:
            request.relative.check(request.per)
        check_ranks(communicator, request.data, request.inputs, request.shard)
        self._communicator = communicator
        self._request = request
        self._progress = progress
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Open and check everything before long work starts."""
        request = self._request
        writes = request.write is not None and self._communicator.rank == 0
        if writes:
            check_write(request)
        with ExitStack() as stack:
            self.record = override(load_hessian(request.hessian), request.hessian_options)
            opened = open_inputs(
                input_sets(request.data, request.per, request.relative),
                request.inputs,
                records=[self.record],
                reserved=other_files(request),
                progress=self._progress,
            )
            for data in opened:
                check_scorable(self.record, stack.enter_context(data), request.per)
            whole, *references = opened
            self._reference = references[0] if references else None
            if request.relative is not None:
                request.relative.check(request.per, whole.n_structures)
            self.data, self._first = take_shard(whole, request.shard)
            if request.limits.of_sigma:
                check_calibrated(self.record, request)
            self._frames = None
            if request.write is not None and writes:
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
        self.scores = score_rows(
            self.record, self.data, request.per, self._progress, self._communicator
        )
        self._relate()
        warn_about_zero(self.record, request.per)
        if self.scores.n_infinite:
            n = self.scores.n_infinite
            are, have = ("is", "has") if n == 1 else ("are", "have")
            logger.warning("%s %s zero and %s infinite rigidity", counted(n, "row"), are, have)
        if self.scores.health is not None:
            say_health(self.scores.health, _NOUNS[request.per])
        if request.write is not None and self._frames is not None:
            write_scored(
                request.write,
                self.scores,
                self.data,
                self._frames,
                relative=self.relative,
                first=self._first,
                overwrite=request.overwrite,
                progress=self._progress,
            )
        ranked = request.shard is None and request.relative is None
        order = request.order or ("rank" if ranked else "file")
        self._rows = chosen_rows(self.scores, order, top=request.top, limits=request.limits)
        return self.scores

    def _relate(self) -> None:
        """Relate the rigidities to a reference, where one was given; rank 0 has them."""
        options, reference = self._request.relative, self._reference
        if options is None:
            return
        mean = None
        if reference is not None:
            scores = score_rows(
                self.record, reference, self._request.per, no_progress, self._communicator
            )
            if self._communicator.rank == 0:
                mean = mean_rigidity(scores, reference.label)
        elif self._communicator.rank == 0:
            mean = mean_of_first(self.scores, self.data.label)
        if mean is None:
            return
        self.relative = Relation(options, mean).relate(self.scores)
        below = self.relative.first_below
        if below is None:
            options.say_never_below()
        else:
            sources, source, frame = self.data.frames()
            options.say_below(below, sources[source[below]], int(frame[below]))

    @property
    def is_below(self) -> bool:
        """Whether a relative rigidity fell below the threshold."""
        return self.relative is not None and self.relative.first_below is not None

    @property
    def n_rows(self) -> int:
        """Rows that were scored."""
        return len(self.scores.rigidity)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the table."""
        names = score_columns(self.scores, self.record)
        unknown = () if self._request.shard is None else ("rank",)
        options = self._request.relative
        added = () if options is None else options.columns(self._request.per)
        return (*(name for name in names if name not in unknown), *added)

    def table(self) -> Iterator[Mapping[str, NDArray[np.generic]]]:
        """Yield the table in batches."""
        return score_table(
            self.scores, self.data, self.columns, self._rows, self._first, self.relative
        )
