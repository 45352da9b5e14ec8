"""What the per-atom columns of a frame hold: elements and numbers."""

from __future__ import annotations

from array import array
from typing import NoReturn

import numpy as np

from prcli.data.column_layout import Column, column_layout
from prcli.data.comment_pairs import comment
from prcli.elements import ATOMIC_NUMBERS, SYMBOLS
from prcli.errors import FeatureError, FormatError, InputFileError

_NUMBER_OF = {symbol.encode(): number for symbol, number in ATOMIC_NUMBERS.items()}


def species(frame: bytes, where: str | None = None) -> np.ndarray:
    """Read the elements of the atoms of a frame.

    Parameters
    ----------
    frame : bytes
        Whole frame. Its column ``Z`` of integers counts, or else its ``species``.
    where : str, optional
        File and frame, for messages.

    Returns
    -------
    (n,) uint8 array
        Atomic numbers.

    Raises
    ------
    FormatError
        If there is no such column, a symbol is unknown or a number is not of an element.
    InputFileError
        If an atom line has too few fields.
    """
    layout = column_layout(comment(frame))
    number = layout.find("Z")
    if number is not None and number.kind == "I" and number.width == 1:
        return _to_species(_read_column(frame, number, where), where)
    symbol = layout.find("species")
    if symbol is None or symbol.kind != "S" or symbol.width != 1:
        raise FormatError(
            "structure has no column of elements",
            where=where,
            expected="species:S:1 or Z:I:1 in Properties",
            got=layout.text,
        )
    field = symbol.start
    lines = atom_lines(frame, where)
    try:
        numbers = [_NUMBER_OF[line.split(None, field + 1)[field]] for line in lines]
    except (KeyError, IndexError):
        numbers = [_number_of(line, field, atom, where) for atom, line in enumerate(lines)]
    return np.array(numbers, dtype=np.uint8)


def composition(numbers: np.ndarray) -> dict[str, int]:
    """Count the atoms of each element.

    Parameters
    ----------
    numbers : (n,) uint8 array
        As `species` returns them.

    Returns
    -------
    dict
        Count by symbol, by increasing atomic number, of the elements that occur.
    """
    counts = np.bincount(numbers, minlength=len(SYMBOLS))
    return {SYMBOLS[number]: int(counts[number]) for number in np.flatnonzero(counts)}


def atom_column(frame: bytes, key: str, where: str | None = None) -> np.ndarray:
    """Read one column of numbers of all atoms of a frame.

    Parameters
    ----------
    frame : bytes
        Whole frame.
    key : str
        Name of a column of reals or integers, as ``Properties`` spells it.
    where : str, optional
        File and frame, for messages.

    Returns
    -------
    (n, width) float64 array
        In the unit of the file.

    Raises
    ------
    FeatureError
        If there is no such column, with the names of those that are there, or it holds no
        numbers.
    InputFileError
        If an atom line has too few fields.
    FormatError
        If a field is not a number.
    """
    layout = column_layout(comment(frame))
    column = layout.find(key)
    if column is None or column.kind not in "RI":
        raise FeatureError(
            f"column {key!r} is absent" if column is None else f"column {key!r} is not numeric",
            where=where,
            expected="a per-atom column of kind R or I",
            got=f"Properties={layout.text}",
        )
    return _read_column(frame, column, where)


def atom_lines(frame: bytes, where: str | None = None) -> list[bytes]:
    """Cut a frame into its atom lines.

    Parameters
    ----------
    frame : bytes
        Whole frame.
    where : str, optional
        File and frame, for messages.

    Returns
    -------
    list of bytes
        One per atom, without newline; a carriage return stays.

    Raises
    ------
    FormatError
        If the frame does not begin with a number of atoms.
    InputFileError
        If it has fewer lines than atoms.
    """
    count, _, rest = frame.partition(b"\n")
    if not count.strip().isdigit():
        found = repr(count[:40].decode("utf-8", "replace"))
        raise FormatError(
            "not a frame", where=where, expected="a number of atoms on its first line", got=found
        )
    n_atoms = int(count)
    lines = rest.split(b"\n", n_atoms + 1)[1 : n_atoms + 1]
    if len(lines) < n_atoms:
        raise InputFileError(
            "structure is truncated",
            where=where,
            expected=f"{n_atoms} atom lines",
            got=f"{len(lines)}",
        )
    return lines


def _read_column(frame: bytes, column: Column, where: str | None) -> np.ndarray:
    """Read the fields of a column as numbers, line by line to bound memory."""
    start, stop = column.start, column.start + column.width
    values = array("d")
    lines = atom_lines(frame, where)
    for atom, line in enumerate(lines):
        fields = line.split(None, stop)
        if len(fields) < stop:
            _raise_short_line(atom, stop, len(fields), where)
        try:
            values.extend(map(float, fields[start:stop]))
        except ValueError as error:
            raise FormatError(
                f"column {column.name!r} holds something else than numbers",
                where=f"{where + ', ' if where else ''}atom {atom}",
                got=b" ".join(fields[start:stop])[:80].decode("utf-8", "replace"),
            ) from error
    return np.array(values, dtype=np.float64).reshape(len(lines), column.width)


def _number_of(line: bytes, field: int, atom: int, where: str | None) -> int:
    """Find the atomic number of one atom, whatever the case of its symbol."""
    fields = line.split(None, field + 1)
    if len(fields) <= field:
        _raise_short_line(atom, field + 1, len(fields), where)
    number = _NUMBER_OF.get(fields[field].capitalize())
    if number is None:
        raise FormatError(
            "unknown element",
            where=f"{where + ', ' if where else ''}atom {atom}",
            expected="a chemical symbol",
            got=repr(fields[field].decode("utf-8", "replace")),
        )
    return number


def _to_species(values: np.ndarray, where: str | None) -> np.ndarray:
    """Check atomic numbers and narrow them."""
    numbers = values[:, 0]
    known = (numbers >= 0) & (numbers < len(SYMBOLS)) & (numbers == np.floor(numbers))
    if not known.all():
        atom = int(np.argmin(known))
        raise FormatError(
            "unknown element",
            where=f"{where + ', ' if where else ''}atom {atom}",
            expected=f"an atomic number from 0 to {len(SYMBOLS) - 1}",
            got=f"{numbers[atom]:g}",
        )
    return numbers.astype(np.uint8)


def _raise_short_line(atom: int, n_expected: int, n_got: int, where: str | None) -> NoReturn:
    """Say that an atom line ends too early."""
    raise InputFileError(
        "atom line has too few fields",
        where=f"{where + ', ' if where else ''}atom {atom}",
        expected=f"at least {n_expected}",
        got=f"{n_got}",
    )
