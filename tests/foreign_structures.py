"""Structures with all that ASE can attach to them, and files of other formats that hold them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

#: Numbers that need all their digits.
THIRD = 1 / 3


def rich_structures(n_structures: int, *, seed: int = 0) -> list[Atoms]:
    """Structures of 1 to 5 atoms with ``info``, arrays, results and varying periodicity."""
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    rng = np.random.default_rng(seed)
    structures = []
    for i in range(n_structures):
        n_atoms = 1 + i % 5
        atoms = Atoms(
            rng.choice(["C", "H", "Si"], n_atoms).tolist(),
            rng.normal(size=(n_atoms, 3)) * 10.0 ** rng.integers(-8, 3, (n_atoms, 3)),
            cell=4 * np.eye(3) + rng.normal(size=(3, 3)) / 7 if i % 4 else None,
            pbc=[bool(i % 4), bool(i % 4), i % 4 > 1],
        )
        atoms.info = {
            "config_type": "bulk" if i % 2 else "surface slab",
            "serial": f"{i:03d}",
            "count": i,
            "rate": THIRD * i,
            "ok": bool(i % 2),
            "weights": rng.normal(size=4),
        }
        atoms.set_tags(rng.integers(-5, 5, n_atoms))
        atoms.set_momenta(rng.normal(size=(n_atoms, 3)))
        atoms.set_initial_charges(rng.normal(size=n_atoms))
        results: dict[str, Any] = {"energy": -THIRD * i, "forces": rng.normal(size=(n_atoms, 3))}
        if all(atoms.pbc):
            results["stress"] = rng.normal(size=6) * 1e-3
        atoms.calc = SinglePointCalculator(atoms, **results)
        structures.append(atoms)
    return structures


def write_trajectory(path: Path, structures: Sequence[Atoms]) -> None:
    """Write with ASE's own writer."""
    from ase.io import write

    write(path, list(structures), format="traj")


def write_database(path: Path, structures: Sequence[Atoms], kind: str = "db") -> None:
    """Write SQLite or JSON with ASE's own writer: texts and numbers as pairs, the rest as data."""
    from ase.db import connect

    with connect(path, type=kind, append=False) as database:
        for atoms in structures:
            pairs, data = _split(atoms.info)
            database.write(atoms, pairs, data=data)


def write_aselmdb(path: Path, structures: Sequence[Atoms], deleted: Sequence[int] = ()) -> None:
    """Write LMDB as ``ase_db_backends.aselmdb`` does, which fairchem uses.

    Rows are JSON of ASE, compressed, under their ids, which count from 1; ``nextid`` is the id
    that comes next, and ``deleted_ids`` lists those that are gone.
    """
    import lmdb
    from ase.db.row import AtomsRow

    with lmdb.open(str(path), map_size=1 << 26, subdir=False, meminit=False) as environment:
        with environment.begin(write=True) as transaction:
            for i, atoms in enumerate(structures, 1):
                if i in deleted:
                    continue
                row = AtomsRow(atoms)
                row.ctime, row.user = 26.0, "me"
                names = [name for name in row.__dict__ if name[0] != "_" and name != "id"]
                fields = {name: row[name] for name in names} | {"mtime": 26.0}
                fields["data"] = atoms.info
                if atoms.constraints:
                    fields["constraints"] = [each.todict() for each in atoms.constraints]
                fields["cell"] = np.asarray(fields["cell"])
                transaction.put(b"%d" % i, packed(fields))
            transaction.put(b"nextid", packed(len(structures) + 1))
            if deleted:
                transaction.put(b"deleted_ids", packed(list(deleted)))


def packed(content: object) -> bytes:
    """Compressed JSON of ASE."""
    from ase.io.jsonio import encode

    return zlib.compress(bytes(encode(content), "utf-8"))


def write_xdatcar(path: Path, structures: Sequence[Atoms], *, fixed_cell: bool = False) -> None:
    """Write as VASP does: a heading, before each configuration unless the cell is fixed.

    All structures have the same atoms, those of an element together.
    """
    text = ""
    for i, atoms in enumerate(structures):
        if i == 0 or not fixed_cell:
            names, counts = np.unique(list(atoms.symbols), return_counts=True)
            assert list(atoms.symbols) == np.repeat(names, counts).tolist()
            text += "unknown system\n           1\n"
            text += "".join("".join(f" {x:12.6f}" for x in row) + "\n" for row in atoms.cell[:])
            text += "".join(f" {name:>4s}" for name in names) + "\n"
            text += "".join(f" {count:4d}" for count in counts) + "\n"
        text += f"Direct configuration={i + 1:6d}\n"
        for row in atoms.get_scaled_positions():
            text += "".join(f" {x:11.8f}" for x in row) + "\n"
    path.write_text(text)


#: Writers of what keeps ``info`` and results, by the ending of the name.
WRITERS: dict[str, Callable[[Path, Sequence[Any]], None]] = {
    ".traj": write_trajectory,
    ".db": write_database,
    ".json": lambda path, structures: write_database(path, structures, "json"),
    ".aselmdb": write_aselmdb,
}


def _split(info: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell what ASE's databases take as key-value pairs, texts that are no numbers and numbers."""
    pairs = {
        key: value
        for key, value in info.items()
        if isinstance(value, int | float) or (isinstance(value, str) and not value.isdigit())
    }
    return pairs, {key: value for key, value in info.items() if key not in pairs}
