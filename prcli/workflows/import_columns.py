"""Numbers and texts per structure that an import stores: volume, density, keys of comment lines."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.data.comment_line import comment_values, lattice_volume
from prcli.data.comment_pairs import comment, comment_pairs
from prcli.data.row_offsets import atom_offsets
from prcli.data.store_schema import FEATURES, NUMERIC_COLUMNS
from prcli.errors import FeatureError, RequestError
from prcli.workflows.import_rows import ImportFrames
from prcli.workflows.structure_columns import is_derived, structure_densities

logger = logging.getLogger(__name__)

#: What a backslash protects, and what needs no protection: a path is rather meant.
_ESCAPE, _IDLE = re.compile(rb"\\(.)"), re.compile(rb"[\w.:/-]")

#: Integers beyond are not all float64.
_LARGEST = 2**53


@dataclass(frozen=True, eq=False)
class FrameColumns:
    """What comment lines say of each structure.

    Attributes
    ----------
    volumes : (S,) array of float64
        Volumes of the cells in Å³; nan where there is none.
    keys : dict of str to (S,) array
        Columns that were asked for, of float64 or str; nan or "" where a key is absent.
    """

    volumes: NDArray[np.float64]
    keys: dict[str, NDArray[np.generic]]

    def kept(
        self, chosen: NDArray[np.bool_], n_atoms: NDArray[np.int64], numbers: NDArray[np.uint8]
    ) -> dict[str, NDArray[np.generic]]:
        """Return the columns of some structures, with volume and density where there are cells.

        Parameters
        ----------
        chosen : (S,) array of bool
        n_atoms : (n,) array of int64
            Atoms of each structure that is chosen.
        numbers : (N,) array of uint8
            Their atomic numbers.
        """
        columns = {name: values[chosen] for name, values in self.keys.items()}
        volumes = self.volumes[chosen]
        if not np.isnan(volumes).all():
            densities = structure_densities(volumes, numbers, atom_offsets(n_atoms))
            columns |= {"volume": volumes, "density": densities}
        return columns


def parse_columns(texts: Sequence[str]) -> dict[str, str]:
    """Parse ``KEY`` and ``NAME=KEY``; return the keys by name of the column.

    Raises
    ------
    RequestError
        If a name is empty, there twice, has a meaning already, or cannot be stored.
    """
    keys: dict[str, str] = {}
    for text in texts:
        name, _, key = text.rpartition("=")
        name, key = name or key, key
        if not name or not key or name in keys:
            raise RequestError(
                "a column is named twice" if name in keys else "a column has no name or no key",
                where=f"--column {text}",
                expected="KEY or NAME=KEY, each name once",
            )
        if is_derived(name):
            raise RequestError(
                f"{name!r} cannot be the name of a column: it is computed from the structures",
                where=f"--column {text}",
                remedy=f"name it otherwise: --column other_{name}={key}",
            )
        if "/" in name or name in (".", FEATURES):
            raise RequestError(
                f"{name!r} cannot be the name of a column",
                where=f"--column {text}",
                remedy=f"name it otherwise: --column NAME={key}",
            )
        keys[name] = key
    return keys


def read_columns(texts: Sequence[str], frames: ImportFrames) -> FrameColumns:
    """Read volumes and keys from the comment lines of all structures.

    Raises
    ------
    RequestError
        If names of columns cannot be used.
    FeatureError
        If a key is in no structure, or its value is not a single one.
    """
    keys = parse_columns(texts)
    volumes = np.empty(len(frames.frame))
    found: dict[str, list[object]] = {key: [] for key in keys.values()}
    told = False
    for i, (where, content) in enumerate(frames.contents()):
        line = comment(content)
        volumes[i] = lattice_volume(line)
        if not found:
            continue
        values = comment_values(line, found)
        if b"\\" in line and not told:
            told = _say_escapes(line, found, where)
        for key, column in found.items():
            column.append(_single(key, values.get(key), where))
    columns = {name: _column(name, key, found[key], frames) for name, key in keys.items()}
    return FrameColumns(volumes, columns)


def _say_escapes(line: bytes, keys: Iterable[str], where: str) -> bool:
    """Say, of the first value that it is true of, that backslashes are not part of a text."""
    wanted = {key.encode() for key in keys}
    for pair in comment_pairs(line):
        written = line[pair.start : pair.end]
        if pair.key in wanted and any(map(_IDLE.fullmatch, _ESCAPE.findall(written))):
            logger.warning(
                "%s: %s=%s reads %s, in ASE too: in a comment line a backslash protects the "
                "character after it, and a backslash itself is written as two",
                where,
                *(text.decode("utf-8", "replace") for text in (pair.key, written)),
                (pair.value or b"").decode("utf-8", "replace"),
            )
            return True
    return False


def _written(line: bytes) -> dict[str, str]:
    """Return the values of a comment line as they are written."""
    return {
        pair.key.decode("utf-8", "replace"): (pair.value or b"").decode("utf-8", "replace")
        for pair in comment_pairs(line)
    }


def _single(key: str, value: object, where: str) -> object:
    """Refuse a value that is not a single one."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    shape = f"shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
    raise FeatureError(
        f"key {key!r} is not a single number or text",
        where=where,
        expected="one value per structure",
        got=shape,
    )


def _column(name: str, key: str, values: list[object], frames: ImportFrames) -> NDArray[np.generic]:
    """Make a column of what a key is in all structures."""
    present = [value for value in values if value is not None]
    n_absent = len(values) - len(present)
    if not present:
        _raise_absent(key, frames)
    is_text = any(isinstance(value, str) for value in present)
    if is_text and name in NUMERIC_COLUMNS:
        raise FeatureError(
            f"column {name!r} holds numbers, but key {key!r} has texts",
            where=f"{frames.typed}, --column",
            expected="a number in every structure",
            got=repr(next(value for value in present if isinstance(value, str))),
        )
    if n_absent:
        logger.info(
            "column %s: key %r is absent in %d of %d structures, which get %s",
            name,
            key,
            n_absent,
            len(values),
            'an empty text, ""' if is_text else "nan",
        )
    if is_text:
        return np.array(_texts(key, values, frames), dtype=np.str_)
    if any(isinstance(value, int) and abs(value) > _LARGEST for value in present):
        raise FeatureError(
            f"key {key!r} holds integers too large for float64",
            where=frames.typed,
            expected="magnitudes up to 2**53",
        )
    if all(isinstance(value, bool) for value in present):
        logger.info("column %s: true and false are stored as 1 and 0", name)
    numbers = [np.nan if value is None else float(value) for value in values]  # type: ignore[arg-type]
    return np.array(numbers, dtype=np.float64)


def _texts(key: str, values: list[object], frames: ImportFrames) -> list[str]:
    """Make texts of values; a number among them, such as an identifier, stays as it is written."""
    if all(value is None or isinstance(value, str) for value in values):
        return [value if isinstance(value, str) else "" for value in values]
    texts = []
    for value, (_, content) in zip(values, frames.contents(), strict=True):
        written = "" if value is None else _written(comment(content)).get(key, "")
        texts.append(value if isinstance(value, str) else written)
    return texts


def _raise_absent(key: str, frames: ImportFrames) -> None:
    """Say that no structure has a key, and which keys the first one has."""
    _, content = next(frames.read(np.array([0])))
    raise FeatureError(
        f"key {key!r} is in no structure",
        where=f"{frames.typed}, --column",
        expected="a key of the comment line",
        got="keys of the first: " + ", ".join(_written(comment(content))),
    )
