"""Writes .mts files byte for byte as metatensor 0.2 does, with numpy and struct alone.

`data/test_formats_mts.py` compares the bytes with metatensor's own, where that is installed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_UNKNOWN_SIZE = 0xFFFFFFFF
_DATE = (2000 - 1980) << 9 | 1 << 5 | 1
_REGULAR_FILE = 0o100644 << 16


@dataclass(frozen=True)
class MtsBlock:
    """Values of shape (rows, components..., features), the labels of rows, and gradients."""

    values: np.ndarray
    samples: np.ndarray
    gradients: tuple[tuple[str, MtsBlock], ...] = ()


def labels(names: Sequence[str], rows: object) -> np.ndarray:
    """Make labels, one int32 field per name, from (n, len(names)) integers."""
    table = np.ascontiguousarray(np.reshape(rows, (-1, len(names))), dtype="<i4")
    return table.view([(name, "<i4") for name in names]).reshape(-1)


def range_labels(name: str, n: int) -> np.ndarray:
    """Make labels 0 to n - 1 of one name."""
    return labels([name], np.arange(n))


def write_mts(path: Path, keys: np.ndarray, blocks: Sequence[MtsBlock]) -> Path:
    """Write a TensorMap."""
    members = [("keys.npy", _npy(keys))]
    for i, block in enumerate(blocks):
        members += _block_members(f"blocks/{i}/", block, is_gradient=False)
    path.write_bytes(_zip(members))
    return path


def _block_members(prefix: str, block: MtsBlock, *, is_gradient: bool) -> list[tuple[str, bytes]]:
    members = [
        (f"{prefix}values.npy", _npy(block.values)),
        (f"{prefix}samples.npy", _npy(block.samples)),
    ]
    for i, length in enumerate(block.values.shape[1:-1]):
        members.append((f"{prefix}components/{i}.npy", _npy(range_labels(f"c{i}", length))))
    if not is_gradient:
        properties = range_labels("properties", block.values.shape[-1])
        members.append((f"{prefix}properties.npy", _npy(properties)))
    for name, gradient in block.gradients:
        members += _block_members(f"{prefix}gradients/{name}/", gradient, is_gradient=True)
    return members


def _npy(array: np.ndarray) -> bytes:
    if array.dtype.names is None:
        descr = f"'{array.dtype.str}'"
    else:
        fields = "".join(f"('{name}', '<i4'), " for name in array.dtype.names)
        descr = f"[{fields}]"
    shape = "".join(f"{length}, " for length in array.shape)
    header = f"{{ 'descr': {descr}, 'fortran_order': False, 'shape': ({shape}) }}"
    n_header = -(-(10 + len(header) + 1) // 64) * 64 - 10
    start = b"\x93NUMPY\x01\x00" + struct.pack("<H", n_header)
    return start + header.encode().ljust(n_header - 1) + b"\n" + array.tobytes()


def _zip(members: Sequence[tuple[str, bytes]]) -> bytes:
    body, directory = b"", b""
    for name, data in members:
        offset, encoded, crc = len(body), name.encode(), zlib.crc32(data)
        fields = (20, 0, 0, 0, _DATE, crc)
        zip64 = struct.pack("<HHQQ", 1, 16, len(data), len(data))
        sizes = (_UNKNOWN_SIZE, _UNKNOWN_SIZE, len(encoded), len(zip64))
        local = struct.pack("<4s5H3L2H", b"PK\x03\x04", *fields, *sizes)
        body += local + encoded + zip64 + data
        tail = (len(data), len(data), len(encoded), 0, 0, 0, 0, _REGULAR_FILE, offset)
        directory += struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 814, *fields, *tail) + encoded
    n = len(members)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, n, n, len(directory), len(body), 0)
    return body + directory + end
