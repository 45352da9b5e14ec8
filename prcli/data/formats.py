"""Features that other programs wrote: the one way to open such a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from prcli.data import formats_hdf5, formats_mts, formats_npy, formats_npz
from prcli.data.foreign import ForeignArray, Format, Opening
from prcli.errors import FormatError, InputFileError

__all__ = ["FORMATS", "ForeignArray", "looks_rounded", "open_array", "read_head"]

#: In the order in which they are tried: an .mts file is an npz file of a special kind.
FORMATS: tuple[Format, ...] = (
    formats_npy.FORMAT,
    formats_mts.FORMAT,
    formats_npz.FORMAT,
    formats_hdf5.FORMAT,
)

_HEAD_BYTES = 64
#: First bytes of files that are often handed over by mistake, for the message.
_OTHERS = {
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\x00": "an xz file",
    b"PK": "a zip file without arrays of numpy",
    b"\x80\x02": "a Python pickle",
    b"\x80\x03": "a Python pickle",
    b"\x80\x04": "a Python pickle",
    b"\x80\x05": "a Python pickle",
}


def open_array(
    path: str | Path,
    *,
    array: str | None = None,
    allow_pickle: bool = False,
    components: tuple[int, ...] = (),
) -> ForeignArray:
    """Open an array of features or gradients, recognising the format from the content.

    Nothing but headers and labels is read here; `ForeignArray.read` reads rows.

    Parameters
    ----------
    path : str or Path
        npy, npz, mts (metatensor) or HDF5 file.
    array : str, optional
        Name of the npz member, or path of the HDF5 dataset. The name is that of the features:
        gradients need not be in a file that has it.
    allow_pickle : bool
        Whether npy arrays of Python objects may be unpickled, which can run code.
    components : tuple of int
        For gradients: lengths of the axes that there may be between the first axis and that of
        the features, apart or as one. Without those axes the rows lie below each other.

    Returns
    -------
    ForeignArray
        Rows of shape (n_rows, n_features); for gradients one for each component.

    Raises
    ------
    InputFileError
        If the file is missing, unreadable, truncated or damaged.
    FormatError
        If the format is not known, the numbers are not real, or `array` does not settle
        which of several arrays is meant.
    FeatureError
        If the array cannot be seen as feature rows, or its labels have gaps.
    """
    path = Path(path)
    head = read_head(path)
    for known in FORMATS:
        if known.recognises(path, head):
            if components and array is not None and not known.holds(path, array):
                array = None
            return known.open(Opening(path, array, allow_pickle, components))
    raise FormatError(
        "file format is not known",
        where=str(path),
        expected=", ".join(known.name for known in FORMATS),
        got=_name_other(head),
        remedy="save the features with numpy.save, one row per structure or per atom",
    )


def looks_rounded(values: ArrayLike, decimals: int = 8) -> bool:
    """Tell whether numbers seem to come from text with that many decimals.

    Parameters
    ----------
    values : array_like of float64
        Numbers of any shape; those not finite are passed over.
    decimals : int
        Digits after the decimal point.

    Returns
    -------
    bool
        True if no value has more decimals, and at least one is not an integer.
    """
    numbers = np.asarray(values, dtype=np.float64)
    numbers = numbers[np.isfinite(numbers)]
    # Rounding twice is exact for what a parser made of that many decimals: both are the
    # double nearest to an integer over a power of ten.
    return bool(
        np.array_equal(np.round(numbers, decimals), numbers) and np.any(numbers != np.rint(numbers))
    )


def read_head(path: Path) -> bytes:
    """Return the first bytes of a file.

    Raises
    ------
    InputFileError
        If it is missing, a folder, or not readable.
    """
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError as error:
        raise InputFileError(
            "feature file cannot be read", where=str(path), got=error.strerror or str(error)
        ) from error


def _name_other(head: bytes) -> str:
    """Describe a file of a format that is not read."""
    if not head:
        return "an empty file"
    for magic, name in _OTHERS.items():
        if head.startswith(magic):
            return name
    return f"first bytes {head[:8]!r}"
