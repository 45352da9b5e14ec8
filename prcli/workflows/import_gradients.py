"""Gradient rows of an import: which structures have them, and how they come into the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prcli.data.gradients import GRADIENT_KINDS, GradientShape, full_counts
from prcli.data.row_offsets import atom_offsets, structure_runs
from prcli.data.store_writer import StoreWriter
from prcli.errors import FeatureError
from prcli.numerics.square_root import SquareRoot
from prcli.records import Progress
from prcli.workflows.finite import is_finite
from prcli.workflows.gradient_readers import GradientKind
from prcli.workflows.gradient_sources import GradientSource, open_sources
from prcli.workflows.import_request import ImportRequest
from prcli.workflows.import_rows import ImportFrames, ImportRows

Floats: TypeAlias = NDArray[np.floating]

#: Bytes of gradients that one block holds.
_BLOCK_BYTES = 32 << 20
_KINDS: tuple[GradientKind, ...] = ("force", "stress")
_AXES = "xyz"
_STRAINS = ("xx", "yy", "zz", "yz", "xz", "xy")


class ImportGradients:
    """Gradient rows to import, structures side by side with the frames.

    Parameters
    ----------
    sources : list of GradientSource
        At most one of each kind, forces first; at least one.
    frames : ImportFrames
    n_features : int
        D.
    reduce : bool
        Whether more than D rows of a structure and kind become D.

    Attributes
    ----------
    dtype : dtype
        Type of the rows in the store: that of the files, or float64 where rows are reduced.
    notes : tuple of str
        What the user should know about how the files were read.
    """

    def __init__(
        self, sources: list[GradientSource], frames: ImportFrames, n_features: int, reduce: bool
    ) -> None:
        self._sources = sources
        self._frames = frames
        self._n_features = n_features
        self._heights = self._count_rows()
        self.reduced = reduce and bool((self._heights > n_features).any())
        types = [source.reader.dtype for source in sources]
        self.dtype: np.dtype[np.floating] = np.dtype(
            np.float64 if self.reduced else np.result_type(*types)
        )
        self.notes = tuple(note for source in sources for note in source.reader.notes)
        if reduce and not self.reduced:
            self.notes += ("no structure has more gradient rows than features: none reduced",)

    def find_invalid(self) -> NDArray[np.int64]:
        """Structures of which a gradient is not finite, (n,)."""
        found = [np.empty(0, dtype=np.int64)]
        for start, stop in self._runs():
            for source in self._sources:
                rows = source.rows(start, stop)
                if not is_finite(rows):
                    bad = ~np.isfinite(rows).all(axis=1)
                    found.append(self._owners(source.kind, start, stop)[bad])
        return np.unique(np.concatenate(found))

    def n_rows(self, kind: GradientKind, kept: NDArray[np.bool_]) -> int:
        """Rows of a kind in the store, if only some structures are kept."""
        return int(self._stored(kept)[:, _KINDS.index(kind)].sum())

    def shape(self, kept: NDArray[np.bool_]) -> GradientShape:
        """Kinds and structures of the rows in the store, if only some structures are kept."""
        heights = self._stored(kept)[kept]
        structure = np.repeat(np.arange(len(heights)), heights.sum(axis=1))
        return GradientShape(_codes(heights), structure, self.dtype, self.reduced)

    def write(self, writer: StoreWriter, kept: NDArray[np.bool_], progress: Progress) -> None:
        """Write the rows of the structures that are kept.

        Raises
        ------
        FeatureError
            If a gradient is not finite.
        """
        stored, at = self._stored(kept), 0
        for start, stop in self._runs():
            codes = _codes(stored[start:stop])
            block = np.empty((len(codes), self._n_features), dtype=self.dtype)
            for source in self._sources:
                rows = self._kept_rows(source, start, stop, kept)
                # A value beyond float32 becomes infinite, which the writer then refuses.
                with np.errstate(over="ignore"):
                    block[codes == GRADIENT_KINDS[source.kind]] = rows
            if len(block):
                writer.write_gradients(at, block)
            at += len(block)
            progress("gradients", stop, len(kept))

    def _count_rows(self) -> NDArray[np.int64]:
        """Count the rows that each structure has in the files, (S, 2), forces and stresses."""
        heights = np.zeros((len(self._frames.frame), len(_KINDS)), dtype=np.int64)
        for source in self._sources:
            full = full_counts(source.kind, self._frames.n_atoms)
            heights[:, _KINDS.index(source.kind)] = np.where(source.present, full, 0)
        return heights

    def _stored(self, kept: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Count the rows that each structure has in the store, (S, 2)."""
        most = self._n_features if self.reduced else np.iinfo(np.int64).max
        return np.where(kept[:, np.newaxis], np.minimum(self._heights, most), 0)

    def _runs(self) -> Iterator[tuple[int, int]]:
        """Cut structures into runs whose rows fill a block."""
        offsets = atom_offsets(self._heights.sum(axis=1))
        yield from structure_runs(offsets, max(1, _BLOCK_BYTES // (8 * self._n_features)))

    def _owners(self, kind: GradientKind, start: int, stop: int) -> NDArray[np.int64]:
        """Return the structure of each row of a run."""
        return np.repeat(np.arange(start, stop), self._heights[start:stop, _KINDS.index(kind)])

    def _kept_rows(
        self, source: GradientSource, start: int, stop: int, kept: NDArray[np.bool_]
    ) -> Floats:
        """Read the rows of a run as they come into the store."""
        rows = source.rows(start, stop)
        owners = self._owners(source.kind, start, stop)
        if not kept[start:stop].all():
            rows, owners = rows[kept[owners]], owners[kept[owners]]
        if not is_finite(rows):
            self._refuse(source, rows, owners)
        if self.reduced:
            return _reduced(rows, np.diff(np.flatnonzero(np.diff(owners, prepend=-1, append=-1))))
        return rows

    def _refuse(self, source: GradientSource, rows: Floats, owners: NDArray[np.int64]) -> NoReturn:
        """Name frame, atom and axis of the first value that is not finite."""
        row, column = divmod(int(np.argmin(np.isfinite(rows))), rows.shape[1])
        structure = int(owners[row])
        place = row - int(np.searchsorted(owners, structure))
        component = f"component {_STRAINS[place % 6]}"
        if source.kind == "force":
            component = f"atom {place // 3}, axis {_AXES[place % 3]}"
        raise FeatureError(
            f"gradient of the {source.kind} is not finite",
            where=f"{source.reader.where}, column {column}, for {self._frames.typed}, "
            f"frame {int(self._frames.frame[structure])}, {component}",
            expected="a finite number",
            got=str(rows[row, column]),
            remedy="compute the gradients again, or leave such structures out with --skip-invalid",
        )


def open_gradient_rows(
    request: ImportRequest, frames: ImportFrames, rows: ImportRows, stack: ExitStack
) -> ImportGradients | None:
    """Open the gradients that were asked for; None if none were.

    Raises
    ------
    RequestError
        If rows of a kind come from two places, or no structure can have stress rows.
    FeatureError
        If gradients do not fit the structures or the features.
    """
    sources = open_sources(request, frames, rows, stack)
    if sources:
        return ImportGradients(sources, frames, rows.n_features, request.reduce_gradients)
    return None


def _codes(heights: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Codes of the rows of structures, (M,), from their numbers of rows, (S, 2)."""
    codes = np.array([GRADIENT_KINDS[kind] for kind in _KINDS], dtype=np.uint8)
    return np.repeat(np.tile(codes, len(heights)), heights.ravel())


def _reduced(rows: Floats, heights: NDArray[np.int64]) -> Floats:
    """Replace the rows of structures that have more than D by D rows with the same Hessian.

    Parameters
    ----------
    rows : (n, D) array
    heights : (k,) array
        Rows of each structure.
    """
    n_columns = rows.shape[1]
    if (heights <= n_columns).all():
        return rows
    parts, first = [], 0
    for height in heights.tolist():
        part = rows[first : first + height]
        if height > n_columns:
            root = SquareRoot(n_columns)
            root.add_rows(part)
            part = root.factor
        parts.append(part)
        first += height
    return np.concatenate(parts)
