"""A prior on disk: a vector or a square matrix, in any format that features come in."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from prcli.data.formats import FORMATS, open_array
from prcli.errors import FeatureError, FormatError, InputFileError

#: The array that is meant where a file holds several; so a Hessian file gives its own prior.
_NAME = "prior"
_HEAD_BYTES = 64


def read_prior_file(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a prior from an npy, npz, mts or HDF5 file.

    Parameters
    ----------
    path : path-like
        A file with one array, or with one of the name ``prior``.

    Returns
    -------
    (n,) or (n, n) array of float64
        The diagonal, or the matrix. That it fits a Hessian is not checked here.

    Raises
    ------
    InputFileError
        If the file is missing, unreadable, truncated or damaged.
    FormatError
        If the format is not known, the numbers are not real, or it is not clear which array
        is meant.
    """
    try:
        name = _NAME if _is_named(Path(path)) else None
        with open_array(Path(path), array=name) as array:
            rows = array.read(0, array.shape[0]).astype(np.float64, copy=False)
    except (FeatureError, FormatError) as error:
        raise FormatError(
            f"the prior cannot be read: {error.what}",
            where=f"--prior {error.where or path}",
            expected="a vector (n,) or a square matrix (n, n) of real numbers",
            got=error.got,
            remedy="save it alone with numpy.save, or under the name 'prior'",
        ) from error
    except InputFileError as error:
        raise InputFileError(
            "the prior cannot be read",
            where=f"--prior {error.where or path}",
            expected=error.expected,
            got=f"{error.what}: {error.got}" if error.got else error.what,
        ) from error
    # A vector is read as a single row.
    return rows[0] if rows.shape[0] == 1 else rows


def _is_named(path: Path) -> bool:
    """Whether the file names one of its arrays so; False where it cannot be opened."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False
    found = next((known for known in FORMATS if known.recognises(path, head)), None)
    return found is not None and found.holds(path, _NAME)
