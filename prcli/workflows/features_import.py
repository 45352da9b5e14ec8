"""Turn features that another program wrote into a feature store."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prcli.data.checks import atom_offsets
from prcli.data.column_layout import column_layout
from prcli.data.columns import atom_column, species
from prcli.data.comment_line import comment_values
from prcli.data.comment_pairs import comment, comment_pairs
from prcli.data.conventions import RowConvention, check_convention, parse_blocks
from prcli.data.dataset import parse_slice, split_slice
from prcli.data.digests import structure_runs
from prcli.data.extxyz import FrameIndex, index_frames, open_frames
from prcli.data.formats import looks_rounded, open_array
from prcli.data.provenance import make_provenance, stamp_file
from prcli.data.publish import check_output
from prcli.data.source import StoreSource
from prcli.data.store_writer import StoreWriter
from prcli.data.streams import spool
from prcli.errors import FeatureError, RequestError
from prcli.records import Block, Progress, Provenance, no_progress

logger = logging.getLogger(__name__)

#: Bytes of features that one block holds.
_BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class ImportRequest:
    """What to import.

    Attributes
    ----------
    structures : str
        extxyz file, with an optional slice, or ``-`` for standard input.
    output : str
        Feature store to write.
    features : str, optional
        npy, npz, mts or HDF5 file with one row per structure or per atom.
    array : str, optional
        Name of the array where `features` holds several.
    feature_key : str, optional
        Per-atom column or vector of the comment line, instead of `features`.
    convention : {"mean", "sum", "per-atom"}, optional
        What the rows are; needed unless `feature_key` names a column.
    blocks : str, optional
        ``name:width,…``, the components of the model in column order.
    allow_pickle, skip_invalid, overwrite : bool
    with_provenance : bool
        Whether time, command line and machine are recorded.
    """

    structures: str
    output: str
    features: str | None = None
    array: str | None = None
    feature_key: str | None = None
    convention: RowConvention | None = None
    blocks: str | None = None
    allow_pickle: bool = False
    skip_invalid: bool = False
    overwrite: bool = False
    with_provenance: bool = True


@dataclass(frozen=True)
class ImportSummary:
    """What was imported.

    Attributes
    ----------
    path : str
    n_structures, n_atoms, n_features : int
    dtype : str
    convention : {"mean", "sum", "per-atom"}
        What the rows were.
    skipped : tuple of int
        Frames left out because a feature was not finite.
    notes : tuple of str
        What the user should know.
    """

    path: str
    n_structures: int
    n_atoms: int
    n_features: int
    dtype: str
    convention: RowConvention
    skipped: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def import_features(
    request: ImportRequest, progress: Progress = no_progress, *, spooled: Path | None = None
) -> ImportSummary:
    """Write a feature store from structures and features.

    Parameters
    ----------
    request : ImportRequest
    progress : callable
    spooled : Path, optional
        Where standard input has been kept by the caller, who needs its frames later.

    Returns
    -------
    summary : ImportSummary

    Raises
    ------
    FeatureError
        If rows and structures do not fit each other, or features are absent or not finite.
    OutputError
        If the store cannot be written.
    """
    check_output(request.output, request.overwrite)
    if (request.features is None) == (request.feature_key is None):
        raise RequestError(
            "features must come from one place",
            expected="either --features FILE or --feature-key KEY",
            got="both" if request.features else "neither",
        )
    with ExitStack() as stack:
        frames = _open_structures(request.structures, stack, spooled)
        if request.features is not None:
            rows: _Rows = _ArrayRows(request, frames, stack)
        else:
            rows = _FrameRows(request, frames)
        for note in rows.notes:
            logger.info("%s", note)
        skipped = _find_invalid(rows, frames) if request.skip_invalid else np.empty(0, np.int64)
        return _write(request, frames, rows, skipped, progress)


class _Frames:
    """Frames of the structures file that take part."""

    def __init__(self, typed: str, path: Path, index: FrameIndex, chosen: range) -> None:
        self.typed = typed
        self.path = path
        self.index = index
        self.frame: NDArray[np.int64] = np.array(chosen, dtype=np.int64)
        self.n_atoms = index.n_atoms[self.frame]
        self.offsets = atom_offsets(self.n_atoms)

    def read(self, positions: range | NDArray[np.int64]) -> Iterator[tuple[int, bytes]]:
        """Yield (frame number, bytes) of some of the frames."""
        frame = self.frame[np.asarray(positions)]
        with open_frames(self.path) as reader:
            contents = reader.frames(self.index.offset[frame], self.index.length[frame])
            yield from zip(frame.tolist(), contents, strict=True)


def _open_structures(argument: str, stack: ExitStack, spooled: Path | None) -> _Frames:
    """Index the structures file; standard input is kept in a temporary file first."""
    typed, text = split_slice(argument)
    path = Path(typed)
    if typed == "-":
        path = spooled or stack.enter_context(spool(sys.stdin.buffer))
    index = index_frames(path)
    if typed == "-" and spooled is None:
        # Nothing to come back to.
        index = replace(index, stamp=replace(index.stamp, path="-"))
    return _Frames(typed, path, index, parse_slice(text, len(index), argument))


class _Rows:
    """Features to import, one row per structure or per atom."""

    convention: RowConvention
    n_features: int
    dtype: np.dtype[np.floating]
    notes: tuple[str, ...] = ()
    blocks: tuple[Block, ...] | None = None

    def runs(
        self, frames: _Frames
    ) -> Iterator[tuple[int, int, NDArray[np.floating], NDArray[np.uint8]]]:
        """Yield (first structure, past the last, rows, species of their atoms)."""
        raise NotImplementedError

    @property
    def n_bytes_per_atom(self) -> int:
        """Bytes of a row."""
        return self.n_features * self.dtype.itemsize


class _ArrayRows(_Rows):
    """Rows of a file of their own."""

    def __init__(self, request: ImportRequest, frames: _Frames, stack: ExitStack) -> None:
        assert request.features is not None
        if request.convention is None:
            raise RequestError(
                "the convention of the features is not stated",
                where="--convention",
                expected="mean, sum or per-atom: what a row of the features file is",
                remedy="see the documentation of the program that wrote the file",
            )
        self.convention = request.convention
        self._array = stack.enter_context(
            open_array(request.features, array=request.array, allow_pickle=request.allow_pickle)
        )
        n_rows, self.n_features = self._array.shape
        check_convention(
            self.convention, n_rows, len(frames.frame), int(frames.offsets[-1]), request.features
        )
        self.dtype = self._array.dtype
        self.notes = self._array.notes
        self.blocks = self._array.blocks
        self._check_labels(frames, request.features)

    def _check_labels(self, frames: _Frames, where: str) -> None:
        """Compare the file's own labels of structures, where it has them."""
        labels = self._array.sample_structure
        if labels is None or self.convention != "per-atom":
            return
        expected = np.repeat(np.arange(len(frames.n_atoms)), frames.n_atoms)
        wrong = np.flatnonzero(labels != expected)
        if wrong.size:
            first = int(expected[wrong[0]])
            raise FeatureError(
                "the feature file gives a structure another number of atoms",
                where=f"{where}, structure {first}",
                expected=f"{frames.n_atoms[first]} atoms",
                got=f"{np.count_nonzero(labels == first)} rows",
            )

    def runs(
        self, frames: _Frames
    ) -> Iterator[tuple[int, int, NDArray[np.floating], NDArray[np.uint8]]]:
        """Read rows and species side by side."""
        most = max(1, _BLOCK_BYTES // self.n_bytes_per_atom)
        contents = frames.read(range(len(frames.frame)))
        for start, stop in structure_runs(frames.offsets, most):
            numbers = [
                species(content, f"{frames.typed}, frame {frame}")
                for frame, content in (next(contents) for _ in range(stop - start))
            ]
            first, last = start, stop
            if self.convention == "per-atom":
                first, last = int(frames.offsets[start]), int(frames.offsets[stop])
            yield start, stop, self._array.read(first, last), np.concatenate(numbers)


class _FrameRows(_Rows):
    """Rows that the frames themselves carry."""

    def __init__(self, request: ImportRequest, frames: _Frames) -> None:
        assert request.feature_key is not None
        self._key = request.feature_key
        frame, content = next(frames.read(np.array([0])))
        where = f"{frames.typed}, frame {frame}"
        is_column = column_layout(comment(content)).find(self._key) is not None
        if is_column and request.convention not in (None, "per-atom"):
            raise RequestError(
                f"{self._key!r} is a per-atom column",
                where=where,
                expected="--convention per-atom, or none",
                got=f"--convention {request.convention}",
            )
        if not is_column and request.convention not in ("mean", "sum"):
            self._require_key(content, where)
            raise RequestError(
                f"{self._key!r} is one vector per structure",
                where=where,
                expected="--convention mean or sum",
                got=f"--convention {request.convention}" if request.convention else "none",
            )
        self.convention = "per-atom" if is_column else request.convention or "mean"
        rows = self._parse(content, where)
        self.n_features = rows.shape[1]
        self.dtype = np.dtype(np.float64)
        if looks_rounded(rows):
            self.notes = (f"features of {self._key!r} are rounded to 8 decimals or fewer",)

    def _require_key(self, content: bytes, where: str) -> None:
        pairs = comment_pairs(comment(content))
        if not any(pair.key.decode("utf-8", "surrogateescape") == self._key for pair in pairs):
            keys = [pair.key.decode("utf-8", "replace") for pair in pairs]
            columns = [column.name for column in column_layout(comment(content)).columns]
            raise FeatureError(
                f"key {self._key!r} is absent",
                where=where,
                expected="a per-atom column, one of " + ", ".join(columns),
                got="keys of the comment line: " + ", ".join(keys),
            )

    def _parse(self, content: bytes, where: str) -> NDArray[np.float64]:
        """Rows of one frame, shape (n_atoms, D) or (1, D)."""
        if self.convention == "per-atom":
            return atom_column(content, self._key, where)
        self._require_key(content, where)
        value = comment_values(comment(content), [self._key])[self._key]
        if not isinstance(value, (np.ndarray, float, int)) or isinstance(value, bool):
            raise FeatureError(
                f"{self._key!r} is not a vector of numbers", where=where, got=repr(value)[:80]
            )
        return np.array(value, dtype=np.float64).reshape(1, -1)

    def runs(
        self, frames: _Frames
    ) -> Iterator[tuple[int, int, NDArray[np.floating], NDArray[np.uint8]]]:
        """Parse frame by frame."""
        most = max(1, _BLOCK_BYTES // self.n_bytes_per_atom)
        contents = frames.read(range(len(frames.frame)))
        for start, stop in structure_runs(frames.offsets, most):
            rows, numbers = [], []
            for _ in range(stop - start):
                frame, content = next(contents)
                where = f"{frames.typed}, frame {frame}"
                rows.append(self._parse(content, where))
                numbers.append(species(content, where))
                if rows[-1].shape[1] != self.n_features:
                    raise FeatureError(
                        f"{self._key!r} changes its width",
                        where=where,
                        expected=f"{self.n_features} numbers, as in the first frame",
                        got=f"{rows[-1].shape[1]} numbers",
                    )
            yield start, stop, np.concatenate(rows), np.concatenate(numbers)


def _find_invalid(rows: _Rows, frames: _Frames) -> NDArray[np.int64]:
    """Structures of which a feature is not finite."""
    found: list[NDArray[np.int64]] = []
    for start, stop, block, _ in rows.runs(frames):
        bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if rows.convention == "per-atom":
            atoms = bad + frames.offsets[start]
            found.append(np.unique(np.searchsorted(frames.offsets, atoms, side="right") - 1))
        else:
            found.append(bad + start)
        if found[-1].size and found[-1][-1] >= stop:
            raise AssertionError("a block reaches past its structures")
    return np.concatenate(found) if found else np.empty(0, np.int64)


def _write(
    request: ImportRequest,
    frames: _Frames,
    rows: _Rows,
    skipped: NDArray[np.int64],
    progress: Progress,
) -> ImportSummary:
    kept = np.ones(len(frames.frame), dtype=bool)
    kept[skipped] = False
    if not kept.any():
        raise FeatureError("no structure has finite features", where=request.structures)
    n_atoms = frames.n_atoms[kept]
    numbers = np.empty(int(n_atoms.sum()), dtype=np.uint8)
    per_atom = rows.convention == "per-atom"
    blocks = parse_blocks(request.blocks, rows.n_features) if request.blocks else rows.blocks
    writer = StoreWriter(
        request.output,
        n_atoms=n_atoms,
        n_features=rows.n_features,
        dtype=rows.dtype,
        convention="sum" if rows.convention == "sum" else "mean",
        structures=True,
        structures_dtype=np.float64 if per_atom else None,
        atoms=per_atom,
        blocks=blocks,
        source=_source(frames, kept),
        provenance=_provenance(request, frames),
        overwrite=request.overwrite,
    )
    with writer:
        structure = atom = 0
        for start, stop, block, species_block in rows.runs(frames):
            keep = kept[start:stop]
            keep_atoms = np.repeat(keep, frames.n_atoms[start:stop])
            chosen = block[keep_atoms if per_atom else keep]
            numbers[atom : atom + np.count_nonzero(keep_atoms)] = species_block[keep_atoms]
            if per_atom and len(chosen):
                writer.write_atoms(atom, chosen)
                chosen = _means(chosen, frames.n_atoms[start:stop][keep])
            if len(chosen):
                writer.write_structures(structure, chosen)
            structure += int(np.count_nonzero(keep))
            atom += int(np.count_nonzero(keep_atoms))
            progress("import", stop, len(frames.frame))
        writer.write_species(numbers)
    skipped_frames = tuple(int(i) for i in frames.frame[skipped])
    if skipped_frames:
        logger.warning(
            "%d structures left out because a feature is not finite: frames %s",
            len(skipped_frames),
            ", ".join(map(str, skipped_frames)),
        )
    return ImportSummary(
        path=request.output,
        n_structures=len(n_atoms),
        n_atoms=int(n_atoms.sum()),
        n_features=rows.n_features,
        dtype=rows.dtype.name,
        convention=rows.convention,
        skipped=skipped_frames,
        notes=rows.notes,
    )


def _means(rows: NDArray[np.floating], n_atoms: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean over the atoms of each structure, in float64."""
    starts = atom_offsets(n_atoms)[:-1]
    sums = np.add.reduceat(rows.astype(np.float64), starts)
    means: NDArray[np.float64] = sums / n_atoms[:, np.newaxis]
    return means


def _source(frames: _Frames, kept: NDArray[np.bool_]) -> StoreSource | None:
    if frames.index.stamp.path == "-":
        return None
    frame = frames.frame[kept]
    return StoreSource(
        files=(frames.index.stamp,),
        file=np.zeros(len(frame), dtype=np.int32),
        frame=frame,
        offset=frames.index.offset[frame],
        typed=(frames.typed,),
    )


def _provenance(request: ImportRequest, frames: _Frames) -> Provenance | None:
    if not request.with_provenance:
        return None
    inputs = [frames.index.stamp]
    if request.features is not None:
        inputs.append(stamp_file(os.fspath(request.features)))
    settings = {"convention": request.convention, "feature_key": request.feature_key}
    return make_provenance(inputs, settings)
