"""Selections that were made before, read from their result directories."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.tables import read_table
from prcli.errors import FormatError, InputFileError, MismatchError, RequestError

logger = logging.getLogger(__name__)

#: Columns that say which structure of the pool a pick is.
_COLUMNS = ("rank", "index", "source", "frame")


@dataclass(frozen=True, eq=False)
class Curve:
    """Selections of one kind: what becomes one line of a figure.

    Attributes
    ----------
    name : str
    picks : tuple of ndarray of shape (n,)
        Positions in the pool in the order of the picks, of each selection; several are draws
        that are averaged.
    is_random : bool
        Whether it was selected at random.
    """

    name: str
    picks: tuple[NDArray[np.int64], ...]
    is_random: bool = False

    @property
    def ends(self) -> tuple[int, int]:
        """Picks of the shortest and of the longest selection: up to where all, and any, reach."""
        lengths = [len(each) for each in self.picks]
        return min(lengths), max(lengths)


def read_curves(arguments: Sequence[str], pool: Dataset) -> tuple[Curve, ...]:
    """Read the selections of result directories.

    Parameters
    ----------
    arguments : sequence of str
        ``DIR`` or ``NAME=DIR``. Directories of the same name are draws of one curve; without a
        name, each directory is a curve of its own, called as the directory is.
    pool : Dataset
        That was selected from.

    Returns
    -------
    curves : tuple of Curve
        In order of first appearance.

    Raises
    ------
    PrcliError
        If a directory is none of `prcli select`, or was selected from another pool.
    """
    named: dict[str, list[NDArray[np.int64]]] = {}
    strategies: dict[str, set[str]] = {}
    for argument in arguments:
        name, directory = _split_name(argument)
        named.setdefault(name, []).append(read_picks(directory / "selection.tsv", pool))
        strategies.setdefault(name, set()).add(_strategy(directory))
    return tuple(
        Curve(name, tuple(picks), is_random=strategies[name] == {"random"})
        for name, picks in named.items()
    )


def _split_name(argument: str) -> tuple[str, Path]:
    """Take NAME=DIR apart; what is a directory as it stands has no name in front."""
    name, sign, rest = argument.partition("=")
    if sign and name and rest and not os.path.isdir(argument):
        return name, Path(rest)
    path = Path(argument)
    return path.name or str(path), path


def _strategy(directory: Path) -> str:
    """Read which strategy made a selection; say if it was made on top of an earlier one."""
    path = directory / "report.json"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        strategy = report["request"]["strategy"]
        n_included = len(report.get("included", ()))
    except OSError as error:
        raise InputFileError(
            "no result of prcli select",
            where=str(path),
            expected="selection.tsv and report.json in the directory",
            got=error.strerror,
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(
            "the report of a selection cannot be understood",
            where=str(path),
            expected="what prcli select writes",
            got=str(error),
        ) from error
    if n_included:
        logger.warning(
            "%s was selected on top of %d structures chosen before (--include), which the refits "
            "lack unless they are in --train",
            directory,
            n_included,
        )
    return str(strategy)


def read_picks(path: Path, pool: Dataset) -> NDArray[np.int64]:
    """Read a table of picks, and make sure that they are of this pool.

    Parameters
    ----------
    path : path
        ``selection.tsv`` of a result directory.
    pool : Dataset

    Returns
    -------
    picks : ndarray of shape (n,)
        Positions in the pool.

    Raises
    ------
    PrcliError
        If it is no such table, or of another pool.
    """
    table = read_table(path)
    lacking = [name for name in _COLUMNS if name not in table]
    if lacking:
        raise FormatError(
            "a table of picks lacks a column",
            where=str(path),
            expected=", ".join(_COLUMNS),
            got="no " + ", ".join(lacking),
        )
    try:
        index, frame = (np.array(table[name], dtype=np.int64) for name in ("index", "frame"))
    except ValueError as error:
        raise FormatError(
            "a table of picks cannot be understood", where=str(path), got=str(error)
        ) from error
    _check_same_pool(index, frame, table["source"], pool, path)
    if len(np.unique(index)) < len(index):
        raise FormatError("a structure was picked twice", where=str(path))
    if not len(index):
        raise RequestError("a selection holds no pick", where=str(path))
    return index


def _check_same_pool(
    index: NDArray[np.int64],
    frame: NDArray[np.int64],
    source: Sequence[str],
    pool: Dataset,
    path: Path,
) -> None:
    """Refuse picks of another pool, or of the same files in another order."""
    names, number, frames = pool.frames()
    inside = (index >= 0) & (index < pool.n_structures)
    fits = inside.copy()
    # Files may be typed in another way; their frames are the same.
    fits[inside] = frames[index[inside]] == frame[inside]
    fits[inside] &= np.array(
        [
            os.path.basename(names[number[i]]) == os.path.basename(typed)
            for i, typed in zip(
                index[inside].tolist(), np.array(source, dtype=object)[inside], strict=True
            )
        ],
        dtype=bool,
    )
    wrong = np.flatnonzero(~fits)
    if wrong.size:
        first = int(wrong[0])
        found = "no structure"
        if inside[first]:
            i = int(index[first])
            found = f"frame {frames[i]} of {names[number[i]]}"
        raise MismatchError(
            "a selection was made from another pool",
            where=f"{path}, pick {first + 1}",
            expected=f"frame {frame[first]} of {source[first]} at position {index[first]}",
            got=found,
            remedy="give the pool as it was given to prcli select",
        )
