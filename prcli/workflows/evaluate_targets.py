"""How far refitted models are off on the targets."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.gradient_blocks import gradient_blocks
from prcli.data.gradients import FORCE
from prcli.data.hessian_record import HessianRecord
from prcli.errors import FeatureError, PrcliError, RequestError
from prcli.numerics.refit import ErrorSums
from prcli.records import EnergyKind, Progress, RowKind
from prcli.workflows.evaluate_baseline import Baseline
from prcli.workflows.evaluate_references import References
from prcli.workflows.evaluate_rows import energy_values
from prcli.workflows.gradient_rows import gradient_rows
from prcli.workflows.loss_options import LossOptions
from prcli.workflows.model import row_form
from prcli.workflows.rows import EnergyRows

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]

_FORCES: tuple[RowKind, ...] = ("force",)


class MeasuredTargets:
    """Targets with references, on which models are measured.

    Parameters
    ----------
    data : Dataset
    references : References
        Of the same set.
    baseline : Baseline
        What energies are measured from.
    energy : {"per-atom", "total"}

    Raises
    ------
    PrcliError
        If no energy is known, an element has no energy, or forces were asked for by name and
        are not there.
    """

    def __init__(
        self, data: Dataset, references: References, baseline: Baseline, energy: EnergyKind
    ) -> None:
        self._data = data
        self._references = references
        self._known = ~np.isnan(references.energies)
        name = references.name("energy")
        if not self._known.any():
            raise RequestError(
                "no target has a reference energy",
                where=f"{data.label}, {name}",
                expected="total energies, eV",
                remedy="name a store column or a key of the comment line with --reference",
            )
        n_absent = int(np.count_nonzero(~self._known))
        if n_absent:
            logger.warning(
                "%d of %d targets have no finite %s: their energies are left out",
                n_absent,
                data.n_structures,
                name,
            )
        self._values = energy_values(data, references, baseline, energy, self._known)
        self._forces = _with_forces(data, references)

    @property
    def kinds(self) -> tuple[RowKind, ...]:
        """Kinds of row that are measured."""
        return ("energy",) if self._forces is None else ("energy", "force")

    def errors(
        self,
        record: HessianRecord,
        weights: FloatArray,
        progress: Progress,
    ) -> dict[RowKind, ErrorSums]:
        """Measure several models, reading the targets once.

        Parameters
        ----------
        record : HessianRecord
            Says what rows are.
        weights : ndarray of shape (D', K)
            Of K models, for unscaled rows.
        progress : callable

        Returns
        -------
        sums : dict of kind to ErrorSums
            Errors in eV/atom (eV for total energies), and eV/Å.
        """
        sums: dict[RowKind, ErrorSums] = {kind: ErrorSums(weights.shape[1]) for kind in self.kinds}
        for start, rows in EnergyRows(self._data, row_form(record)).blocks():
            here = slice(start, start + len(rows))
            known = self._known[here]
            errors = rows[known] @ weights - self._values[here][known, np.newaxis]
            sums["energy"].add(errors)
            progress("targets", start + len(rows), self._data.n_structures)
        if self._forces is not None:
            self._add_forces(sums["force"], record, weights, self._forces)
        return sums

    def _add_forces(
        self, sums: ErrorSums, record: HessianRecord, weights: FloatArray, structures: Mask
    ) -> None:
        """Add the errors of the forces; intercepts have none."""
        form = row_form(record)
        self._references.announce(structures)
        for block in gradient_blocks(self._data, form.block_rows):
            needed = structures[block.structure] & (block.kind == FORCE)
            values = self._references.of_block(block, needed)
            for _, index, rows in gradient_rows(block, form, self._data, _FORCES):
                known = needed[index]
                sums.add(rows[known] @ weights - values[index[known], np.newaxis])


def _with_forces(data: Dataset, references: References) -> Mask | None:
    """(S,) targets whose forces are measured; None, which is said, where there are none."""
    has_rows = data.gradient_counts("force") > 0
    name = references.name("force")
    try:
        if not has_rows.any():
            raise FeatureError("the targets have no force rows", where=data.label)
        references.check_single("force", has_rows)
        found = references.present("force", has_rows)
        if not found.any():
            raise FeatureError(
                f"no target has forces {name!r}",
                where=data.label,
                expected="a column of the atoms",
                remedy="name it with --force-reference",
            )
    except PrcliError as error:
        # What was named must be there; what goes by its usual name may be absent.
        if name != LossOptions().force_reference:
            raise
        if has_rows.any():
            logger.warning("errors of forces are not measured: %s", error.what)
        return None
    n_absent = int(np.count_nonzero(has_rows & ~found))
    if n_absent:
        logger.warning("%d targets have no %s: their forces are left out", n_absent, name)
    return found
