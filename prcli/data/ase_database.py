"""Databases as ASE writes them: SQLite (``.db``) and JSON."""

from __future__ import annotations

import os
import sqlite3
from array import array
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from prcli.data.ase_file import AseFile, NumberedFile, parse_errors
from prcli.errors import FormatError

if TYPE_CHECKING:
    from ase import Atoms


def structure_of(row: Any) -> Atoms:
    """Make a structure of a row of a database.

    Parameters
    ----------
    row : ase.db.row.AtomsRow

    Returns
    -------
    ase.Atoms
        With its key-value pairs and its data in ``info``; data of the name of a pair as
        ``data_`` and that name.
    """
    atoms: Atoms = row.toatoms()
    atoms.info.update(row.key_value_pairs)
    for key, value in row.data.items():
        atoms.info[f"data_{key}" if key in atoms.info else key] = value
    return atoms


class SqliteDatabase(NumberedFile):
    """A database in SQLite, its rows in the order of their ids; the ids are held.

    Parameters
    ----------
    path : str

    Raises
    ------
    FormatError
        If it is a database of something else.
    InputFileError
        If it is damaged.
    """

    def __init__(self, path: str) -> None:
        from ase.db.sqlite import SQLite3Database

        super().__init__(path, "ASE database (SQLite)")
        # Nothing may change the file, not even the recovery of a journal.
        address = f"file:{quote(os.path.abspath(path))}?mode=ro"
        with parse_errors(path, self.title):
            self._connection = sqlite3.connect(address, uri=True, check_same_thread=False)
            try:
                self._check_tables()
                self._ids = self._column("id")
                database = SQLite3Database(path, create_indices=False, use_lock_file=False)
                self._database = cast(Any, database)
                self._database._connect = lambda: self._connection
                self._database.__enter__()
            except BaseException:
                self._connection.close()
                raise

    def __len__(self) -> int:
        """Count the rows."""
        return len(self._ids)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def count_atoms(self) -> NDArray[np.int64]:
        """Count the atoms of every structure, (S,); the database has them in a column."""
        with parse_errors(self.path, self.title):
            return self._column("natoms")

    def _read(self, number: int) -> Atoms:
        return structure_of(self._database.get(id=int(self._ids[number])))

    def _column(self, name: str) -> NDArray[np.int64]:
        """Read a column of integers."""
        values = array("q")
        cursor = self._connection.execute(f"SELECT {name} FROM systems ORDER BY id")
        values.extend(value for (value,) in cursor)
        return np.frombuffer(values, dtype=np.int64)

    def _check_tables(self) -> None:
        found = self._connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
        tables = sorted(str(name) for (name,) in found)
        if "systems" not in tables:
            raise FormatError(
                "SQLite file is not an ASE database",
                where=self.path,
                expected="a table of the name systems",
                got="tables: " + (", ".join(tables) or "none"),
            )


class JsonDatabase(AseFile):
    """A database in JSON, which is parsed as a whole in each pass.

    Parameters
    ----------
    path : str
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, "json", "ASE database (JSON)")

    def _open(self) -> Generator[Atoms]:
        from ase.db import connect

        database: Any = connect(self.path, type="json", use_lock_file=False)  # type: ignore[no-untyped-call]
        yield from map(structure_of, database.select())
