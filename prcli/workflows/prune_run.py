"""Pruning from what a user typed: open, check, sum, remove, write."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset, check_alike
from prcli.data.hessian_record import HessianRecord
from prcli.data.provenance import make_provenance, stamp_file
from prcli.data.publish import check_not_below, check_output
from prcli.errors import DuplicateRowsError, RequestError
from prcli.records import Progress, Provenance, no_progress
from prcli.workflows.candidate_rows import CandidateRows
from prcli.workflows.frames import Frames
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.inner_loss import loss_for_data
from prcli.workflows.inputs import (
    InputSet,
    check_stdin,
    load_hessian,
    open_inputs,
    paths_of,
    split_hessians,
    stamp_hessian,
    stamps_of,
)
from prcli.workflows.model import (
    check_fits,
    kind_weight,
    say_training_set,
    warn_about_training,
    warn_about_zero,
)
from prcli.workflows.number_settings import featurizer_setting, number_settings
from prcli.workflows.prior import prior_files
from prcli.workflows.prune import Pruning, prune
from prcli.workflows.prune_options import PruneRequest
from prcli.workflows.prune_output import write_pruning
from prcli.workflows.row_weights import RowWeights
from prcli.workflows.select_options import SelectOptions
from prcli.workflows.structure_columns import StructureColumns
from prcli.workflows.targets import check_targets, read_target_weight, read_targets
from prcli.workflows.training_rows import kinds_of

logger = logging.getLogger(__name__)


class PruneRun:
    """A pruning under way; use it in a ``with`` block, which opens and closes the data.

    Parameters
    ----------
    request : PruneRequest
    progress : callable

    Attributes
    ----------
    train, target : Dataset
    record : HessianRecord
        Of the whole training set, after `run`.
    pruning : Pruning
        After `run`.
    """

    train: Dataset
    target: Dataset
    record: HessianRecord
    pruning: Pruning

    def __init__(self, request: PruneRequest, progress: Progress = no_progress) -> None:
        self._request = request
        self._progress = progress
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Open and check everything before long work starts."""
        request = self._request
        check_stdin([*request.train, *request.target])
        data, hessians = split_hessians(request.train)
        if not data:
            raise RequestError(
                "there is no structure that could be removed",
                where=", ".join(hessians) or "TRAIN",
                expected="feature sets, or structures with --featurizer",
                remedy="a Hessian file does not hold the rows of single structures: give the sets "
                "that it was summed from",
            )
        if request.output is not None:
            check_output(request.output, request.overwrite, directory=True)
            named = paths_of([*request.train, *request.target])
            check_not_below(request.output, [*named, *request.structures])
        self._hessian_paths = [Path(path) for path in hessians]
        self._records = [load_hessian(path) for path in hessians]
        with ExitStack() as stack:
            per_atom = request.options.target_per == "atom"
            sets = [
                InputSet("train", tuple(data)),
                InputSet("target", request.target, needs_atoms=per_atom, needs_gradients=False),
            ]
            opened = open_inputs(
                sets,
                request.inputs,
                records=self._records,
                reserved=[*self._hessian_paths, *request.structures, *_named(request.output)],
                progress=self._progress,
            )
            self.train, self.target = (stack.enter_context(each) for each in opened)
            self._check_sets()
            self._frames = None
            if request.output is not None:
                self._frames = Frames(self.train, request.structures)
                check_not_below(request.output, self._frames.paths.values())
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

    def run(self) -> Pruning:
        """Sum the Hessian, and remove what the targets miss least."""
        request = self._request
        self._check_duplicates()
        weight = self._target_weight()
        # Copies are what a pruning is for.
        hessian_options = replace(request.hessian_options, allow_duplicates=True)
        self.record = sum_hessian([self.train], self._records, hessian_options, self._progress)
        say_training_set(self.record)
        warn_about_zero(self.record)
        warn_about_training(self.record, self.target)
        how = SelectOptions(1, target_per=request.options.target_per)
        targets = read_targets(self.record, self.target, how, weight)
        rows = CandidateRows(self.train, self.record, self._weights())
        self.pruning = prune(
            self.record,
            tuple(self._records),
            self.train,
            rows,
            targets,
            request.options,
            self._progress,
        )
        return self.pruning

    def write(self, directory: str) -> None:
        """Write the result directory."""
        if self._frames is None:
            raise ValueError("the request did not ask for frames")
        write_pruning(
            directory,
            self.pruning,
            self.record,
            self.train,
            self.target,
            self._frames,
            self._provenance(),
            overwrite=self._request.overwrite,
        )

    def _check_sets(self) -> None:
        check_alike(self.train.parts[0].table, self.target.parts[0].table)
        for record in self._records:
            check_fits(record, self.target)
        check_targets(self.target, self._request.options.target_per)
        n_to_keep = self._request.options.n_to_keep
        if n_to_keep is not None and n_to_keep > self.train.n_structures:
            raise RequestError(
                "there are fewer training structures than are to be kept",
                where=self.train.label,
                expected=f"at least {n_to_keep} structures",
                got=f"{self.train.n_structures} structures",
            )

    def _check_duplicates(self) -> None:
        """Refuse structures that a Hessian holds already; say how many copies there are."""
        digests = self.train.digests
        known = [record.digests for record in self._records]
        if known and not self._request.hessian_options.allow_duplicates:
            n_twice = int(np.count_nonzero(np.isin(digests, np.concatenate(known))))
            if n_twice:
                raise DuplicateRowsError(
                    "structures would be counted twice",
                    where=f"{n_twice} structures of {self.train.label}",
                    got="the same structures in a Hessian file",
                    remedy="give sets that are not in it, or --allow-duplicates",
                )
        n_copies = len(digests) - len(np.unique(digests))
        if n_copies and self._request.options.duplicates is None:
            logger.warning(
                "%d training structures are copies of others, and count as often as they are "
                "there; --duplicates 0 removes copies first",
                n_copies,
            )

    def _weights(self) -> RowWeights:
        """Weights of the rows, as they are inside the Hessian."""
        loss = loss_for_data(self._request.hessian_options.loss, self._records)
        kinds = [kind for kind in kinds_of(self.train) if kind_weight(self.record, kind) > 0.0]
        frames = self._frames
        weights = RowWeights(
            self.train,
            loss,
            self.record.energy,
            kinds,
            lambda: frames or Frames(self.train, self._request.structures),
        )
        weights.check()
        return weights

    def _target_weight(self) -> NDArray[np.float64] | None:
        name = self._request.target_weight
        if name is None:
            return None
        columns = StructureColumns(self.target, lambda: Frames(self.target))
        return read_target_weight(self.target, columns, name)

    def _provenance(self) -> Provenance | None:
        if not self._request.with_provenance:
            return None
        stamps = [stamp_hessian(path) for path in self._hessian_paths]
        stamps += [stamp_file(path) for path in prior_files(self._request.hessian_options.prior)]
        for data in (self.train, self.target):
            stamps += stamps_of(data)
        settings = {
            **number_settings(self.record),
            **featurizer_setting(self.record.featurizer or self.train.featurizer),
            "target_weight": self._request.target_weight,
        }
        return make_provenance(stamps, settings)


def _named(output: str | None) -> list[str]:
    return [] if output is None else [output]
