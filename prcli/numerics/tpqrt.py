"""LAPACK's `dtpqrt`, called so that other threads can run meanwhile.

SciPy's own wrapper holds the interpreter's lock. The routine itself is what SciPy exports for
compiled extensions (`scipy.linalg.cython_lapack`), called through its address.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Columns that LAPACK factorizes as one panel.
PANEL_COLUMNS = 16

#: Arguments of the routine, all of them pointers: the first four are numbers.
_N_ARGUMENTS = 12


@cache
def _routine() -> Callable[..., None]:
    """Find the routine.

    Raises
    ------
    ImportError
        If SciPy exports another one than the one that is known here.
    """
    from scipy.linalg import cython_lapack

    capsule = cython_lapack.__pyx_capi__["dtpqrt"]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    signature = api.PyCapsule_GetName(capsule)
    if not signature.startswith(b"void (int *,") or signature.count(b"*") != _N_ARGUMENTS:
        raise ImportError(f"this version of SciPy has another dtpqrt: {signature.decode()}")
    address = api.PyCapsule_GetPointer(capsule, signature)
    # Functions of this kind let go of the interpreter's lock while they run.
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * _N_ARGUMENTS)(address)


def tpqrt(factor: FloatArray, block: FloatArray, *, triangular: bool) -> None:
    """Factorize [R; B] and keep the triangle, in place.

    Parameters
    ----------
    factor : ndarray of shape (D, D), Fortran order
        Upper-triangular R; replaced by the new one. D is not zero.
    block : ndarray of shape (M, D), Fortran order
        B, upper-triangular if so said; overwritten. M is not zero.
    triangular : bool
    """
    n_rows, n_columns = block.shape
    panel = min(PANEL_COLUMNS, n_columns)
    room = np.empty((2, panel * n_columns))
    failed = ctypes.c_int(0)
    _routine()(
        _number(n_rows),
        _number(n_columns),
        _number(n_columns if triangular else 0),
        _number(panel),
        _address(factor),
        _number(n_columns),
        _address(block),
        _number(n_rows),
        _address(room[0]),
        _number(panel),
        _address(room[1]),
        ctypes.byref(failed),
    )
    if failed.value:
        raise ValueError(f"argument {-failed.value} of dtpqrt is wrong")


def _number(value: int) -> object:
    """Give the address of an integer."""
    return ctypes.byref(ctypes.c_int(value))


def _address(array: FloatArray) -> int:
    """Address of the first value of an array."""
    return int(array.ctypes.data)
