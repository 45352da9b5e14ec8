"""The mts format: a metatensor TensorMap, which is an uncompressed zip of npy arrays.

Block i of the map lies under ``blocks/i/``: ``values.npy`` of shape (rows, components...,
features), and ``samples.npy``, which labels the rows. Labels are structured arrays, one
integer field per name. ``keys.npy`` labels the blocks themselves.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prcli.data.foreign import ForeignArray, Format, JoinedRows, Opening, as_foreign
from prcli.data.formats_npz import open_archive, read_member
from prcli.data.sample_order import SampleLabels, sorting_order
from prcli.errors import FeatureError, FormatError
from prcli.records import Block

_KEYS = "keys.npy"
_LISTED_AT_MOST = 20
_COMPARED_ROWS = 1 << 20


def _recognises(path: Path, head: bytes) -> bool:
    """Tell an mts file by its archive and the names inside."""
    if not head.startswith(b"PK"):
        return False
    with open_archive(path) as archive:
        names = archive.namelist()
    return _KEYS in names and any(name.startswith("blocks/") for name in names)


def _open(opening: Opening) -> ForeignArray:
    """Open all blocks of an mts file as columns side by side."""
    path = opening.path
    if opening.array is not None:
        raise FormatError(
            "arrays of an mts file are not chosen by name",
            where=opening.where,
            remedy="leave out --array; keep the block you want with metatensor and save it alone",
        )
    with open_archive(path) as archive:
        keys = _map(archive, path, _KEYS)
        _check_labels(keys, f"{path}, keys")
        if keys.size == 0:
            raise FeatureError("mts file holds no blocks", where=str(path))
        names = [_name_block(keys, i) for i in range(keys.size)]
        parts = [_map(archive, path, f"blocks/{i}/values.npy") for i in range(keys.size)]
        samples = [_map(archive, path, f"blocks/{i}/samples.npy") for i in range(keys.size)]
        has_gradients = any("/gradients/" in name for name in archive.namelist())
    for labels, values, name in zip(samples, parts, names, strict=True):
        _check_samples(labels, values, f"{path}, block {name}")
    _check_joinable(samples, names, str(path))
    opened = [
        as_foreign(values, f"{path}, block {name}")
        for values, name in zip(parts, names, strict=True)
    ]
    return _join(opened, names, samples[0], str(path), has_gradients)


def _join(
    opened: list[ForeignArray],
    names: list[str],
    samples: NDArray[Any],
    where: str,
    has_gradients: bool,
) -> ForeignArray:
    """Put the columns of blocks with the same rows side by side."""
    notes = [note for array in opened for note in array.notes]
    labels = SampleLabels.of(samples, where)
    order = None if labels is None else sorting_order(labels)
    if labels is None:
        notes.append("no labels of structures: rows taken in the order of the file")
    elif order is not None:
        notes.append(f"rows reordered by their labels ({labels.names})")
    if has_gradients:
        notes.append("gradients in the file are not read")
    blocks = tuple(Block(name, a.shape[1]) for name, a in zip(names, opened, strict=True))
    sources = tuple(array.source for array in opened)
    return ForeignArray(
        source=sources[0] if len(sources) == 1 else JoinedRows(sources),
        where=where,
        notes=tuple(dict.fromkeys(notes)),
        order=order,
        label_structures=None if labels is None else lambda: labels.structures(order),
        blocks=blocks if len(blocks) > 1 else None,
    )


def _map(archive: zipfile.ZipFile, path: Path, file_name: str) -> NDArray[Any]:
    """Map one array of the archive."""
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


def _check_labels(labels: NDArray[Any], where: str) -> None:
    """Raise FormatError unless an array is one of labels."""
    if labels.ndim != 1 or labels.dtype.names is None:
        raise FormatError(
            "labels are not a structured array of one axis",
            where=where,
            got=f"shape {labels.shape} of {labels.dtype}",
        )


def _check_samples(labels: NDArray[Any], values: NDArray[Any], where: str) -> None:
    """Raise unless there is one sample label per row."""
    _check_labels(labels, f"{where}, samples")
    if values.ndim < 2 or values.shape[0] != labels.size:
        raise FormatError(
            "labels and values of a block do not fit",
            where=where,
            expected=f"one row for each of {labels.size} labels",
            got=f"values of shape {values.shape}",
        )


def _check_joinable(samples: list[NDArray[Any]], names: list[str], where: str) -> None:
    """Raise FeatureError unless all blocks describe the same rows."""
    others = [name for s, name in zip(samples, names, strict=True) if not _same(s, samples[0])]
    if others:
        listed = ", ".join(names[:_LISTED_AT_MOST]) + ", …" * (len(names) > _LISTED_AT_MOST)
        raise FeatureError(
            "blocks of the file do not describe the same rows",
            where=where,
            expected="one block, or blocks with identical samples",
            got=f"{len(names)} blocks: {listed}; samples of {others[0]} differ from the first",
            remedy="merge them with keys_to_samples or keys_to_properties of metatensor,"
            " or keep one",
        )


def _same(labels: NDArray[Any], others: NDArray[Any]) -> bool:
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


def _name_block(keys: NDArray[Any], i: int) -> str:
    """Name a block after its key, ``o3_lambda=0/o3_sigma=1``."""
    return "/".join(f"{name}={int(keys[name][i])}" for name in keys.dtype.names or ())


FORMAT = Format("mts (metatensor)", _recognises, _open)
