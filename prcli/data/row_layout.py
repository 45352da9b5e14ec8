"""How arrays of any shape and type are seen as rows of features."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prcli.errors import FeatureError, FormatError


def float_type(dtype: np.dtype[Any]) -> np.dtype[np.floating[Any]]:
    """Return the type that numbers of type `dtype` are read as."""
    if dtype.kind == "f" and dtype.itemsize == 4:
        return np.dtype(np.float32)
    return np.dtype(np.float64)


def is_real(dtype: np.dtype[Any]) -> bool:
    """Tell whether `dtype` is one that features can have."""
    return dtype.kind in "fiu"


def check_real(dtype: np.dtype[Any], where: str) -> None:
    """Raise FormatError unless `dtype` is real floating point or integer."""
    if not is_real(dtype):
        raise FormatError(
            "features are not real numbers",
            where=where,
            expected="float32, float64, float16 or integers",
            got=str(dtype),
        )


def type_notes(dtype: np.dtype[Any]) -> tuple[str, ...]:
    """Say what is noteworthy about numbers of type `dtype`."""
    if dtype.kind == "f" and dtype.itemsize == 8:
        return ()
    if dtype.kind == "f" and dtype.itemsize == 4:
        return ("float32 source",)
    return (f"{dtype.name} source, converted to float64",)


@dataclass(frozen=True)
class RowLayout:
    """How an array of any shape is seen as rows.

    Attributes
    ----------
    shape : tuple of int
        Shape of the array in the file.
    components : tuple of int
        Lengths of the axes that gradients may have between the first and the last, apart or
        as one: each entry of the first axis then holds that many rows. Empty for features.
    """

    shape: tuple[int, ...]
    components: tuple[int, ...] = ()

    @property
    def component_lengths(self) -> tuple[int, ...]:
        """Lengths of the axes between the first and the last, but for those of length 1."""
        return tuple(length for length in self.shape[1:-1] if length != 1)

    @property
    def is_matrix(self) -> bool:
        """Whether the array has two axes or more, and between them none but its components."""
        known = {(), self.components, (prod(self.components),)}
        return len(self.shape) >= 2 and self.component_lengths in known

    @property
    def height(self) -> int:
        """Rows that each entry of the first axis holds."""
        return prod(self.component_lengths)

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """Rows and columns; an array of one axis is one row."""
        if len(self.shape) == 1:
            return 1, self.shape[0]
        return self.shape[0] * self.height, self.shape[-1]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to see the array as rows."""
        if len(self.shape) == 1:
            return ("array of one axis read as the features of one structure",)
        return ("component axis of length 1 squeezed",) * (1 in self.shape[1:-1])

    def check(self, where: str) -> None:
        """Raise FeatureError unless the array can be seen as rows and is not empty."""
        if self.components:
            self._check_gradients(where)
        elif not (len(self.shape) == 1 or self.is_matrix):
            raise FeatureError(
                "array is not a table of feature rows",
                where=where,
                expected="shape (rows, features), with any axis between them of length 1",
                got=f"shape {self.shape}",
                remedy="components that rotate, and axes of frames and atoms, are not features:"
                " keep the invariant part, reshape to one row per structure or atom, save again",
            )
        if 0 in self.shape:
            raise FeatureError("array is empty", where=where, got=f"shape {self.shape}")

    def rows(self, array: Any, wanted: slice | NDArray[np.int64]) -> NDArray[Any]:
        """Return rows of an array, or of an HDF5 dataset, of this shape.

        Parameters
        ----------
        array : array or h5py.Dataset
            Only what the wanted rows need is read from it.
        wanted : slice or (n,) array of int64
            Rows; with several of them in an entry of the first axis, a run.

        Returns
        -------
        (n, D) array
            A view where the layout allows it.
        """
        if len(self.shape) == 1:
            vector: NDArray[Any] = array[()][np.newaxis, :]
            return vector[wanted]
        height, n_columns = self.height, self.shape[-1]
        if height == 1:
            found: NDArray[Any] = array[wanted]
            return found.reshape(-1, n_columns)
        if not isinstance(wanted, slice):
            raise TypeError("arrays of several rows to an entry are read by runs of rows")
        start, stop, _ = wanted.indices(self.matrix_shape[0])
        first = start // height
        entries: NDArray[Any] = array[first : -(-stop // height)]
        return entries.reshape(-1, n_columns)[start - first * height : stop - first * height]

    def _check_gradients(self, where: str) -> None:
        """Raise FeatureError unless the array can be seen as rows of gradients."""
        if self.is_matrix:
            return
        total = prod(self.components)
        forms = [f"({total} n, features)", f"(n, {total}, features)"]
        if len(self.components) > 1:
            forms.append(f"(n, {', '.join(map(str, self.components))}, features)")
        raise FeatureError(
            "array is not a table of gradients",
            where=where,
            expected="shape " + " or ".join(forms),
            got=f"shape {self.shape}",
            remedy="reshape the array, components before features, and save it again",
        )
