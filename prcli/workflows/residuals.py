"""Residuals of energies, forces and stresses: predictions minus references.

Energies come from columns, all at once. Forces and stresses come from the structure files,
frame by frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from prcli.data.columns import atom_column
from prcli.data.comment_line import comment, comment_values
from prcli.data.comment_pairs import comment_pairs
from prcli.data.dataset import Dataset
from prcli.errors import FeatureError
from prcli.records import EnergyKind
from prcli.workflows.frames import Frames
from prcli.workflows.structure_columns import StructureColumns
from prcli.workflows.structure_weights import place_of, read_numbers

FloatArray = NDArray[np.float64]

#: Entries of a 3 × 3 tensor, row by row, whose mean is each component xx yy zz yz xz xy.
_VOIGT = np.array([[0, 0], [4, 4], [8, 8], [5, 7], [2, 6], [1, 3]])
_REMEDY = "leave the structure out, or give it the weight 0"


def energy_residuals(
    data: Dataset,
    columns: StructureColumns,
    keys: tuple[str, str],
    energy: EnergyKind,
    counts: NDArray[np.bool_],
    open_frames: Callable[[], Frames],
) -> FloatArray:
    """Predicted minus reference energies.

    Parameters
    ----------
    data : Dataset
    columns : StructureColumns
        Of the same set; it has fetched the keys.
    keys : (str, str)
        Total energies, eV: reference, prediction.
    energy : {"per-atom", "total"}
        Whether residuals are divided by the numbers of atoms.
    counts : ndarray of bool of shape (S,)
        Structures that need a residual.
    open_frames : callable
        Gives the structure files, which a message may quote.

    Returns
    -------
    residuals : ndarray of shape (S,)
        nan for structures that need none.

    Raises
    ------
    FeatureError
        If a structure lacks an energy that it needs.
    """
    energies = []
    for key in keys:
        values, _ = read_numbers(data, columns, key)
        lacking = np.flatnonzero(counts & ~np.isfinite(values))
        if lacking.size:
            index = int(lacking[0])
            where, got = place_of(data, index, key), str(values[index])
            if key not in data.column_names:
                where = f"{open_frames().where(index)}, {key}"
                found = _keys_of(next(open_frames().read([index])))
                got = got if key in found else "the keys " + ", ".join(found)
            raise FeatureError(
                "an energy that the loss needs is absent or not finite",
                where=where,
                expected="a finite number, eV",
                got=got,
                remedy=_REMEDY,
            )
        energies.append(np.where(counts, values, np.nan))
    residuals: FloatArray = energies[1] - energies[0]
    return residuals / data.n_atoms if energy == "per-atom" else residuals


class FrameSequence:
    """Frames of some structures, cheap to read one after the other.

    Parameters
    ----------
    frames : Frames
    indices : ndarray of shape (n,)
        Structures that may be asked for, increasing.
    """

    def __init__(self, frames: Frames, indices: NDArray[np.int64]) -> None:
        self._frames = frames
        self._indices = indices
        self._next = -1
        self._open: Iterator[bytes] = iter(())

    def read(self, index: int) -> bytes:
        """Read the frame of a structure; any but the next one costs a new start there."""
        position = int(np.searchsorted(self._indices, index))
        if position != self._next:
            self._open = self._frames.read(self._indices[position:])
        self._next = position + 1
        frame = next(self._open)
        if self._next == len(self._indices):
            # Asked for one more, the reader closes its file.
            next(self._open, None)
        return frame


def read_forces(
    frame: bytes, keys: tuple[str, str], where: str, *, finite: bool = True
) -> tuple[FloatArray, FloatArray]:
    """Read reference and predicted forces of a frame.

    Parameters
    ----------
    frame : bytes
    keys : (str, str)
        Columns of the atoms: reference, prediction.
    where : str
        File and frame, for messages.
    finite : bool
        Whether each number has to be finite.

    Returns
    -------
    reference, predicted : ndarray of shape (n, 3)
        eV/Å.

    Raises
    ------
    FeatureError
        If a column is absent, has not three numbers per atom, or one that is not finite.
    """
    reference, predicted = (force_column(frame, key, where, finite=finite) for key in keys)
    return reference, predicted


def check_force_columns(frame: bytes, keys: tuple[str, str], where: str) -> None:
    """Refuse a frame without the columns of `read_forces`, without reading its atoms."""
    read_forces(b"0\n" + comment(frame), keys, where)


def read_stresses(
    frame: bytes, keys: tuple[str, str], where: str, *, finite: bool = True
) -> tuple[FloatArray, FloatArray]:
    """Read reference and predicted stress of a frame.

    Parameters
    ----------
    frame : bytes
    keys : (str, str)
        Keys of the comment line: reference, prediction.
    where : str
        File and frame, for messages.
    finite : bool
        Whether each number has to be finite.

    Returns
    -------
    reference, predicted : ndarray of shape (6,)
        Voigt order xx yy zz yz xz xy, eV/Å³; of a tensor the symmetric part.

    Raises
    ------
    FeatureError
        If a key is absent, or its value is not six or nine finite numbers.
    """
    values = comment_values(comment(frame), keys)
    for key in keys:
        if key not in values:
            raise FeatureError(
                f"stress {key!r} is absent",
                where=where,
                expected=f"{key} in the comment line",
                got="the keys " + ", ".join(_keys_of(frame)),
                remedy=_REMEDY,
            )
    reference, predicted = (_voigt(values[key], f"{where}, {key}", finite=finite) for key in keys)
    return reference, predicted


def _keys_of(frame: bytes) -> list[str]:
    return [pair.key.decode("utf-8", "replace") for pair in comment_pairs(comment(frame))]


def force_column(frame: bytes, key: str, where: str, *, finite: bool = True) -> FloatArray:
    """Read one column of forces, shape (n, 3), eV/Å; see `read_forces`."""
    forces: FloatArray = atom_column(frame, key, where)
    if forces.shape[1] != 3:
        raise FeatureError(
            f"column {key!r} does not hold forces",
            where=where,
            expected="three numbers per atom",
            got=f"{forces.shape[1]}",
        )
    known = np.isfinite(forces)
    if finite and not known.all():
        atom, axis = divmod(int(np.argmin(known)), 3)
        raise FeatureError(
            "a force is not finite",
            where=f"{where}, {key}, atom {atom}, {'xyz'[axis]}",
            expected="a finite number",
            got=str(forces[atom, axis]),
            remedy=_REMEDY,
        )
    return forces


def _voigt(value: object, where: str, *, finite: bool) -> FloatArray:
    """Put what the comment line holds for a stress in Voigt order."""
    if not isinstance(value, np.ndarray):
        raise _misshaped_stress(where, repr(value))
    if value.dtype.kind not in "if" or value.shape not in ((6,), (9,), (3, 3)):
        raise _misshaped_stress(where, f"an array of shape {value.shape} of {value.dtype}")
    stress = np.asarray(value, dtype=np.float64)
    if stress.size == 9:
        stress = stress.ravel()[_VOIGT].mean(axis=1)
    if finite and not np.isfinite(stress).all():
        raise FeatureError(
            "a stress is not finite",
            where=where,
            expected="finite numbers",
            got=" ".join(map(str, stress)),
            remedy=_REMEDY,
        )
    return stress


def _misshaped_stress(where: str, got: str) -> FeatureError:
    return FeatureError(
        "a stress is misshaped",
        where=where,
        expected="six numbers (xx yy zz yz xz xy), or a tensor of nine",
        got=got,
    )
