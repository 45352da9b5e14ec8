"""How arrays of any shape and type are seen as rows of features."""

from __future__ import annotations

from dataclasses import dataclass
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
    """

    shape: tuple[int, ...]

    @property
    def component_axes(self) -> tuple[int, ...]:
        """Axes between the first and the last."""
        return tuple(range(1, len(self.shape) - 1))

    @property
    def is_matrix(self) -> bool:
        """Whether the array has two axes or more, and only two of any length."""
        return len(self.shape) >= 2 and all(self.shape[axis] == 1 for axis in self.component_axes)

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """Rows and columns; an array of one axis is one row."""
        return (1, self.shape[0]) if len(self.shape) == 1 else (self.shape[0], self.shape[-1])

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to see the array as rows."""
        if len(self.shape) == 1:
            return ("array of one axis read as the features of one structure",)
        return ("component axis of length 1 squeezed",) * bool(self.component_axes)

    def check(self, where: str) -> None:
        """Raise FeatureError unless the array can be seen as rows and is not empty."""
        if not (len(self.shape) == 1 or self.is_matrix):
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

    def view(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the array as rows, without a copy."""
        if len(self.shape) == 1:
            return array[np.newaxis, :]
        return np.squeeze(array, axis=self.component_axes)
