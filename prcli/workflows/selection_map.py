"""A map of a selection: training set, targets and pool in the plane where they spread most."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.numerics.principal_axes import principal_axes
from prcli.numerics.rigidity import reciprocal, squared_norms, whiten
from prcli.workflows.frames import Frames
from prcli.workflows.model import row_form
from prcli.workflows.rows import EnergyRows
from prcli.workflows.structure_labels import read_labels

FloatArray = NDArray[np.float64]

#: Columns of ``map.tsv``, stable between versions.
MAP_COLUMNS = (
    "set",
    "index",
    "source",
    "frame",
    "n_atoms",
    "formula",
    "config_type",
    "pr",
    "pc1",
    "pc2",
)

#: Points of each set that a drawing shows at most; picks come in addition.
MOST_POINTS = {"train": 2000, "target": 2000, "pool": 6000}

#: Bytes of rows that are held for the drawing.
MOST_BYTES = 64 << 20

#: Digits of a coordinate: more than can be seen, fewer than rounding touches.
_DIGITS = 5


@dataclass(frozen=True, eq=False)
class SelectionMap:
    """Structures in the plane.

    Attributes
    ----------
    table : dict
        Columns `MAP_COLUMNS`, arrays of shape (n,); training set, targets, pool.
    facts : dict
        For the report: of how many structures each set shows how many, and the shares of the
        variance that the axes have.
    """

    table: dict[str, NDArray[np.generic]]
    facts: dict[str, object]

    def places(self, name: str) -> dict[int, int]:
        """Row of each structure of a set that is shown, by its index."""
        rows = np.flatnonzero(self.table["set"] == name)
        return dict(zip(self.table["index"][rows].tolist(), rows.tolist(), strict=True))


def draw_map(
    record: HessianRecord,
    factor: FloatArray,
    sets: Mapping[str, Dataset],
    picks: NDArray[np.int64],
    open_frames: Callable[[Dataset], Frames],
) -> SelectionMap:
    """Place structures by the first two principal components of their whitened energy rows.

    In whitened coordinates the squared length of a row is 1/PR before any pick. Large sets are
    thinned evenly, and the components are those of the points that are shown: the cost does not
    grow with the pool.

    Parameters
    ----------
    record : HessianRecord
    factor : ndarray of shape (D', D')
        R of the record, for rows of unscaled features.
    sets : mapping of name to Dataset
        "train", "target" and "pool", or some of them.
    picks : ndarray of shape (n,)
        Positions in the pool; all are shown as far as `MOST_BYTES` allow.
    open_frames : callable
        Opens the structure files of a set.

    Returns
    -------
    drawn : SelectionMap
    """
    room = MOST_BYTES / (8 * record.n_columns)
    scale = min(1.0, room / sum(MOST_POINTS.values()))
    tables, whitened = [], []
    for name, data in sets.items():
        most = max(2, int(scale * MOST_POINTS[name]))
        shown = _thinned(data.n_structures, most, picks if name == "pool" else picks[:0])
        rows = EnergyRows(data, row_form(record)).take(shown)
        whitened.append(whiten(rows, factor, overwrite=True))
        tables.append(_described(name, data, shown, open_frames))
    everywhere = np.concatenate(whitened)
    rigidity = reciprocal(squared_norms(everywhere))
    axes = principal_axes(everywhere)
    plane = axes.coordinates(everywhere)
    table = {key: np.concatenate([each[key] for each in tables]) for key in tables[0]}
    table |= {"pr": _few_digits(rigidity), "pc1": _few_digits(plane[:, 0])}
    table |= {"pc2": _few_digits(plane[:, 1])}
    shares = [float(f"{share:.4g}") for share in axes.shares]
    shown_of = {
        name: {"shown": int(np.count_nonzero(table["set"] == name)), "of": data.n_structures}
        for name, data in sets.items()
    }
    return SelectionMap(table, {"variance_shares": shares, "points": shown_of})


def _thinned(n: int, most: int, always: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions at equal distances, and some others, ascending."""
    step = max(1, -(-n // most))
    return np.union1d(np.arange(0, n, step), always[:most]).astype(np.int64)


def _described(
    name: str, data: Dataset, shown: NDArray[np.int64], open_frames: Callable[[Dataset], Frames]
) -> dict[str, NDArray[np.generic]]:
    sources, source, frame = data.frames()
    labels = read_labels(data, shown, lambda: open_frames(data))
    return {
        "set": np.array([name] * len(shown), dtype=object),
        "index": shown,
        "source": np.array(sources, dtype=object)[source[shown]],
        "frame": frame[shown],
        "n_atoms": data.n_atoms[shown],
        "formula": labels.formula,
        "config_type": labels.kind,
    }


def _few_digits(values: FloatArray) -> FloatArray:
    """Round to some digits, relative to the largest finite value for those near zero."""
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max()) if finite.size else 0.0
    if largest == 0.0:
        return values + 0.0
    smallest = 10.0 ** (np.floor(np.log10(largest)) - 2 * _DIGITS)
    rounded = [float(f"{value:.{_DIGITS}g}") for value in values.tolist()]
    return np.where(np.abs(rounded) < smallest, 0.0, rounded) + 0.0
