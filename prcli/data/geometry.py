"""Where the atoms of a frame are: elements, positions, cell and periodic directions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from prcli.data.column_layout import ColumnLayout, column_layout
from prcli.data.columns import atom_column, species
from prcli.data.comment_line import comment_values
from prcli.data.comment_pairs import comment
from prcli.elements import ATOMIC_NUMBERS
from prcli.errors import FormatError, InputFileError

#: Names of the column of positions, the usual one first.
_POSITIONS = ("pos", "positions")

#: Below this part of the product of their lengths, vectors span no cell.
_FLAT = 1e-8


@dataclass(frozen=True, eq=False)
class Geometry:
    """The atoms of a frame in space.

    Attributes
    ----------
    numbers : (n,) array of uint8
        Atomic numbers.
    positions : (n, 3) array of float64
        In angstrom.
    cell : (3, 3) array of float64
        One lattice vector per row, in angstrom; zero where there is none.
    pbc : tuple of bool
        Whether the structure repeats along each lattice vector.
    states_pbc : bool
        Whether the frame says so itself, rather than by having a lattice.
    """

    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    pbc: tuple[bool, bool, bool]
    states_pbc: bool

    @property
    def volume(self) -> float:
        """Volume of the cell in cubic angstrom; 0 unless periodic in three directions."""
        return abs(float(np.linalg.det(self.cell))) if all(self.pbc) else 0.0


def read_geometry(frame: bytes, where: str | None = None) -> Geometry:
    """Read the geometry of a frame as ASE does.

    Parameters
    ----------
    frame : bytes
        Whole frame, with its ``VEC`` lines where it has such.
    where : str, optional
        File and frame, for messages.

    Returns
    -------
    Geometry
        Without ``pbc``, a frame with ``Lattice`` is periodic in three directions, and one
        without is not periodic.

    Raises
    ------
    FormatError
        If elements, positions, lattice or periodicity cannot be understood, or the structure is
        periodic along vectors that span no cell.
    FeatureError
        If there is no column of positions.
    InputFileError
        If a position is not finite or an atom line has too few fields.
    """
    line = comment(frame)
    numbers, positions = _read_atoms(frame, column_layout(line), where)
    _check_positions(positions, where)
    return Geometry(numbers, positions, *read_cell(frame, len(numbers), where))


def read_cell(
    frame: bytes, n_atoms: int, where: str | None = None
) -> tuple[np.ndarray, tuple[bool, bool, bool], bool]:
    """Read `cell`, `pbc` and `states_pbc` of a `Geometry` alone.

    Raises
    ------
    FormatError
        If lattice or periodicity cannot be understood, or the structure is periodic along
        vectors that span no cell.
    """
    tail = _vector_lines(frame, n_atoms)
    if tail:
        cell, pbc = _read_vectors(tail, where)
        states_pbc = True
    else:
        found = comment_values(comment(frame), ("Lattice", "pbc"))
        cell = _read_lattice(found.get("Lattice"), where)
        states_pbc = "pbc" in found
        pbc = _read_pbc(found["pbc"], where) if states_pbc else ("Lattice" in found,) * 3
    _check_cell(cell, pbc, where)
    return cell, pbc, states_pbc


def _read_atoms(
    frame: bytes, layout: ColumnLayout, where: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Read elements (n,) and positions (n, 3)."""
    key = next((name for name in _POSITIONS if layout.find(name)), _POSITIONS[0])
    found = _read_tidy_atoms(frame, layout, key)
    if found is not None:
        return found
    numbers = species(frame, where)
    positions = atom_column(frame, key, where)
    if positions.shape[1] != 3:
        raise FormatError(
            "positions do not have three components", where=where, got=f"Properties={layout.text}"
        )
    return numbers, positions


def _read_tidy_atoms(
    frame: bytes, layout: ColumnLayout, key: str
) -> tuple[np.ndarray, np.ndarray] | None:
    """Read elements and positions of all lines at once; None if a line is not as it should be.

    About three times as fast as reading line by line, which is left to tell what is wrong.
    """
    symbol, position = layout.find("species"), layout.find(key)
    if symbol is None or position is None or layout.find("Z") is not None:
        return None
    count, _, rest = frame.partition(b"\n")
    fields = rest[rest.find(b"\n") + 1 :].split()
    width = layout.n_fields
    is_tidy = count.strip().isdigit() and len(fields) == int(count) * width
    if not is_tidy or symbol.width != 1 or position.width != 3:
        return None
    first, columns = position.start, np.empty((3, int(count)))
    try:
        numbers = [ATOMIC_NUMBERS[each.decode()] for each in fields[symbol.start :: width]]
        for axis in range(3):
            columns[axis] = [float(each) for each in fields[first + axis :: width]]
    except (KeyError, ValueError):
        return None
    return np.array(numbers, dtype=np.uint8), np.ascontiguousarray(columns.T)


