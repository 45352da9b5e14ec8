"""Tables of ``prcli score --per atom``, read back line by line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from prcli.errors import FormatError, InputFileError

_COLUMNS = ("source", "frame", "atom", "species", "lpr")


@dataclass(frozen=True, eq=False)
class AtomScores:
    """Scores of some atoms of one structure.

    Attributes
    ----------
    source : tuple of str
        Files that rows of such a frame are from, as the table names them.
    atom : (n,) array of int64
    species : tuple of str
        Chemical symbols; X where they are not known.
    lpr : (n,) array of float64
    """

    source: tuple[str, ...]
    atom: np.ndarray
    species: tuple[str, ...]
    lpr: np.ndarray


def read_atom_scores(
    path: str | os.PathLike[str], frame: int, source: str | None = None
) -> AtomScores:
    """Read the scores of the atoms of one frame.

    Parameters
    ----------
    path : path-like
        A tsv table with at least the columns source, frame, atom, species and lpr.
    frame : int
    source : str, optional
        Only rows of this file.

    Returns
    -------
    scores : AtomScores
        In the order of the table.

    Raises
    ------
    InputFileError
        If the file cannot be read.
    FormatError
        If it is no such table.
    """
    sources: dict[str, None] = {}
    atoms: list[int] = []
    species: list[str] = []
    rigidities: list[float] = []
    for number, (name, its_frame, atom, symbol, lpr) in _rows(os.fspath(path)):
        try:
            if int(its_frame) != frame or (source is not None and name != source):
                continue
            atoms.append(int(atom))
            rigidities.append(float(lpr))
        except ValueError as error:
            raise FormatError(
                "row of the table cannot be understood",
                where=f"{path}, line {number}",
                got=str(error),
            ) from error
        sources[name] = None
        species.append(symbol)
    return AtomScores(
        tuple(sources), np.array(atoms, dtype=np.int64), tuple(species), np.array(rigidities)
    )


def _rows(path: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of the line, the wanted fields)."""
    try:
        with open(path, encoding="utf-8") as file:
            header = file.readline().rstrip("\n").split("\t")
            missing = [name for name in _COLUMNS if name not in header]
            if missing:
                raise FormatError(
                    "the table is not one of rigidities of atoms",
                    where=path,
                    expected="tab-separated columns " + ", ".join(_COLUMNS),
                    got="without " + ", ".join(missing),
                    remedy="write it with `prcli score HESSIAN DATA --per atom --format tsv`",
                )
            places = [header.index(name) for name in _COLUMNS]
            for number, line in enumerate(file, 2):
                fields = line.rstrip("\n").split("\t")
                if len(fields) != len(header):
                    raise FormatError(
                        "row does not fit the header of the table",
                        where=f"{path}, line {number}",
                        expected=f"{len(header)} fields",
                        got=str(len(fields)),
                    )
                yield number, [fields[place] for place in places]
    except OSError as error:
        raise InputFileError(
            "file cannot be read", where=path, got=error.strerror or str(error)
        ) from error
    except UnicodeDecodeError as error:
        raise FormatError("table is not UTF-8 text", where=path, got=str(error)) from error
