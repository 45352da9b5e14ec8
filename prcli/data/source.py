"""Which structure file, frame and byte each structure of a feature store was made from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prcli.data.hdf5_file import read_strings, write_array, write_strings
from prcli.errors import FeatureError, FormatError
from prcli.records import FileStamp


@dataclass(frozen=True, eq=False)
class StoreSource:
    """Where the structures of a store came from.

    Attributes
    ----------
    files : tuple of FileStamp
        Structure files; a time of 0 and a path that is not absolute where they are not known.
    file : (S,) array of int32
        Position in `files` for each structure.
    frame : (S,) array of int64
        0-based frame in that file.
    offset : (S,) array of int64
        Byte at which the frame begins, after decompression; −1 where it is not known.
    typed : tuple of str
        Paths as the user gave them, by default those of `files`.
    """

    files: tuple[FileStamp, ...]
    file: np.ndarray
    frame: np.ndarray
    offset: np.ndarray
    typed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Convert the arrays and check that they fit each other."""
        for name, dtype in (("file", np.int32), ("frame", np.int64), ("offset", np.int64)):
            object.__setattr__(self, name, np.asarray(getattr(self, name)).astype(dtype))
        if not self.typed:
            object.__setattr__(self, "typed", tuple(stamp.path for stamp in self.files))
        fits = self.file.ndim == 1 and self.file.shape == self.frame.shape == self.offset.shape
        if not fits or len(self.typed) != len(self.files):
            raise FeatureError(
                "source does not fit itself",
                expected="file, frame and offset of shape (S,), a typed path per file",
                got=f"shapes {self.file.shape}, {self.frame.shape}, {self.offset.shape}; "
                f"{len(self.files)} files, {len(self.typed)} typed paths",
            )
        if self.file.size and not 0 <= self.file.min() <= self.file.max() < len(self.files):
            raise FeatureError(
                "source names a file that is not listed",
                expected=f"positions 0 to {len(self.files) - 1}",
                got=f"{self.file.min()} to {self.file.max()}",
            )

    def resolve(self, position: int, store_path: str | os.PathLike[str]) -> Path | None:
        """Find file number `position` on this machine; see `resolve_source`."""
        return resolve_source(self.files[position], store_path, self.typed[position])


def resolve_source(
    stamp: FileStamp, store_path: str | os.PathLike[str], typed: str | None = None
) -> Path | None:
    """Find a source file, also after its folder was moved together with the store.

    Parameters
    ----------
    stamp : FileStamp
        What is known of the file.
    store_path : path-like
        The store that names it.
    typed : str, optional
        The path as the user gave it when the store was written.

    Returns
    -------
    Path or None
        The first that exists of: the path as typed, from the current folder; the same, from
        the store's folder; the file's name in the store's folder; the absolute path. A file
        of the size that the stamp tells goes before one of another size.
    """
    given = stamp.path if typed is None else typed
    folder = Path(store_path).parent
    candidates = [Path(given), folder / given, folder / Path(given).name, Path(stamp.path)]
    existing = [path for path in candidates if path.is_file()]
    same_size = [path for path in existing if path.stat().st_size == stamp.size]
    return next(iter(same_size + existing), None)


def write_source(group: Any, source: StoreSource, with_host: bool) -> None:
    """Store a source.

    Parameters
    ----------
    group : h5py.Group
        The group ``source``.
    source : StoreSource
        What to store.
    with_host : bool
        Whether to store what differs from one machine and day to another: the absolute
        paths and the times of modification.
    """
    files = source.files
    write_strings(group, "path", list(source.typed))
    write_strings(group, "digest", [stamp.digest for stamp in files])
    write_array(group, "size", np.array([stamp.size for stamp in files], dtype=np.int64))
    if with_host:
        times = np.array([stamp.mtime_ns for stamp in files], dtype=np.int64)
        write_strings(group, "absolute_path", [stamp.path for stamp in files])
        write_array(group, "mtime_ns", times)
    for name in ("file", "frame", "offset"):
        write_array(group, name, getattr(source, name))


def read_source(group: Any, n_structures: int, where: str) -> StoreSource | None:
    """Read a source.

    Parameters
    ----------
    group : h5py.Group
        The group ``source``.
    n_structures : int
        S.
    where : str
        Name for messages.

    Returns
    -------
    StoreSource or None
        None if the group does not say from which frames the structures came.

    Raises
    ------
    FormatError
        If the arrays do not fit the structures or each other.
    """
    if not all(name in group for name in ("path", "file", "frame")):
        return None
    typed = [str(path) for path in read_strings(group["path"])]
    paths = _strings_or(group, "absolute_path", typed)
    digests = _strings_or(group, "digest", [""] * len(typed))
    sizes = _integers_or(group, "size", len(typed), -1)
    times = _integers_or(group, "mtime_ns", len(typed), 0)
    file, frame, offset = (
        _integers_or(group, name, n_structures, -1) for name in ("file", "frame", "offset")
    )
    lengths = {len(typed), len(paths), len(digests), len(sizes), len(times)}
    if len(lengths) > 1 or any(array.shape != (n_structures,) for array in (file, frame, offset)):
        raise FormatError(
            "source does not fit the structures",
            where=where,
            expected=f"{n_structures} structures and as many paths, sizes and digests as files",
            got=f"file {file.shape}, frame {frame.shape}, offset {offset.shape}",
        )
    files = map(FileStamp, paths, sizes.tolist(), times.tolist(), digests)
    try:
        return StoreSource(tuple(files), file, frame, offset, tuple(typed))
    except FeatureError as error:
        raise FormatError(
            error.what, where=where, expected=error.expected, got=error.got
        ) from error


def _strings_or(group: Any, name: str, default: Sequence[str]) -> list[str]:
    """Read strings where they are stored."""
    return [str(text) for text in read_strings(group[name])] if name in group else list(default)


def _integers_or(group: Any, name: str, length: int, default: int) -> np.ndarray:
    """Read integers where they are stored."""
    if name not in group:
        return np.full(length, default, dtype=np.int64)
    return np.asarray(group[name][...]).astype(np.int64)