def _check_positions(positions: np.ndarray, where: str | None) -> None:
    """Refuse positions that are not finite."""
    finite = np.isfinite(positions)
    if not finite.all():
        atom, axis = divmod(int(np.argmin(finite)), 3)
        raise InputFileError(
            "position is not finite",
            where=f"{where + ', ' if where else ''}atom {atom}",
            expected="a finite number",
            got=f"{'xyz'[axis]} = {positions[atom, axis]}",
        )


def _vector_lines(frame: bytes, n_atoms: int) -> list[list[bytes]]:
    """Cut the fields of the ``VEC`` lines out of the end of a frame, if there are any."""
    if b"VEC" not in frame:
        return []
    lines = frame.split(b"\n", n_atoms + 2)[n_atoms + 2 :]
    fields = [line.split() for line in b"".join(lines).splitlines()]
    return [each for each in fields if each and each[0].startswith(b"VEC")]


def _read_vectors(
    lines: list[list[bytes]], where: str | None
) -> tuple[np.ndarray, tuple[bool, bool, bool]]:
    """Read ``VEC1 x y z`` and so on: a vector for each periodic direction."""
    cell = np.zeros((3, 3))
    pbc = [False, False, False]
    for i, (name, *numbers) in enumerate(lines):
        try:
            if name != b"VEC%d" % (i + 1) or i > 2:
                raise ValueError("not numbered from 1")
            cell[i] = [float(number) for number in numbers]
        except ValueError as error:
            raise FormatError(
                "lattice vectors cannot be understood",
                where=where,
                expected="VEC1 x y z, VEC2 x y z, VEC3 x y z",
                got=b" ".join([name, *numbers])[:80].decode("utf-8", "replace"),
            ) from error
        pbc[i] = True
    return cell, (pbc[0], pbc[1], pbc[2])


def _read_lattice(value: object, where: str | None) -> np.ndarray:
    """Take ``Lattice`` as one vector per row."""
    if value is None:
        return np.zeros((3, 3))
    # Nine numbers come in Fortran order: a column of the matrix is a vector of the lattice.
    is_matrix = isinstance(value, np.ndarray) and value.shape == (3, 3)
    if not is_matrix or not value.flags.f_contiguous or value.dtype.kind != "f":  # type: ignore[attr-defined]
        raise FormatError(
            "Lattice cannot be understood",
            where=where,
            expected='nine numbers, Lattice="ax ay az bx by bz cx cy cz"',
            got=repr(value).replace("\n", " ")[:80],
        )
    cell: np.ndarray = np.ascontiguousarray(value.T)  # type: ignore[attr-defined]
    if not np.isfinite(cell).all():
        raise FormatError("Lattice is not finite", where=where, got=str(cell.ravel().tolist()))
    return cell


def _read_pbc(value: object, where: str | None) -> tuple[bool, bool, bool]:
    """Take ``pbc``: one truth value, or three."""
    flags = np.asarray(value)
    if flags.dtype.kind not in "bif" or flags.size not in (1, 3) or not set(flags.flat) <= {0, 1}:
        raise FormatError(
            "pbc cannot be understood", where=where, expected='pbc="T T F"', got=repr(value)[:80]
        )
    a, b, c = (bool(flag) for flag in np.broadcast_to(flags.ravel(), 3))
    return a, b, c


def _check_cell(cell: np.ndarray, pbc: tuple[bool, ...], where: str | None) -> None:
    """Refuse a structure that repeats along vectors which are absent or lie in a plane."""
    if not any(pbc) or _spanned(cell, pbc) > _FLAT:
        return
    raise FormatError(
        "structure is periodic, but its lattice vectors span no cell",
        where=where,
        expected="lattice vectors that are linearly independent, or pbc=F where there is none",
        got="rows " + ", ".join(str(row) for row in cell.tolist()),
    )


def _spanned(cell: np.ndarray, pbc: tuple[bool, ...]) -> float:
    """Compute what the periodic vectors span, in units of the product of their lengths."""
    vectors = [vector for vector, repeats in zip(cell.tolist(), pbc, strict=True) if repeats]
    lengths = math.prod(math.hypot(*vector) for vector in vectors)
    if lengths == 0 or len(vectors) == 1:
        return float(lengths > 0)
    (ax, ay, az), (bx, by, bz) = vectors[:2]
    normal = (ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)
    if len(vectors) == 2:
        return math.hypot(*normal) / lengths
    return abs(math.fsum(x * y for x, y in zip(normal, vectors[2], strict=True))) / lengths
