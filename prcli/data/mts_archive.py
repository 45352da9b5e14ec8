"""Arrays and labels inside an mts file, which is a zip archive of npy arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prcli.data.formats_npz import read_member
from prcli.errors import FormatError

KEYS = "keys.npy"
#: Structured arrays of one axis, one integer field per name.
Labels: TypeAlias = NDArray[Any]

_COMPARED_ROWS = 1 << 20


def map_member(archive: zipfile.ZipFile, path: Path, file_name: str) -> NDArray[Any]:
    """Map one array of the archive.

    Raises
    ------
    FormatError
        If it is not there, compressed, or not of numbers.
    """
    if file_name not in archive.NameToInfo:
        raise FormatError("array is missing from the mts file", where=str(path), expected=file_name)
    member = read_member(archive, path, file_name)
    if not member.is_stored:
        raise FormatError(
            "mts file is compressed",
            where=member.where,
            expected="stored members, as metatensor writes them",
            remedy="zip the arrays again without compression (zip -0)",
        )
    if member.header.dtype.hasobject:
        raise FormatError("mts file holds pickled Python objects", where=member.where)
    return member.map()


def check_labels(labels: NDArray[Any], where: str) -> None:
    """Raise FormatError unless an array is one of labels."""
    if labels.ndim != 1 or labels.dtype.names is None:
        raise FormatError(
            "labels are not a structured array of one axis",
            where=where,
            got=f"shape {labels.shape} of {labels.dtype}",
        )


def spell_key(keys: Labels, i: int, names: Sequence[str] | None = None) -> str:
    """Name a block after its key, ``o3_lambda=0/o3_sigma=1``, or after some fields of it."""
    chosen = (keys.dtype.names or ()) if names is None else names
    return "/".join(f"{name}={int(keys[name][i])}" for name in chosen)


def same_labels(labels: Labels, others: Labels) -> bool:
    """Compare labels in blocks, so that long ones stay on disk."""
    if labels is others:
        return True
    if labels.dtype != others.dtype or labels.shape != others.shape:
        return False
    starts = range(0, labels.size, _COMPARED_ROWS)
    return all(
        np.array_equal(labels[i : i + _COMPARED_ROWS], others[i : i + _COMPARED_ROWS])
        for i in starts
    )
