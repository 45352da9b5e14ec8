"""The table of a calibration: how well uncertainties fit residuals, before and after."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.numerics.reliability import MULTIPLES, Quality, assess
from prcli.workflows.calibrate import CalibratedKind, Calibration, unit_of
from prcli.workflows.frames import Frames
from prcli.workflows.structure_columns import StructureColumns

#: Columns of the table, stable between versions. NLL and all that has a unit depend on `unit`.
COLUMNS = (
    "kind",
    "unit",
    "by",
    "group",
    "stage",
    "n_rows",
    "n_unknown",
    "n_small",
    "regularizer",
    "alpha",
    "rmse",
    "nll",
    "crps",
    "ssl",
    "miscalibration_area",
    "sharpness",
    *(f"coverage_{k}sigma" for k in MULTIPLES),
    "held_by_regularizer",
)

#: What stands for every structure in the column `group`; its `by` is empty.
EVERYTHING = "all"


@dataclass(frozen=True, eq=False)
class Groups:
    """Structures of a set in groups.

    Attributes
    ----------
    by : str
        Column or key that tells them apart.
    labels : ndarray of str of shape (S,)
        Group of each structure.
    """

    by: str
    labels: NDArray[np.str_]

    @property
    def names(self) -> list[str]:
        """Names of the groups, in order."""
        return [str(name) for name in np.unique(self.labels)]


def read_groups(data: Dataset, by: str, open_frames: Callable[[], Frames]) -> Groups:
    """Group structures by a column of the store or a key of the comment line.

    Parameters
    ----------
    data : Dataset
    by : str
    open_frames : callable
        Opens the structure files, if the key is in them.

    Returns
    -------
    groups : Groups
        Structures that lack the key are the group "absent".

    Raises
    ------
    ExpressionError
        If the name is not known.
    """
    columns = StructureColumns(data, open_frames)
    columns.fetch([by])
    return Groups(by, np.array([_label(value) for value in columns[by].tolist()]))


def calibration_table(
    calibration: Calibration, groups: Groups | None = None
) -> dict[str, NDArray[np.generic]]:
    """Measure the uncertainties of each kind of row, and of each group, before and after.

    Parameters
    ----------
    calibration : Calibration
    groups : Groups, optional
        Of the structures of the validation set. Groups change no number of the whole.

    Returns
    -------
    table : dict of column to array
    """
    rows = list(_rows(calibration, groups))
    return {name: _column([row[name] for row in rows]) for name in COLUMNS}


def _rows(calibration: Calibration, groups: Groups | None) -> Iterator[Mapping[str, object]]:
    for kind, each in calibration.kinds.items():
        unit = unit_of(kind, calibration.record)
        for by, group, chosen in _subsets(each, groups):
            counts = {
                "kind": kind,
                "unit": unit,
                "by": by,
                "group": group,
                "n_unknown": np.count_nonzero(each.rows.unknown & chosen),
                "n_small": np.count_nonzero(each.rows.small & chosen),
            }
            part = chosen[each.rows.takes_part]
            if not part.any():
                continue
            for stage, fit, regularizer in (
                ("before", each.before, calibration.regularizer_before),
                ("after", each.after, calibration.record.regularizer),
            ):
                quality = assess(each.rows.residuals[part], fit.sigma[part])
                numbers = {"stage": stage, "regularizer": regularizer, "alpha": fit.alpha}
                held = {"held_by_regularizer": float(np.mean(fit.held[part]))}
                yield counts | numbers | _numbers(quality) | held


def _subsets(
    each: CalibratedKind, groups: Groups | None
) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Give what tells a subset apart, its name, and which of all rows of the kind it holds."""
    structures = each.rows.all_structures
    yield "", EVERYTHING, np.ones(len(structures), dtype=bool)
    if groups is not None:
        for name in groups.names:
            yield groups.by, name, (groups.labels == name)[structures]


def _numbers(quality: Quality) -> dict[str, object]:
    coverage = zip(MULTIPLES, quality.coverage, strict=True)
    return {
        **{name: value for name, value in vars(quality).items() if name != "coverage"},
        **{f"coverage_{k}sigma": fraction for k, fraction in coverage},
    }


def _column(values: list[object]) -> NDArray[np.generic]:
    """Texts as they are, numbers as numbers."""
    if isinstance(values[0], str):
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column
    return np.array(values)


def _label(value: object) -> str:
    """Name a group; whole numbers are written without a point."""
    if value is None:
        return "absent"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
