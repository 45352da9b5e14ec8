"""What a selection reads: the sets, the Hessians, and what structure files say of either."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset, check_alike
from prcli.data.hessian_record import HessianRecord
from prcli.data.provenance import stamp_file
from prcli.data.publish import check_not_below
from prcli.errors import RequestError
from prcli.records import Communicator, FileStamp, Progress
from prcli.workflows.candidate_weights import candidate_weights
from prcli.workflows.constraint_setup import chosen_stamps, read_constraints
from prcli.workflows.constraints import Constraints
from prcli.workflows.expressions import Expression, where
from prcli.workflows.frames import Frames
from prcli.workflows.inputs import (
    DataArgument,
    InputSet,
    load_hessian,
    open_inputs,
    split_hessians,
    stamp_hessian,
    stamps_of,
)
from prcli.workflows.model import check_fits
from prcli.workflows.prior import prior_files
from prcli.workflows.row_weights import RowWeights
from prcli.workflows.select_checks import check_enough, check_request
from prcli.workflows.select_request import SelectRequest
from prcli.workflows.structure_columns import StructureColumns
from prcli.workflows.targets import read_target_weight

logger = logging.getLogger(__name__)


class SelectInputs:
    """Open data of a selection.

    Parameters
    ----------
    request : SelectRequest
    passing_filter : Expression or None
        What candidates have to pass.
    stack : ExitStack
        Closes the data.
    progress : callable
    communicator : Communicator
        Rank 0 alone copies frames.

    Attributes
    ----------
    pool : Dataset
    target : Dataset or None
    train : list of Dataset
        The training set, as far as it is data: one set, or none.
    records : list of HessianRecord
        The training set, as far as it is Hessians.
    names : frozenset of str
        Columns and keys of the comment line that the filter asks for.
    copies : bool
        Whether frames of the pool will be copied here.
    frames : Frames or None
        Of the pool, if they will be copied.

    Raises
    ------
    RequestError, FeatureError
        If the sets do not fit each other or the request.
    """

    def __init__(
        self,
        request: SelectRequest,
        passing_filter: Expression | None,
        stack: ExitStack,
        progress: Progress,
        communicator: Communicator,
    ) -> None:
        self._request = request
        self._filter = passing_filter
        self.names = frozenset(() if self._filter is None else self._filter.names)
        data, hessians = split_hessians(request.train)
        self.records = [load_hessian(path) for path in hessians]
        self._hessian_paths = [Path(path) for path in hessians]
        if request.hessian is not None:
            self.records = [load_hessian(request.hessian)]
            if not isinstance(request.hessian, HessianRecord):
                self._hessian_paths = [Path(request.hessian)]
        self._open_sets(data, stack, progress)
        self._check_sets()
        wanted = request.output is not None or request.needs_frames
        self.copies = wanted and communicator.rank == 0
        self.frames = self._frames_of_pool() if self.copies else None
        if request.output is not None and self.frames is not None:
            check_not_below(request.output, self.frames.paths.values())

    def _open_sets(
        self, train: Sequence[DataArgument], stack: ExitStack, progress: Progress
    ) -> None:
        """Open the data; features that are computed on the way get columns for all sets."""
        request = self._request
        per_atom = request.options.target_per == "atom"
        sets = [
            InputSet("train", tuple(train)),
            InputSet("target", request.target, needs_atoms=per_atom, needs_gradients=False),
            InputSet("pool", request.pool, needs_atoms=False),
        ]
        written = [path for path in (request.output, request.checkpoint_path) if path is not None]
        opened = open_inputs(
            [each for each in sets if each.arguments or each.name == "pool"],
            request.inputs,
            records=self.records,
            reserved=[*self._hessian_paths, *request.structures, *written],
            progress=progress,
        )
        by_name = {data.name: stack.enter_context(data) for data in opened}
        self.train = [by_name["train"]] if "train" in by_name else []
        self.target = by_name.get("target")
        self.pool = by_name["pool"]

    def _check_sets(self) -> None:
        """Refuse sets that do not fit each other or the request."""
        check_request(self.pool, self.target, self._request.options)
        for data in (self.pool, *([] if self.target is None else [self.target])):
            for train in self.train:
                check_alike(train.parts[0].table, data.parts[0].table)
            for record in self.records:
                check_fits(record, data)

    def columns(self, data: Dataset) -> StructureColumns:
        """Columns of a set."""
        return StructureColumns(data, lambda: self.open_frames(data))

    def open_frames(self, data: Dataset) -> Frames:
        """Open structure files; the pool's may have been named anew."""
        if data is self.pool:
            return self.frames or self._frames_of_pool()
        return Frames(data)

    def _frames_of_pool(self) -> Frames:
        """Open the structure files of the pool."""
        otherwise = "use --indices or take the table on stdout, which need none"
        return Frames(self.pool, self._request.structures, otherwise)

    def candidate_weights(self) -> RowWeights | None:
        """Read what the rows of candidates count, if not all alike."""
        pool = self.pool
        return candidate_weights(
            pool,
            self._request.hessian_options.loss,
            self.records,
            self.columns(pool),
            lambda: self.open_frames(pool),
        )

    def passing(self) -> NDArray[np.bool_] | None:
        """Candidates that pass the filter, (C,); None without one."""
        if self._filter is None:
            return None
        columns = self.columns(self.pool)
        columns.fetch(self._filter.names)
        passing = where(self._filter, columns)
        n_passing = int(np.count_nonzero(passing))
        logger.info("%d of %d candidates pass the filter", n_passing, self.pool.n_structures)
        check_enough(self.pool, n_passing, self._request.options)
        return passing

    def constraints(self, allowed: NDArray[np.bool_] | None) -> Constraints:
        """Read what the picks have to keep within, and refuse what cannot be met."""
        pool, request = self.pool, self._request
        constraints = read_constraints(
            request.constraints, pool, self.columns(pool), lambda: self.open_frames(pool)
        )
        passing = np.ones(pool.n_structures, dtype=bool) if allowed is None else allowed
        passing = constraints.without_excluded(passing)
        check_enough(pool, int(np.count_nonzero(passing)), request.options)
        constraints.check(passing, request.options, pool.label)
        return constraints

    def target_weight(self) -> NDArray[np.float64] | None:
        """Weights of the targets' structures, as named; None where none are."""
        name = self._request.target_weight
        if name is None:
            return None
        if self.target is None:
            raise RequestError("--target-weight needs --target")
        return read_target_weight(self.target, self.columns(self.target), name)

    def stamps(self) -> list[FileStamp]:
        """Sizes, times and digests of all files that were read."""
        stamps = [stamp_hessian(path) for path in self._hessian_paths]
        stamps += [stamp_file(path) for path in prior_files(self._request.hessian_options.prior)]
        stamps += chosen_stamps(self._request.constraints)
        for data in (*self.train, self.target, self.pool):
            if data is not None:
                stamps += stamps_of(data)
        return stamps
