"""How a Hessian is calibrated, as a user states it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from prcli.errors import RequestError
from prcli.numerics.calibration import CRITERIA, Criterion
from prcli.workflows.validation_residuals import ResidualKeys


@dataclass(frozen=True)
class CalibrateOptions:
    """How to calibrate.

    Attributes
    ----------
    criterion : {"nll", "ssl", "crps"}
        What the best uncertainties minimize.
    joint : bool
        One α for energies, forces and stresses, instead of one for each.
    keep_regularizer : bool
        Fit α only.
    regularizer_min, regularizer_max : float, optional
        Range that is scanned, in place of everything that float64 can resolve.
    smallest_row : float, optional
        Rows shorter than this, relative to the root mean square of their kind, are left out. By
        default those that are zero up to rounding.
    allow_overlap : bool
        Accept validation structures that are in the training set.
    keys : ResidualKeys
        Where references and predictions are found.
    """

    criterion: Criterion = "nll"
    joint: bool = False
    keep_regularizer: bool = False
    regularizer_min: float | None = None
    regularizer_max: float | None = None
    smallest_row: float | None = None
    allow_overlap: bool = False
    keys: ResidualKeys = field(default_factory=ResidualKeys)

    def __post_init__(self) -> None:
        """Check the values, whatever door they came through.

        Raises
        ------
        RequestError
            If a value is out of its range.
        """
        if self.criterion not in CRITERIA:
            raise RequestError(
                "--criterion is not known",
                expected=" or ".join(CRITERIA),
                got=repr(self.criterion),
            )
        if self.smallest_row is not None and not 0.0 <= self.smallest_row < 1.0:
            raise RequestError(
                "--smallest-row is not valid",
                expected="a number from 0 to 1",
                got=str(self.smallest_row),
            )
        for name in ("regularizer_min", "regularizer_max"):
            value = getattr(self, name)
            option = f"--{name.replace('_', '-')}"
            if value is None:
                continue
            if not (math.isfinite(value) and value > 0.0):
                raise RequestError(
                    f"{option} is not valid", expected="a positive number", got=str(value)
                )
            if self.keep_regularizer:
                raise RequestError(
                    f"{option} contradicts --keep-regularizer", remedy="give one of the two"
                )
