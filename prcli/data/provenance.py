"""Where an output came from: version, command, time, inputs and settings."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from prcli import __version__
from prcli.errors import FormatError, InputFileError
from prcli.records import FileStamp, Provenance

_DIGEST_BYTES = 16
_READ_BYTES = 4 << 20


def file_digest(path: str | os.PathLike[str]) -> str:
    """Hash the content of a file.

    Parameters
    ----------
    path : path-like
        File to read, in blocks.

    Returns
    -------
    str
        ``blake2b:`` and 32 hexadecimal digits (128 bits).

    Raises
    ------
    InputFileError
        If the file cannot be read.
    """
    state = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    buffer = memoryview(bytearray(_READ_BYTES))
    try:
        with open(path, "rb", buffering=0) as file:
            while n_read := file.readinto(buffer):
                state.update(buffer[:n_read])
    except OSError as error:
        raise _unreadable(path, error) from error
    return f"blake2b:{state.hexdigest()}"


def stamp_file(path: str | os.PathLike[str], digest: str | None = None) -> FileStamp:
    """Record what identifies an input file.

    Parameters
    ----------
    path : path-like
        The file.
    digest : str, optional
        Digest that is known already, such as the content digest of a feature store; without
        it the whole file is read.

    Returns
    -------
    FileStamp
        Absolute path, size in bytes, time of modification and digest.

    Raises
    ------
    InputFileError
        If the file cannot be read.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    return FileStamp(
        path=os.path.abspath(path),
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        digest=file_digest(path) if digest is None else digest,
    )


def make_provenance(
    inputs: Iterable[FileStamp],
    settings: Mapping[str, object],
    command: str | None = None,
) -> Provenance:
    """Record where an output comes from.

    Parameters
    ----------
    inputs : iterable of FileStamp
        Files read.
    settings : mapping
        Whatever decided the numbers: seed, scale, loss, regularizer, ...
    command : str, optional
        By default this process's command line, shell-quoted.

    Returns
    -------
    Provenance
        Stamped with the version and the present UTC time, to the second.
    """
    return Provenance(
        version=__version__,
        command=shlex.join(["prcli", *sys.argv[1:]]) if command is None else command,
        time=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        inputs=tuple(inputs),
        settings=tuple((name, _plain(value)) for name, value in settings.items()),
    )


def provenance_to_dict(provenance: Provenance | None) -> dict[str, object] | None:
    """Make a provenance ready for JSON; None (``--no-provenance``) stays None.

    Parameters
    ----------
    provenance : Provenance or None
        What to convert.

    Returns
    -------
    dict or None
        Keys ``version``, ``command``, ``time``, ``inputs`` (a list of dicts) and ``settings``
        (a dict).
    """
    if provenance is None:
        return None
    return {
        "version": provenance.version,
        "command": provenance.command,
        "time": provenance.time,
        "inputs": [asdict(stamp) for stamp in provenance.inputs],
        "settings": {name: _plain(value) for name, value in provenance.settings},
    }


def provenance_from_dict(fields: Mapping[str, object]) -> Provenance:
    """Undo `provenance_to_dict`.

    Parameters
    ----------
    fields : mapping
        As `provenance_to_dict` returns it; unknown keys are ignored.

    Returns
    -------
    Provenance
        Lists within settings stay lists.

    Raises
    ------
    FormatError
        If a key is absent or of the wrong kind.
    """
    try:
        inputs, settings = fields["inputs"], fields["settings"]
        if not isinstance(inputs, list) or not isinstance(settings, dict):
            raise TypeError("inputs must be a list and settings a dict")
        return Provenance(
            version=str(fields["version"]),
            command=str(fields["command"]),
            time=str(fields["time"]),
            inputs=tuple(
                FileStamp(str(s["path"]), int(s["size"]), int(s["mtime_ns"]), str(s["digest"]))
                for s in inputs
            ),
            settings=tuple(settings.items()),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError("provenance cannot be understood", got=repr(error)) from error


def provenance_to_json(provenance: Provenance) -> str:
    """Write a provenance as the one JSON string that HDF5 files carry as attribute."""
    return json.dumps(provenance_to_dict(provenance), ensure_ascii=False, allow_nan=False)


def _plain(value: object) -> object:
    """Reduce a value to what JSON knows; what it does not know becomes a string."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, np.generic | np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset | range):
        ordered = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [_plain(item) for item in ordered]
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    return str(value)


def _unreadable(path: str | os.PathLike[str], error: OSError) -> InputFileError:
    """Say that a file cannot be read, and why."""
    return InputFileError(
        "file cannot be read",
        where=str(Path(path)),
        got=error.strerror or str(error),
        remedy="check the name and its permissions",
    )
