"""Score what another program is still writing."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from prcli.errors import RequestError
from prcli.numerics.condition import condition_of
from prcli.records import ALONE, Communicator
from prcli.workflows.growing_data import (
    FollowOptions,
    GrowingData,
    Growth,
    check_followed,
    one_of,
)
from prcli.workflows.health import EXACT_UP_TO, say_condition
from prcli.workflows.hessian_options import override
from prcli.workflows.inputs import load_hessian, open_inputs
from prcli.workflows.model import full_factor, scales, warn_about_zero
from prcli.workflows.relative import Relation, Relative, mean_of_first, mean_rigidity
from prcli.workflows.said_once import said_once
from prcli.workflows.score import alpha_of, check_scorable, score_piece, score_rows
from prcli.workflows.score_request import ScoreRequest, check_calibrated, input_sets
from prcli.workflows.score_table import chosen_rows, columns_of, score_table
from prcli.workflows.scores import Scores

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]


class FollowRun:
    """A scoring of a file that grows, whose table comes row by row.

    Parameters
    ----------
    request : ScoreRequest
        Without anything that needs the whole set: ranks, the K least rigid, written frames.
    options : FollowOptions
    communicator : Communicator

    Attributes
    ----------
    is_below : bool
        Whether a relative rigidity has fallen below the threshold, which ends the run.

    Raises
    ------
    RequestError
        If something is asked for that only a complete file has.
    """

    def __init__(
        self,
        request: ScoreRequest,
        options: FollowOptions,
        communicator: Communicator = ALONE,
    ) -> None:
        _check_request(request, communicator)
        self._request = request
        self._options = options
        self._path = str(one_of(request.data))
        check_followed(one_of(request.data), request.inputs)
        if request.relative is not None:
            request.relative.check(request.per)
        self._record = override(load_hessian(request.hessian), request.hessian_options)
        if request.limits.of_sigma:
            check_calibrated(self._record, request)
        self.is_below = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the table."""
        request, record = self._request, self._record
        is_calibrated = alpha_of(record, request.per) is not None
        names = columns_of(request.per, record, is_calibrated=is_calibrated)
        added = () if request.relative is None else request.relative.columns(request.per)
        return (*(name for name in names if name != "rank"), *added)

    def table(self) -> Iterator[Mapping[str, NDArray[np.generic]]]:
        """Yield the table as it comes; it ends when nothing comes any more, or at the threshold."""
        request, record = self._request, self._record
        factor = full_factor(record)
        say_condition(condition_of(factor / scales(record), EXACT_UP_TO))
        warn_about_zero(record, request.per)
        relation = self._relation()
        wanted, *_ = input_sets(request.data, request.per, request.relative)
        growing = GrowingData(self._path, wanted, request.inputs, record, self._options)
        n_structures = 0
        with said_once(), closing(growing.growth()) as pieces:
            for growth in pieces:
                check_scorable(record, growth.data, request.per)
                scores = score_piece(record, growth.data, request.per, factor)
                if request.relative is not None and relation is None:
                    mean = mean_of_first(scores, growth.data.label)
                    relation = Relation(request.relative, mean)
                relative = None if relation is None else relation.relate(scores)
                n_structures += growth.data.n_structures
                yield from self._batches(growth, scores, relative)
                if relative is not None and relative.first_below is not None:
                    self._stop(relative.first_below, growth)
                    return
        logger.info("%d structures were scored; nothing more has come", n_structures)
        if request.relative is not None:
            request.relative.say_never_below()

    def _relation(self) -> Relation | None:
        """Score the reference, where that is a set of its own."""
        request = self._request
        _, *references = input_sets(request.data, request.per, request.relative)
        if request.relative is None or not references:
            return None
        (reference,) = open_inputs(references, request.inputs, records=[self._record])
        with reference:
            check_scorable(self._record, reference, request.per)
            scores = score_rows(self._record, reference, request.per)
            return Relation(request.relative, mean_rigidity(scores, reference.label))

    def _batches(
        self, growth: Growth, scores: Scores, relative: Relative | None
    ) -> Iterator[Mapping[str, NDArray[np.generic]]]:
        """Give the rows of some structures the names of the file that they come from."""
        names = np.array(growth.source, dtype=object)
        rows = chosen_rows(scores, "file", limits=self._request.limits)
        if relative is not None and relative.first_below is not None:
            # The table ends there however many frames have come at once.
            rows = rows[rows <= relative.first_below]
        batches = score_table(scores, growth.data, self.columns, rows, growth.first, relative)
        for batch in batches:
            place = np.asarray(batch["index"], dtype=np.int64) - growth.first
            yield {
                **batch,
                "source": names[growth.source_of[place]],
                "frame": growth.frame[place],
            }

    def _stop(self, row: int, growth: Growth) -> None:
        """End at the threshold."""
        self.is_below = True
        if self._request.relative is not None:
            self._request.relative.say_below(
                growth.first + row,
                growth.source[growth.source_of[row]],
                int(growth.frame[row]),
            )


def _check_request(request: ScoreRequest, communicator: Communicator) -> None:
    """Refuse what only a complete file has.

    Raises
    ------
    RequestError
    """
    refused = {
        "--write": request.write is not None,
        "--top": request.top is not None,
        "--order rank": request.order == "rank",
        "--shard": request.shard is not None,
    }
    named = [name for name, given in refused.items() if given]
    if named:
        raise RequestError(
            "a file that grows is never complete",
            where=f"--follow, {named[0]}",
            remedy=f"leave {named[0]} out, or score the file once it is complete",
        )
    if communicator.size > 1:
        raise RequestError(
            "a file is followed by one process",
            where="--follow",
            got=f"{communicator.size} ranks",
            remedy="start it without mpiexec or srun",
        )
