from __future__ import annotations

import bz2
import gzip
import lzma
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from prcli.data.file_kind import file_kind
from prcli.errors import InputFileError

FRAME = b" 2 \nProperties=species:S:1:pos:R:3\nH 0 0 0\nH 0 0 1\n"


def hdf5(path: Path, file_format: object = None, userblock_size: int = 0) -> None:
    with h5py.File(path, "w", userblock_size=userblock_size) as file:
        if file_format is not None:
            file.attrs["format"] = file_format
    if userblock_size:
        with open(path, "r+b") as raw:
            raw.write(b"2\n")


def archive(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, b"")


MAKERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "store": ("store", lambda path: hdf5(path, "prcli-features")),
    "store with bytes": ("store", lambda path: hdf5(path, np.bytes_(b"prcli-features"))),
    "hessian": ("hessian", lambda path: hdf5(path, "prcli-hessian")),
    "hdf5": ("hdf5", hdf5),
    "hdf5 of a number": ("hdf5", lambda path: hdf5(path, 3)),
    "hdf5 of another format": ("hdf5", lambda path: hdf5(path, "keras")),
    "hdf5 behind a user block": ("store", lambda path: hdf5(path, "prcli-features", 512)),
    "npy": ("npy", lambda path: path.write_bytes(b"\x93NUMPY\x01\x00...")),
    "npz": ("npz", lambda path: archive(path, "a.npy", "b.npy")),
    "mts": ("mts", lambda path: archive(path, "keys.npy", "blocks/0/values.npy", "info.json")),
    "npz with keys": ("npz", lambda path: archive(path, "keys.npy", "a.npy")),
    "zip": ("zip", lambda path: archive(path, "model/data.pkl")),
    "empty zip": ("zip", archive),
    "extxyz": ("extxyz", lambda path: path.write_bytes(FRAME)),
    "gzip": ("extxyz", lambda path: path.write_bytes(gzip.compress(FRAME))),
    "bzip2": ("extxyz", lambda path: path.write_bytes(bz2.compress(FRAME))),
    "xz": ("extxyz", lambda path: path.write_bytes(lzma.compress(FRAME))),
    "gzip of text": ("unknown", lambda path: path.write_bytes(gzip.compress(b"text"))),
    "extxyz of windows": ("extxyz", lambda path: path.write_bytes(b"2\r\nProperties=...\r\n")),
    "table": ("table", lambda path: path.write_bytes(b"rank\tindex\tsource\n")),
    "text": ("unknown", lambda path: path.write_bytes(b"an index of names\n")),
    "blank line": ("unknown", lambda path: path.write_bytes(b"\n2\n")),
}


@pytest.mark.parametrize("case", MAKERS)
def test_kind_is_told_from_the_content(tmp_path: Path, case: str) -> None:
    expected, make = MAKERS[case]
    path = tmp_path / "file.jpg"
    make(path)
    assert file_kind(path) == expected


def test_result_directory(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    assert file_kind(tmp_path) == "result"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.touch(), "file is empty"),
        (lambda path: path.mkdir(), "not a regular file[\\s\\S]*a directory"),
        (os.mkfifo, "not a regular file[\\s\\S]*a pipe"),
        (lambda path: path.write_bytes(b"PK\x03\x04 cut"), "zip archive .* is truncated"),
        (lambda path: path.write_bytes(gzip.compress(FRAME)[:15]), "packed file is truncated"),
        (lambda path: path.write_bytes(b"\x1f\x8b nonsense"), "packed file is truncated"),
        (lambda path: path.write_bytes(b"BZh9 nonsense"), "packed file is truncated"),
        (lambda path: path.write_bytes(b"\xfd7zXZ\x00 nonsense"), "packed file is truncated"),
        (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n cut"), "HDF5 file is"),
    ],
)
def test_unreadable_files(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    make(tmp_path / "file")
    with pytest.raises(InputFileError, match=message):
        file_kind(tmp_path / "file")


def test_truncated_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "file", "w") as file:
        file["x"] = np.ones(1000)
    os.truncate(tmp_path / "file", 4000)
    with pytest.raises(InputFileError, match="truncated"):
        file_kind(tmp_path / "file")
