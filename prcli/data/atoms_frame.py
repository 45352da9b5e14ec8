"""Structures of ASE written as frames of extxyz, every number to its last digit.

ASE's own writer rounds columns to eight decimals.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prcli.data.comment_text import can_be_key, pair_text
from prcli.data.conversion_notes import ConversionNotes
from prcli.elements import SYMBOLS

if TYPE_CHECKING:
    from ase import Atoms

#: Keys of the comment line that say what a frame is.
_FRAME_KEYS = frozenset(("Lattice", "Properties", "pbc"))
#: Columns that readers take for elements, positions, charges or constraints.
_FRAME_COLUMNS = frozenset(
    ("species", "symbols", "pos", "positions", "Z", "numbers", "charge", "move_mask")
)
#: Results of calculators that come one per atom, and the columns that ASE makes of them.
_ATOM_RESULTS = {
    **{name: name for name in ("energies", "forces", "stresses", "magmoms")},
    "charges": "charge",
    "born_effective_charges": "born_effective_charges",
}
_NOT_IN_COLUMN_NAMES = frozenset(":=\"'{}[]\\,")
_KINDS = {"f": "R", "i": "I", "u": "I", "b": "L", "U": "S", "S": "S"}
_PLAIN_TYPES = (str, int, float, np.ndarray, list, tuple, dict)


@dataclass(frozen=True)
class _Fields:
    """A column, ready to be written.

    Attributes
    ----------
    kind : {"R", "I", "L", "S"}
    width : int
    texts : list of str
        One per atom: `width` fields with spaces between them.
    """

    kind: str
    width: int
    texts: list[str]


def write_frame(atoms: Atoms, notes: ConversionNotes) -> bytes:
    """Write a structure as a frame.

    Parameters
    ----------
    atoms : ase.Atoms
        Its ``info`` becomes keys and its arrays become columns; so do the results that its
        calculator holds, under ASE's names and with ASE's signs. Nothing is computed.
    notes : ConversionNotes
        Gets what could not be kept as it was.

    Returns
    -------
    bytes
        Count line, comment line and atom lines. Numbers read back exactly, and so does what
        `prcli.data.comment_text` can write. An array of more dimensions has all numbers of an
        atom in one row; one that cannot be a column, such as texts with spaces, becomes a list
        in the comment line.
    """
    frame = _Frame(notes)
    # Readers look for results under their own names, so these have the first choice.
    for name, value in (getattr(atoms.calc, "results", None) or {}).items():
        if value is not None:
            frame.add_result(str(name), value, len(atoms))
    computed = {*frame.pairs, *frame.columns}
    for name, values in atoms.arrays.items():
        if name not in ("numbers", "positions"):
            frame.add_array(name, np.asarray(values))
    for key, value in atoms.info.items():
        frame.add_pair(str(key), _known_object(value))
    notes.n_structures += 1
    notes.n_constrained += bool(atoms.constraints)
    # As ASE writes them: first what the user gave, then what was computed.
    pairs = sorted(frame.pairs, key=computed.__contains__)
    names = sorted(frame.columns, key=computed.__contains__)
    return _join(
        atoms,
        [frame.pairs[key] for key in pairs],
        {name: frame.columns[name] for name in names},
    )


class _Frame:
    """Keys and columns of a frame, as they come together.

    Attributes
    ----------
    pairs : dict of str to str
        ``key=value`` by key.
    columns : dict of str to _Fields
        Besides elements and positions.
    """

    def __init__(self, notes: ConversionNotes) -> None:
        self.pairs: dict[str, str] = {}
        self.columns: dict[str, _Fields] = {}
        self._notes = notes

    def add_result(self, name: str, value: object, n_atoms: int) -> None:
        """Add what a calculator has computed."""
        column = _ATOM_RESULTS.get(name)
        values = np.asarray(value) if column is not None else None
        if column is None or values is None or values.shape[:1] != (n_atoms,):
            self.add_pair(name, value)
        else:
            self.add_array(column, values, reserved=())

    def add_array(
        self, name: str, values: np.ndarray, reserved: Container[str] = _FRAME_COLUMNS
    ) -> None:
        """Add a column, or a list in the comment line where fields cannot hold the values."""
        fields = _make_fields(values)
        if fields is None:
            self.add_pair(name, values)
            return
        if name not in reserved and self.columns.get(name) == fields:
            return
        chosen = "".join("_" if c in _NOT_IN_COLUMN_NAMES or c.isspace() else c for c in name)
        chosen = _free_name(chosen, "array", (reserved, self.columns))
        if chosen != name:
            self._notes.renamed[name, chosen] = None
        self.columns[chosen] = fields

    def add_pair(self, key: str, value: object) -> None:
        """Add a pair, under another name where its own is taken or says something else."""
        text = pair_text(key, value)
        if text is not None and self.pairs.get(key) == text:
            return
        chosen = _free_name(key, "info", (_FRAME_KEYS, self.pairs))
        if text is None and chosen == key:
            # Some keys are for matrices only.
            chosen = _free_name(f"info_{key}", "info", (_FRAME_KEYS, self.pairs))
        if chosen != key:
            text = pair_text(chosen, value)
        if text is None:
            self._notes.dropped[key] = None
            return
        if chosen != key:
            self._notes.renamed[key, chosen] = None
        self.pairs[chosen] = text


def _join(atoms: Atoms, pairs: list[str], columns: dict[str, _Fields]) -> bytes:
    """Put a frame together."""
    symbols = [SYMBOLS[number] for number in atoms.numbers.tolist()]
    positions = np.asarray(atoms.positions, dtype=np.float64)
    every = {
        "species": _Fields("S", 1, symbols),
        "pos": _Fields("R", 3, _in_rows(list(map(repr, positions.ravel().tolist())), 3)),
        **columns,
    }
    properties = ":".join(f"{name}:{c.kind}:{c.width}" for name, c in every.items())
    flags = " ".join("T" if flag else "F" for flag in atoms.pbc.tolist())
    head = [f"Properties={properties}", *pairs, f'pbc="{flags}"']
    if atoms.cell.any():
        lattice = np.asarray(atoms.cell.array, dtype=np.float64)
        head.insert(0, f'Lattice="{" ".join(map(repr, lattice.ravel().tolist()))}"')
    lines = map(" ".join, zip(*(c.texts for c in every.values()), strict=True))
    return "\n".join([str(len(atoms)), " ".join(head), *lines, ""]).encode()


def _free_name(name: str, prefix: str, taken: tuple[Container[str], ...]) -> str:
    """Give a name that can be written and is not taken: the wanted one if possible."""
    if not can_be_key(name):
        name = "".join(c if c.isprintable() else "_" for c in name) or "_"
    while any(name in names for names in taken):
        name = f"{prefix}_{name}"
    return name


def _make_fields(values: np.ndarray) -> _Fields | None:
    """Write an array with a row per atom as a column; None if fields cannot hold it."""
    if values.ndim == 0 or values.dtype.kind not in _KINDS or 0 in values.shape[1:]:
        return None
    kind = _KINDS[values.dtype.kind]
    flat = values.ravel().tolist()
    if kind == "S":
        texts = [v.decode("latin-1") if isinstance(v, bytes) else v for v in flat]
        if not all(map(_is_field, texts)):
            return None
    elif kind == "L":
        texts = ["T" if value else "F" for value in flat]
    elif kind == "R":
        texts = list(map(repr, values.astype(np.float64).ravel().tolist()))
    else:
        texts = list(map(repr, flat))
    width = int(np.prod(values.shape[1:], dtype=np.int64))
    return _Fields(kind, width, _in_rows(texts, width))


def _in_rows(texts: list[str], width: int) -> list[str]:
    """Join each `width` fields."""
    if width == 1:
        return texts
    return [" ".join(texts[i : i + width]) for i in range(0, len(texts), width)]


def _is_field(text: str) -> bool:
    """Tell whether a text can be a field of an atom line."""
    return bool(text) and text.isprintable() and " " not in text


def _known_object(value: object) -> object:
    """Give the name of a space group, which ASE makes of cif files; anything else stays."""
    if value is None or isinstance(value, _PLAIN_TYPES):
        return value
    from ase.spacegroup import Spacegroup

    return value.symbol if isinstance(value, Spacegroup) else value
