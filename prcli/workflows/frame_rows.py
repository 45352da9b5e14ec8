"""Rows to import that the structures carry themselves: a column, or a vector in each frame."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from prcli.data.column_layout import column_layout
from prcli.data.columns import atom_column, species
from prcli.data.comment_line import comment_values
from prcli.data.comment_pairs import comment, comment_pairs
from prcli.data.conventions import RowConvention
from prcli.data.formats import looks_rounded
from prcli.errors import FeatureError, RequestError
from prcli.workflows.import_rows import ImportFrames, ImportRows


class FrameRows(ImportRows):
    """Rows that the frames themselves carry.

    Parameters
    ----------
    key : str
        Per-atom column, or key of the comment line.
    convention : {"mean", "sum", "per-atom"}, optional
        What rows are; needed unless `key` is a column.
    frames : ImportFrames

    Raises
    ------
    FeatureError
        If the key is absent, or holds no numbers.
    RequestError
        If the convention is not one of such a key.
    """

    def __init__(self, key: str, convention: RowConvention | None, frames: ImportFrames) -> None:
        self._key = self.origin = key
        frame, content = next(frames.read(np.array([0])))
        where = f"{frames.typed}, frame {frame}"
        is_column = column_layout(comment(content)).find(self._key) is not None
        if is_column and convention not in (None, "per-atom"):
            raise RequestError(
                f"{self._key!r} is a per-atom column",
                where=where,
                expected="--convention per-atom, or none",
                got=f"--convention {convention}",
            )
        if not is_column and convention not in ("mean", "sum"):
            self._require_key(content, where)
            raise RequestError(
                f"{self._key!r} is one vector per structure",
                where=where,
                expected="--convention mean or sum",
                got=f"--convention {convention}" if convention else "none",
            )
        self.convention = "per-atom" if is_column else convention or "mean"
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
        self, frames: ImportFrames
    ) -> Iterator[tuple[int, int, NDArray[np.floating], NDArray[np.uint8]]]:
        """Parse frame by frame."""
        for start, stop, contents in frames.runs(self.max_atoms):
            rows, numbers = [], []
            for where, content in contents:
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
