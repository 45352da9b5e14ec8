"""Structures of a pool that files name: selections made before, frames, or rows of features."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset, Part
from prcli.data.digests import digests_of
from prcli.data.extxyz import FrameIndex
from prcli.data.file_kind import file_kind
from prcli.data.slices import parse_slice, split_slice
from prcli.data.store import open_store
from prcli.data.structure_file import index_structures, read_frames
from prcli.errors import FormatError, MismatchError
from prcli.workflows.evaluate_selections import read_picks
from prcli.workflows.frames import Frames

IntArray = NDArray[np.int64]


def find_chosen(
    argument: str | Path, pool: Dataset, frames: Callable[[], Frames], *, with_copies: bool = False
) -> IntArray:
    """Find the structures of a pool that a file names.

    Parameters
    ----------
    argument : path
        A result directory or ``selection.tsv`` of `prcli select`, lines of file and frame as
        ``--indices`` writes them, a feature store, or structures. Stores and structures may have
        a slice; they are compared by the digests of rows, and by the bytes of frames.
    pool : Dataset
    frames : callable
        Opens the structures of the pool; called only for a file of structures.
    with_copies : bool
        Find all positions of what is in the pool several times, rather than the first.

    Returns
    -------
    indices : ndarray of int
        Positions in the pool, in the order of the file, each once; −1 for what is not in the
        pool.

    Raises
    ------
    PrcliError
        If the file cannot be read, or is a selection from another pool.
    """
    path, text = split_slice(str(argument))
    kind = _kind(path)
    if kind in ("result", "table"):
        table = Path(path, "selection.tsv") if kind == "result" else Path(path)
        return read_picks(table, pool)
    if kind == "lines":
        return _listed(path, pool)
    if kind == "store":
        with open_store(path) as store:
            positions = parse_slice(text, store.n_structures, str(argument))
            wanted = Part(store, positions).select(digests_of(store))
        return _matches(wanted, pool.digests, with_copies)
    if kind in ("extxyz", "structures"):
        index = index_structures(path, digest=False)
        chosen = np.array(parse_slice(text, len(index), str(argument)))
        return _equal_frames(path, index, chosen, pool, frames(), with_copies)
    raise FormatError(
        "structures that were chosen cannot be read from such a file",
        where=path,
        expected="a result of prcli select, lines of file and frame, a store, or structures",
        got=kind,
    )


def _kind(path: str) -> str:
    kind: str = file_kind(path)
    if kind != "unknown":
        return kind
    with open(path, "rb") as file:
        fields = file.readline().rstrip(b"\r\n").split(b"\t")
    return "lines" if len(fields) == 2 and fields[1].isdigit() else kind


def _listed(path: str, pool: Dataset) -> IntArray:
    """Read lines of file and frame."""
    sources, source, frame = pool.frames()
    known: dict[tuple[str, int], list[int]] = {}
    bases = [os.path.basename(name) for name in sources]
    for index, (number, place) in enumerate(zip(source.tolist(), frame.tolist(), strict=True)):
        known.setdefault((bases[number], place), []).append(index)
    found: list[int] = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            name, tab, place = line.rstrip("\r\n").rpartition("\t")
            if not (tab and place.isdecimal()):
                raise FormatError(
                    "a line does not name a structure",
                    where=f"{path}, line {number}",
                    expected="a file and a frame, with a tab between them",
                    got=line.rstrip("\r\n"),
                )
            # Files may be typed in another way.
            places = known.get((os.path.basename(name), int(place)), [-1])
            if len(places) > 1:
                raise MismatchError(
                    "a line names several structures of the pool",
                    where=f"{path}, line {number}",
                    got=line.rstrip("\r\n"),
                    remedy="give the structures themselves, or a result directory",
                )
            found += places
    return _once(np.array(found, dtype=np.int64))


def _equal_frames(
    path: str,
    index: FrameIndex,
    chosen: IntArray,
    pool: Dataset,
    frames: Frames,
    with_copies: bool,
) -> IntArray:
    """Compare frames byte for byte, up to spaces at the end."""
    wanted = _frame_digests(read_frames(path, chosen, index.offset[chosen], index.length[chosen]))
    # Only frames of as many atoms have to be read.
    near = np.flatnonzero(np.isin(pool.n_atoms, index.n_atoms[chosen]))
    positions = _matches(wanted, _frame_digests(frames.read(near)), with_copies)
    # A last entry for what is nowhere.
    return np.append(near, -1)[positions]


def _frame_digests(frames: Iterable[bytes]) -> NDArray[np.uint64]:
    digests = [hashlib.blake2b(frame.rstrip(), digest_size=8).digest() for frame in frames]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def _matches(
    wanted: NDArray[np.uint64], digests: NDArray[np.uint64], with_copies: bool
) -> IntArray:
    """Positions of equal digests, in the order of those that are wanted; −1 for none."""
    order = np.argsort(digests, kind="stable")
    ordered = digests[order]
    first = np.searchsorted(ordered, wanted, side="left")
    last = np.searchsorted(ordered, wanted, side="right")
    if not with_copies:
        last = np.minimum(last, first + 1)
    found = [
        order[begin:end] if end > begin else np.array([-1])
        for begin, end in zip(first.tolist(), last.tolist(), strict=True)
    ]
    return _once(np.concatenate([*found, np.empty(0, dtype=np.int64)]).astype(np.int64))


def _once(indices: IntArray) -> IntArray:
    """Drop repetitions but for −1."""
    unique, first = np.unique(indices, return_index=True)
    keep = np.zeros(len(indices), dtype=bool)
    keep[first] = True
    return indices[keep | (indices < 0)]
