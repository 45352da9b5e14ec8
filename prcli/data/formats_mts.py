"""The mts format: a metatensor TensorMap, which is an uncompressed zip of npy arrays.

Block i of the map lies under ``blocks/i/``: ``values.npy`` of shape (rows, components...,
features), and ``samples.npy``, which labels the rows. Labels are structured arrays, one
integer field per name. ``keys.npy`` labels the blocks themselves. Gradients lie below
``blocks/i/gradients/NAME/``; `prcli.data.mts_gradients` reads them. Several blocks become
columns side by side, or share columns: see `prcli.data.mts_columns`.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from prcli.data.foreign import ForeignArray, Format, JoinedRows, Opening, as_foreign
from prcli.data.formats_npz import open_archive
from prcli.data.mts_archive import KEYS, Labels, check_labels, map_member, same_labels
from prcli.data.mts_columns import BlockColumns, block_columns
from prcli.data.mts_rows import merge_rows
from prcli.data.sample_order import SampleLabels, sorting_order
from prcli.errors import FeatureError, FormatError

_GRADIENT = re.compile(r"blocks/\d+/gradients/([^/]+)/values\.npy")


def _recognises(path: Path, head: bytes) -> bool:
    """Tell an mts file by its archive and the names inside."""
    if not head.startswith(b"PK"):
        return False
    with open_archive(path) as archive:
        names = archive.namelist()
    return KEYS in names and any(name.startswith("blocks/") for name in names)


def _open(opening: Opening) -> ForeignArray:
    """Open all blocks of an mts file as columns side by side."""
    path = opening.path
    if opening.components:
        raise FormatError(
            "an mts file is no array of gradients",
            where=opening.where,
            expected="an npy, npz or HDF5 file",
            remedy="gradients of a TensorMap are read with its features:"
            " --features FILE --gradients",
        )
    if opening.array is not None:
        raise FormatError(
            "arrays of an mts file are not chosen by name",
            where=opening.where,
            remedy="leave out --array; keep the block you want with metatensor and save it alone",
        )
    with open_archive(path) as archive:
        blocks = block_columns(archive, path)
        numbers = range(len(blocks.names))
        parts = [map_member(archive, path, f"blocks/{i}/values.npy") for i in numbers]
        samples = [map_member(archive, path, f"blocks/{i}/samples.npy") for i in numbers]
        gradient_names = _find_gradients(archive)
    for labels, values, name in zip(samples, parts, blocks.names, strict=True):
        _check_samples(labels, values, f"{path}, block {name}")
    opened = _open_blocks(parts, blocks, str(path))
    same_rows = all(same_labels(labels, samples[0]) for labels in samples)
    join = _join if same_rows and blocks.centre_name is None else _merge
    found = join(opened, blocks, samples, str(path))
    notes = [note for array in opened if array is not None for note in array.notes]
    per_atom = "atom" in found.labels
    notes += [*found.notes, *blocks.notes(same_rows=same_rows, per_atom=per_atom)]
    return replace(
        found,
        notes=tuple(dict.fromkeys(notes)),
        blocks=blocks.groups if len(blocks.groups) > 1 else None,
        gradient_names=gradient_names,
        is_added=blocks.centre_name is not None and not per_atom,
    )


def _open_blocks(
    parts: list[NDArray[Any]], blocks: BlockColumns, where: str
) -> list[ForeignArray | None]:
    """Open the values of each block; None where one of several has no rows."""
    if not any(len(values) for values in parts):
        raise FeatureError("array is empty", where=where, got=f"shape {parts[0].shape}")
    return [
        as_foreign(values, f"{where}, block {name}") if len(values) else None
        for values, name in zip(parts, blocks.names, strict=True)
    ]


def _join(
    opened: list[ForeignArray | None], blocks: BlockColumns, samples: list[Labels], where: str
) -> ForeignArray:
    """Put the columns of blocks with the same rows side by side."""
    sources = tuple(array.source for array in opened if array is not None)
    labels = SampleLabels.of(samples[0], where)
    source = sources[0] if len(sources) == 1 else JoinedRows(sources)
    if labels is None:
        note = "no labels of structures: rows taken in the order of the file"
        return ForeignArray(source, where, (note,))
    order = sorting_order(labels)
    return ForeignArray(
        source,
        where,
        (f"rows reordered by their labels ({labels.names})",) if order is not None else (),
        order,
        lambda: labels.structures(order),
        labels=labels.kinds,
    )


def _merge(
    opened: list[ForeignArray | None], blocks: BlockColumns, samples: list[Labels], where: str
) -> ForeignArray:
    """Bring blocks of different rows together."""
    sources = [None if array is None else array.source for array in opened]
    rows, labels = merge_rows(sources, samples, blocks, where)
    return ForeignArray(
        rows, where, label_structures=lambda: labels.structures(None), labels=labels.kinds
    )


def _check_samples(labels: NDArray[Any], values: NDArray[Any], where: str) -> None:
    """Raise unless there is one sample label per row."""
    check_labels(labels, f"{where}, samples")
    if values.ndim < 2 or values.shape[0] != labels.size:
        raise FormatError(
            "labels and values of a block do not fit",
            where=where,
            expected=f"one row for each of {labels.size} labels",
            got=f"values of shape {values.shape}",
        )


def _find_gradients(archive: zipfile.ZipFile) -> tuple[str, ...]:
    """Name what the file holds gradients with respect to, each once."""
    found = (_GRADIENT.match(name) for name in archive.namelist())
    return tuple(dict.fromkeys(match[1] for match in found if match))


FORMAT = Format("mts (metatensor)", _recognises, _open)
