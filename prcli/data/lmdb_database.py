"""ASE databases in LMDB (``.aselmdb``), as fairchem ships data sets: compressed JSON by id."""

from __future__ import annotations

import os
import re
import zlib
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakValueDictionary

import numpy as np

from prcli.data.ase_database import structure_of
from prcli.data.ase_file import NumberedFile, parse_errors
from prcli.errors import FormatError, InputFileError, RequestError

if TYPE_CHECKING:
    from ase import Atoms

#: The beginning of a row as ASE writes it: the shape of its first array.
_FIRST_ARRAY = re.compile(rb'\{"numbers": \{"__ndarray__": \[\[(\d+)\],')
_ENOUGH_BYTES = 80
_PICKLE_MARK = b"\x80"

#: Open files by device and inode: LMDB refuses to open one twice in a process.
_open_files: WeakValueDictionary[tuple[int, int], Any] = WeakValueDictionary()


class LmdbDatabase(NumberedFile):
    """A database in LMDB, its rows in the order of their ids.

    Ids count from 1; those of rows that were deleted, which the file lists, are skipped.

    Parameters
    ----------
    path : str

    Raises
    ------
    RequestError
        If the package lmdb is not installed.
    FormatError
        If the file holds something else, such as pickled objects.
    InputFileError
        If it is damaged.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, "ASE database (LMDB)")
        self._environment = _open_environment(path, self.title)
        with parse_errors(path, self.title):
            next_id = self._get(b"nextid")
            if next_id is None:
                self._raise_foreign()
            deleted = _decode(self._get(b"deleted_ids") or zlib.compress(b"[]"))
            ids = np.unique(np.array(deleted, dtype=np.int64))
            n_given = int(_decode(next_id)) - 1
        ids = ids[(ids >= 1) & (ids <= n_given)]
        #: Of each deleted row, how many rows before it are there still.
        self._kept_before = ids - np.arange(1, len(ids) + 1)
        self._n_rows = n_given - len(ids)

    def __len__(self) -> int:
        """Count the rows."""
        return self._n_rows

    def close(self) -> None:
        """Let go of the file; it closes with the last one who reads it."""
        self._environment = None

    def _count(self, number: int) -> int:
        """Take the shape of the first array where that tells it, else decode the row."""
        row = self._row(number)
        head = zlib.decompressobj().decompress(row, _ENOUGH_BYTES)
        match = _FIRST_ARRAY.match(head)
        return int(match[1]) if match else len(_decode(row)["numbers"])

    def _read(self, number: int) -> Atoms:
        from ase.db.row import AtomsRow

        fields = _decode(self._row(number))
        return structure_of(AtomsRow(fields | {"id": self._id(number)}))  # type: ignore[no-untyped-call]

    def _id(self, number: int) -> int:
        """Find the id of a row: as many more as ids before it were deleted."""
        return number + 1 + int(np.searchsorted(self._kept_before, number, side="right"))

    def _row(self, number: int) -> bytes:
        key = self._id(number)
        row = self._get(b"%d" % key)
        if row is None:
            raise InputFileError(
                "row is absent from the database",
                where=f"{self.path}, frame {number}",
                expected=f"a row of id {key}",
                remedy="copy the file again",
            )
        if row.startswith(_PICKLE_MARK):
            self._raise_pickled()
        return row

    def _get(self, key: bytes) -> bytes | None:
        with self._environment.begin() as transaction:
            found: bytes | None = transaction.get(key)
        return found

    def _raise_foreign(self) -> NoReturn:
        """Say what the file holds instead of rows of ASE."""
        with self._environment.begin() as transaction, transaction.cursor() as cursor:
            items = [(bytes(key), bytes(value)) for key, value in islice(cursor, 3)]
        if any(value.startswith(_PICKLE_MARK) for _, value in items):
            self._raise_pickled()
        raise FormatError(
            "LMDB file is not an ASE database",
            where=self.path,
            expected="rows that ASE wrote, and a key nextid",
            got="keys " + ", ".join(repr(key[:40]) for key, _ in items) if items else "no keys",
        )

    def _raise_pickled(self) -> NoReturn:
        raise FormatError(
            "LMDB file holds pickled objects, which could run any code when they are read",
            where=self.path,
            expected="compressed JSON, as in files .aselmdb",
            remedy="if you trust the file, convert it to .aselmdb or extxyz with the program "
            "that it belongs to; --allow-pickle does not open structures",
        )


def _open_environment(path: str, title: str) -> Any:
    """Open a file, or take it from whoever has it open."""
    try:
        import lmdb
    except ImportError as error:
        raise RequestError(
            "the package lmdb, which reads this file, is not installed",
            where=path,
            got=str(error),
            remedy='pip install "prcli[lmdb]"',
        ) from error
    with parse_errors(path, title):
        status = os.stat(path)
        key = (status.st_dev, status.st_ino)
        environment = _open_files.get(key)
        if environment is None:
            environment = lmdb.open(
                path, subdir=False, readonly=True, lock=False, readahead=False, meminit=False
            )
            _open_files[key] = environment
    return environment


def _decode(content: bytes) -> Any:
    """Undo what ASE does to an object: JSON, compressed."""
    from ase.io.jsonio import decode

    return decode(zlib.decompress(content).decode())  # type: ignore[no-untyped-call]
