"""Where features that a command computes are kept: a folder of stores, named after structures."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from prcli.data.publish import check_output
from prcli.errors import OutputError

#: Endings of compressed files, before which the ending of the format stands.
_COMPRESSIONS = (".gz", ".bz2", ".xz")


class KeptStores:
    """Names of stores in a folder, checked before anything is computed.

    Parameters
    ----------
    folder : path, optional
        None if nothing is kept. It is made when the first store is written.
    overwrite : bool
        Whether existing stores may be replaced.
    reserved : iterable of path
        Other files of the command, which no store may replace.
    """

    def __init__(
        self, folder: str | Path | None, overwrite: bool, reserved: Iterable[str | Path]
    ) -> None:
        self._folder = None if folder is None else Path(folder)
        self._overwrite = overwrite
        self._reserved = [os.path.realpath(path) for path in reserved if str(path) != "-"]
        self._paths: list[Path] = []

    def claim(self, typed: str) -> None:
        """Choose a name for the store of a structure file, the next one.

        Parameters
        ----------
        typed : str
            The file as the user gave it, without slice.

        Raises
        ------
        OutputError
            If the store exists or could not be written.
        """
        if self._folder is None:
            return
        self._check_folder(self._folder)
        path = self._unclaimed(_stem(typed))
        real = os.path.realpath(path)
        for other in self._reserved:
            if real == other or real.startswith(other.rstrip(os.sep) + os.sep):
                raise OutputError(
                    "a store of features would take the place of another file of the command",
                    where=f"--keep-features, {path}",
                    got=other,
                    remedy="name another folder",
                )
        if self._folder.exists():
            check_output(path, self._overwrite)
        self._paths.append(path)

    @staticmethod
    def _check_folder(folder: Path) -> None:
        """Refuse a folder that is none, or could not be made."""
        if not folder.exists():
            check_output(folder, directory=True)
        elif not folder.is_dir():
            raise OutputError(
                "features can be kept in a folder only",
                where=f"--keep-features {folder}",
                got="a file",
                remedy="name a folder",
            )

    def _unclaimed(self, stem: str) -> Path:
        """Name a store; files of the same name are numbered."""
        assert self._folder is not None
        path, number = self._folder / f"{stem}.h5", 1
        while path in self._paths:
            number += 1
            path = self._folder / f"{stem}-{number}.h5"
        return path

    def path(self, number: int) -> Path | None:
        """Give the path claimed as number `number`, in a folder that is there; None if none."""
        if self._folder is None:
            return None
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(
                "the folder for features cannot be made",
                where=str(self._folder),
                got=error.strerror or str(error),
            ) from error
        return self._paths[number]


def _stem(typed: str) -> str:
    """Name of a structure file without what tells format and compression."""
    if typed == "-":
        return "stdin"
    path = Path(typed)
    if path.suffix in _COMPRESSIONS:
        path = path.with_suffix("")
    return path.stem
