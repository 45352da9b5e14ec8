"""The main job from what a user typed to a selection: open, check, sum, select, write."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Self, get_args

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset, check_alike
from prcli.data.hessian_record import HessianRecord
from prcli.data.provenance import make_provenance, stamp_file
from prcli.data.publish import check_not_below, check_output
from prcli.data.shards import share_of_rank
from prcli.errors import RequestError
from prcli.numerics.greedy import Pick
from prcli.parallel.memory import available_memory, format_size
from prcli.parallel.node import node_share
from prcli.parallel.plan import SelectionPlan
from prcli.records import ALONE, Communicator, Progress, Provenance, no_progress
from prcli.workflows.candidate_weights import candidate_weights, without_keys
from prcli.workflows.constraint_setup import chosen_stamps, read_constraints
from prcli.workflows.constraints import Constraints
from prcli.workflows.expressions import parse_expression, where
from prcli.workflows.frames import Frames
from prcli.workflows.hessian import common_form, sum_hessian
from prcli.workflows.hessian_options import override
from prcli.workflows.inputs import (
    DataArgument,
    InputSet,
    check_stdin,
    load_hessian,
    open_inputs,
    paths_of,
    split_hessians,
    stamp_hessian,
    stamps_of,
)
from prcli.workflows.model import check_fits, say_training_set
from prcli.workflows.number_settings import featurizer_setting, number_settings
from prcli.workflows.prior import prior_files
from prcli.workflows.rank_limits import check_ranks
from prcli.workflows.refinement import check_refinement
from prcli.workflows.row_weights import RowWeights
from prcli.workflows.select import check_enough, check_request, select
from prcli.workflows.select_options import SelectOptions, Strategy
from prcli.workflows.select_plan import Extent, counted_kinds, plan_selection
from prcli.workflows.select_request import SelectRequest
from prcli.workflows.selection import Selection
from prcli.workflows.selection_bound import check_bound
from prcli.workflows.selection_checkpoint import SelectionCheckpoint, open_checkpoint
from prcli.workflows.selection_explanation import Explanation, explanation, nearest_training
from prcli.workflows.selection_identity import selection_identity
from prcli.workflows.selection_output import selected_frames, write_result
from prcli.workflows.selection_page import PageParts, page_parts
from prcli.workflows.selection_writers import check_writers
from prcli.workflows.structure_columns import StructureColumns
from prcli.workflows.targets import read_target_weight

__all__ = ["SelectRequest", "SelectRun"]

logger = logging.getLogger(__name__)


class SelectRun:
    """A selection under way; use it in a ``with`` block, which opens and closes the data.

    Parameters
    ----------
    request : SelectRequest
    progress : callable
    communicator : Communicator
        Ranks divide training set and pool among them; rank 0 keeps the checkpoint, and writes.

    Attributes
    ----------
    pool, target : Dataset
    selection : Selection
        After `run`.
    record : HessianRecord
        The Hessian of the training set, after `run`.
    explanation : Explanation or None
        After `run`, where the request asks for it.
    """

    pool: Dataset
    target: Dataset | None
    selection: Selection
    record: HessianRecord
    explanation: Explanation | None = None

    def __init__(
        self,
        request: SelectRequest,
        progress: Progress = no_progress,
        communicator: Communicator = ALONE,
    ) -> None:
        named = [*request.train, *request.target, *request.pool]
        check_ranks(communicator, named, request.inputs)
        if (request.hessian is None) == (not request.train):
            raise RequestError(
                "the training set must come from one place",
                expected="either --train or --hessian",
                got="both" if request.train else "neither",
            )
        if request.options.n_to_select is None and request.constraints.budget is None:
            raise RequestError(
                "it is not said how many structures to select",
                expected="-n/--n-to-select, or --budget with --cost",
            )
        check_refinement(request.refine, request.options)
        if request.bound:
            check_bound(bool(request.target), request.options)
        self._request = request
        self._progress = progress
        self._communicator = communicator
        self._filter = None if request.where is None else parse_expression(request.where)
        self._checkpoint: SelectionCheckpoint | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Open and check everything before long work starts."""
        request, is_first = self._request, self._communicator.rank == 0
        if request.output is not None and is_first:
            check_output(request.output, request.overwrite, directory=True)
            named = paths_of([*request.train, *request.target, *request.pool])
            if isinstance(request.hessian, str | Path):
                named.append(str(request.hessian))
            check_not_below(request.output, [*named, *request.structures])
        if request.checkpoint_path is not None and is_first:
            self._checkpoint = open_checkpoint(request.checkpoint_path, request.output)
        with ExitStack() as stack:
            check_stdin([*request.train, *request.target, *request.pool])
            check_writers(request.writers, request.structures or paths_of(request.pool))
            data, hessians = split_hessians(request.train)
            self._records = [load_hessian(path) for path in hessians]
            self._hessian_paths = [Path(path) for path in hessians]
            if request.hessian is not None:
                self._records = [load_hessian(request.hessian)]
                if not isinstance(request.hessian, HessianRecord):
                    self._hessian_paths = [Path(request.hessian)]
            self._open_sets(data, stack)
            self._check_sets()
            self._frames = self._frames_of_pool() if self._copies else None
            if request.output is not None and self._frames is not None:
                check_not_below(request.output, self._frames.paths.values())
            self._check_memory()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the data; keep the picks if they have not become a result."""
        try:
            if self._checkpoint is not None:
                self._checkpoint.close(error)
        finally:
            self._stack.close()

    def _open_sets(self, train: Sequence[DataArgument], stack: ExitStack) -> None:
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
            records=self._records,
            reserved=[*self._hessian_paths, *request.structures, *written],
            progress=self._progress,
        )
        by_name = {data.name: stack.enter_context(data) for data in opened}
        self._train = [by_name["train"]] if "train" in by_name else []
        self.target = by_name.get("target")
        self.pool = by_name["pool"]

    @property
    def n_kept(self) -> int:
        """Picks in the file of the checkpoint."""
        return 0 if self._checkpoint is None else self._checkpoint.n_kept

    @property
    def _copies(self) -> bool:
        wanted = self._request.output is not None or self._request.needs_frames
        return wanted and self._communicator.rank == 0

    def _check_sets(self) -> None:
        """Refuse sets that do not fit each other or the request."""
        check_request(self.pool, self.target, self._request.options)
        for data in (self.pool, *([] if self.target is None else [self.target])):
            for train in self._train:
                check_alike(train.parts[0].table, data.parts[0].table)
            for record in self._records:
                check_fits(record, data)

    def run(self, progress: Progress | None = None) -> Selection:
        """Sum the Hessian, filter the pool, select.

        Parameters
        ----------
        progress : callable, optional
            In place of the one given before; what it raises ends the run.
        """
        request = self._request
        progress = progress or self._progress
        allowed = self._passing()
        constraints = self._constraints(allowed)
        weight = self._target_weight()
        weights = self._candidate_weights()
        begun = self._begun(allowed, weight, weights, constraints)
        if request.hessian is not None:
            options = request.hessian_options
            # Weights of structures are for the candidates: the training rows have theirs.
            options = replace(options, loss=without_keys(options.loss))
            self.record = override(self._records[0], options)
        else:
            self.record = sum_hessian(
                self._train,
                self._records,
                request.hessian_options,
                progress,
                self._communicator,
            )
        say_training_set(self.record)
        self._select = partial(
            select,
            self.record,
            self.pool,
            self.target,
            allowed=allowed,
            target_weight=weight,
            weights=weights,
            constraints=constraints,
            communicator=self._communicator,
        )
        self.selection = self._select(
            request.options,
            holding=self._holding,
            begun=begun,
            on_pick=None if self._checkpoint is None else self._checkpoint.add,
            refine=request.refine,
            bound=request.bound,
            explain=request.explain,
            progress=progress,
        )
        if request.explain and self._communicator.rank == 0:
            nearest = nearest_training(self.record, self.pool, self.selection.indices, self._train)
            self.explanation = explanation(self.selection, nearest)
        return self.selection

    def again(self, options: SelectOptions, progress: Progress = no_progress) -> Selection:
        """Select anew by other options, on the same terms."""
        return self._select(options, holding=self._plan(options).holding, progress=progress)

    def _begun(
        self,
        allowed: NDArray[np.bool_] | None,
        target_weight: NDArray[np.float64] | None,
        weights: RowWeights | None,
        constraints: Constraints,
    ) -> tuple[Pick, ...]:
        """Take over the picks of an earlier run of the same request."""
        request = self._request
        if request.checkpoint_path is None:
            return ()
        begun: tuple[Pick, ...] = ()
        if self._checkpoint is not None:
            identity = selection_identity(
                request.options,
                request.hessian_options,
                train=self._train,
                records=self._records,
                pool=self.pool,
                target=self.target,
                allowed=allowed,
                target_weight=target_weight,
                weights=weights,
                constraints=constraints,
            )
            begun = self._checkpoint.begin(identity)
        return self._communicator.broadcast(begun)

    def frames(self) -> Iterator[bytes]:
        """Yield the picked frames in the order of the picks."""
        if self._frames is None:
            raise ValueError("the request did not ask for frames")
        return self._emitted(self._frames)

    def _emitted(self, frames: Frames) -> Iterator[bytes]:
        with_annotation = self._request.with_annotation
        yield from selected_frames(self.selection, frames, with_annotation=with_annotation)
        frames.say_converted()

    def write(self, directory: str) -> None:
        """Write the result directory."""
        if self._frames is None:
            raise ValueError("the request did not ask for frames")
        write_result(
            directory,
            self.selection,
            self.record,
            self.pool,
            self.target,
            self._frames,
            self._provenance(),
            with_annotation=self._request.with_annotation,
            overwrite=self._request.overwrite,
            explained=self.explanation,
            writers=self._request.writers,
            page=self._page() if self._request.with_page else None,
        )
        if self._checkpoint is not None:
            # The result is there: nothing that is stopped from now on could go on.
            self._checkpoint.close(None)
            self._checkpoint = None

    def _page(self) -> PageParts:
        """Compute what the page shows beside the tables."""
        train = self._train[0] if self._train else None
        return page_parts(
            self.record,
            self.selection,
            train,
            self.pool,
            self.target,
            self._open_frames,
        )

    def _columns(self, data: Dataset) -> StructureColumns:
        """Columns of a set."""
        return StructureColumns(data, lambda: self._open_frames(data))

    def _open_frames(self, data: Dataset) -> Frames:
        """Open structure files; the pool's may have been named anew."""
        if data is self.pool:
            return self._frames or self._frames_of_pool()
        return Frames(data)

    def _frames_of_pool(self) -> Frames:
        """Open the structure files of the pool."""
        otherwise = "use --indices or take the table on stdout, which need none"
        return Frames(self.pool, self._request.structures, otherwise)

    def _candidate_weights(self) -> RowWeights | None:
        pool = self.pool
        return candidate_weights(
            pool,
            self._request.hessian_options.loss,
            self._records,
            self._columns(pool),
            lambda: self._open_frames(pool),
        )

    def _passing(self) -> NDArray[np.bool_] | None:
        if self._filter is None:
            return None
        columns = self._columns(self.pool)
        columns.fetch(self._filter.names)
        passing = where(self._filter, columns)
        n_passing = int(np.count_nonzero(passing))
        logger.info("%d of %d candidates pass the filter", n_passing, self.pool.n_structures)
        check_enough(self.pool, n_passing, self._request.options)
        return passing

    def _constraints(self, allowed: NDArray[np.bool_] | None) -> Constraints:
        """Read what the picks have to keep within, and refuse what cannot be met."""
        pool, request = self.pool, self._request
        constraints = read_constraints(
            request.constraints, pool, self._columns(pool), lambda: self._open_frames(pool)
        )
        passing = np.ones(pool.n_structures, dtype=bool) if allowed is None else allowed
        passing = constraints.without_excluded(passing)
        check_enough(pool, int(np.count_nonzero(passing)), request.options)
        constraints.check(passing, request.options, pool.label)
        return constraints

    def _target_weight(self) -> NDArray[np.float64] | None:
        name = self._request.target_weight
        if name is None:
            return None
        if self.target is None:
            raise RequestError("--target-weight needs --target")
        return read_target_weight(self.target, self._columns(self.target), name)

    def _check_memory(self) -> None:
        """Choose and state what will be held, and refuse what does not fit."""
        given, communicator = self._request.memory, self._communicator
        self._memory = available_memory() if given is None else given
        if given is None and communicator.size > 1:
            self._memory //= node_share(communicator).n_ranks
        plan = self._plan(self._request.options)
        logger.info("plan: %s, of %s", plan, format_size(self._memory))
        self._holding = plan.holding
        if self._request.audit:
            for strategy in get_args(Strategy):
                self._plan(replace(self._request.options, strategy=strategy))

    def _plan(self, options: SelectOptions) -> SelectionPlan:
        """Choose what a selection by some options will hold."""
        kinds = counted_kinds(self._request.hessian_options, self._train, self._records)
        share, _ = share_of_rank(self.pool, self._communicator)
        # A baseline is worked out by one rank.
        pool = self.pool if share is None or options.strategy != "pr" else share
        extent = replace(self._extent, n_all=self.pool.n_structures)
        plan = plan_selection(pool, self.target, options, kinds, self._width, extent)
        return plan.within(self._memory)

    @cached_property
    def _width(self) -> int:
        """Columns of a row, intercepts included."""
        options = self._request.hessian_options
        records = self._records
        if self._request.hessian is not None:
            return records[0].n_columns
        return common_form(self._train, records, options).n_columns

    @cached_property
    def _extent(self) -> Extent:
        """What is asked for beside the picks of one search."""
        request = self._request
        constraints, loss = request.constraints, request.hessian_options.loss
        names = set() if self._filter is None else set(self._filter.names)
        names |= {quota.key for quota in constraints.quotas}
        return Extent(
            constraints=constraints,
            refine=request.refine,
            bound=request.bound,
            copies_frames=self._copies or bool(names),
            has_weights=loss is not None,
            n_names=len(names),
        )

    def _provenance(self) -> Provenance | None:
        if not self._request.with_provenance:
            return None
        stamps = [stamp_hessian(path) for path in self._hessian_paths]
        stamps += [stamp_file(path) for path in prior_files(self._request.hessian_options.prior)]
        stamps += chosen_stamps(self._request.constraints)
        for data in (*self._train, self.target, self.pool):
            if data is not None:
                stamps += stamps_of(data)
        record, options = self.record, self._request.options
        settings = {
            "seed": options.seed,
            **number_settings(record),
            **featurizer_setting(record.featurizer or self.pool.featurizer),
            "where": self._request.where,
            "target_weight": self._request.target_weight,
        }
        return make_provenance(stamps, settings)
