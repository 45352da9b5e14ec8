"""The main job from what a user typed to a selection: open, check, sum, select, write."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.data.provenance import make_provenance
from prcli.data.publish import check_not_below, check_output
from prcli.numerics.greedy import Pick
from prcli.records import ALONE, Communicator, Progress, Provenance, no_progress
from prcli.workflows.candidate_weights import without_keys
from prcli.workflows.constraints import Constraints
from prcli.workflows.expressions import parse_expression
from prcli.workflows.frames import Frames
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import override
from prcli.workflows.inputs import check_stdin, paths_of
from prcli.workflows.model import say_training_set, warn_about_zero
from prcli.workflows.number_settings import featurizer_setting, number_settings
from prcli.workflows.rank_limits import check_ranks
from prcli.workflows.row_weights import RowWeights
from prcli.workflows.select import select
from prcli.workflows.select_inputs import SelectInputs
from prcli.workflows.select_memory import SelectMemory
from prcli.workflows.select_options import SelectOptions
from prcli.workflows.select_request import SelectRequest
from prcli.workflows.selection import Selection
from prcli.workflows.selection_checkpoint import SelectionCheckpoint, open_checkpoint
from prcli.workflows.selection_explanation import Explanation, explanation, nearest_training
from prcli.workflows.selection_identity import selection_identity
from prcli.workflows.selection_output import selected_frames, write_result
from prcli.workflows.selection_page import PageParts, page_parts
from prcli.workflows.selection_writers import check_writers

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
    selection : Selection
        After `run`.
    record : HessianRecord
        The Hessian of the training set, after `run`.
    explanation : Explanation or None
        After `run`, where the request asks for it.
    """

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
        request.check()
        self._request = request
        self._progress = progress
        self._communicator = communicator
        # Refused where it is wrong, before anything is opened.
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
            self._inputs = SelectInputs(
                request, self._filter, stack, self._progress, self._communicator
            )
            self._memory = SelectMemory(request, self._inputs, self._communicator)
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

    @property
    def pool(self) -> Dataset:
        """Candidates."""
        return self._inputs.pool

    @property
    def target(self) -> Dataset | None:
        """Structures of interest."""
        return self._inputs.target

    @property
    def n_kept(self) -> int:
        """Picks in the file of the checkpoint."""
        return 0 if self._checkpoint is None else self._checkpoint.n_kept

    def run(self, progress: Progress | None = None) -> Selection:
        """Sum the Hessian, filter the pool, select.

        Parameters
        ----------
        progress : callable, optional
            In place of the one given before; what it raises ends the run.
        """
        request = self._request
        progress = progress or self._progress
        inputs = self._inputs
        allowed = inputs.passing()
        constraints = inputs.constraints(allowed)
        weight = inputs.target_weight()
        weights = inputs.candidate_weights()
        begun = self._begun(allowed, weight, weights, constraints)
        self.record = self._hessian(progress)
        say_training_set(self.record)
        if self.target is not None:
            warn_about_zero(self.record)
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
            holding=self._memory.plan.holding,
            begun=begun,
            on_pick=None if self._checkpoint is None else self._checkpoint.add,
            refine=request.refine,
            bound=request.bound,
            explain=request.explain,
            progress=progress,
        )
        if request.explain and self._communicator.rank == 0:
            nearest = nearest_training(self.record, self.pool, self.selection.indices, inputs.train)
            self.explanation = explanation(self.selection, nearest)
        return self.selection

    def _hessian(self, progress: Progress) -> HessianRecord:
        """Take the Hessian that is given, or sum that of the training set."""
        request, inputs = self._request, self._inputs
        options = request.hessian_options
        if request.hessian is not None:
            # Weights of structures are for the candidates: the training rows have theirs.
            return override(inputs.records[0], replace(options, loss=without_keys(options.loss)))
        return sum_hessian(inputs.train, inputs.records, options, progress, self._communicator)

    def again(self, options: SelectOptions, progress: Progress = no_progress) -> Selection:
        """Select anew by other options, on the same terms."""
        return self._select(
            options, holding=self._memory.planned(options).holding, progress=progress
        )

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
                train=self._inputs.train,
                records=self._inputs.records,
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
        return self._emitted(self._frames)

    def _emitted(self, frames: Frames) -> Iterator[bytes]:
        with_annotation = self._request.with_annotation
        yield from selected_frames(self.selection, frames, with_annotation=with_annotation)
        frames.say_converted()

    @property
    def _frames(self) -> Frames:
        if self._inputs.frames is None:
            raise ValueError("the request did not ask for frames")
        return self._inputs.frames

    def write(self, directory: str) -> None:
        """Write the result directory."""
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
        train = self._inputs.train[0] if self._inputs.train else None
        return page_parts(
            self.record,
            self.selection,
            train,
            self.pool,
            self.target,
            self._inputs.open_frames,
        )

    def _provenance(self) -> Provenance | None:
        if not self._request.with_provenance:
            return None
        record, options = self.record, self._request.options
        settings = {
            "seed": options.seed,
            **number_settings(record),
            **featurizer_setting(record.featurizer or self.pool.featurizer),
            "where": self._request.where,
            "target_weight": self._request.target_weight,
        }
        return make_provenance(self._inputs.stamps(), settings)
