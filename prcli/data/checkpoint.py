"""A checkpoint: what a long run has decided so far, in a small file that is replaced as a whole.

Two lines of JSON, with NaN and Infinity as Python spells them: a head with the format, its version
and a digest of the second line, and a body with the request and the columns of what has been
decided. Whatever ends a run, a signal or a power cut, leaves a file that is whole, or none.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from prcli.data.publish import publish_file
from prcli.errors import FormatError, InputFileError, MismatchError

FORMAT = "prcli-checkpoint"
VERSION = 1

#: Longest first line.
_HEAD_BYTES = 4096

#: Longest text of a value of a request in a message.
_LONGEST_TEXT = 120

_REMEDY = "remove the file, which begins anew, or give another --checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """What a run has decided so far.

    Attributes
    ----------
    request : mapping of str to object
        All that decides what the run will do, as JSON knows it.
    columns : mapping of str to sequence of int or float
        A value of each column for every step done, n of them.
    """

    request: Mapping[str, object]
    columns: Mapping[str, Sequence[float]]

    @property
    def n_steps(self) -> int:
        """Number n of steps done."""
        return len(next(iter(self.columns.values()), ()))


def plain_request(request: Mapping[str, object]) -> dict[str, object]:
    """Reduce a request to what a file gives back: tuples become lists, numbers of numpy plain."""
    plain: dict[str, object] = json.loads(json.dumps(request, default=_plain))
    return plain


def write_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a checkpoint in place of an older one, whole or not at all.

    Raises
    ------
    OutputError
        If the file cannot be written; an older one is left as it is.
    """
    content = {"request": checkpoint.request, "columns": checkpoint.columns}
    body = json.dumps(content, ensure_ascii=False).encode()
    head = {"format": FORMAT, "version": VERSION, "digest": _digest(body)}
    with publish_file(path, overwrite=True) as temporary:
        temporary.write_bytes(json.dumps(head).encode() + b"\n" + body + b"\n")


def is_checkpoint_head(line: bytes) -> bool:
    """Tell whether a first line is that of a checkpoint, of whatever version."""
    return line.startswith(b'{"format": "' + FORMAT.encode() + b'"')


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint | None:
    """Read a checkpoint.

    Returns
    -------
    checkpoint : Checkpoint or None
        None where there is no file, or an empty one.

    Raises
    ------
    InputFileError
        If the file cannot be read.
    FormatError
        If it is no checkpoint, of another version, or damaged.
    """
    try:
        with open(path, "rb") as file:
            head = _read_head(file.readline(_HEAD_BYTES), path)
            body = file.read() if head is not None else b""
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputFileError(
            "checkpoint cannot be read", where=os.fspath(path), got=error.strerror or str(error)
        ) from error
    if head is None:
        return None
    body = body.removesuffix(b"\n")
    if head.get("digest") != _digest(body):
        raise FormatError(
            "checkpoint is damaged",
            where=os.fspath(path),
            expected=f"content of digest {head.get('digest')}",
            got=_digest(body),
            remedy=_REMEDY,
        )
    return _parse(body, path)


def check_same_request(
    path: str | os.PathLike[str], stored: Mapping[str, object], request: Mapping[str, object]
) -> None:
    """Refuse to go on from the checkpoint of another request.

    Parameters
    ----------
    path : path-like
        The checkpoint, for messages.
    stored, request : mapping of str to object
        What it was made for, and what is asked for now; both as `plain_request` gives them.

    Raises
    ------
    MismatchError
        Naming what differs.
    """
    names = sorted({*stored, *request})
    differing = [name for name in names if stored.get(name) != request.get(name)]
    if differing:
        raise MismatchError(
            "the checkpoint belongs to another request",
            where=os.fspath(path),
            expected=_text(stored, differing),
            got=_text(request, differing),
            remedy="repeat that request, remove the file, or give another --checkpoint",
        )


def _read_head(line: bytes, path: str | os.PathLike[str]) -> dict[str, object] | None:
    """Parse the first line; None of an empty file."""
    if not line:
        return None
    try:
        head = dict(json.loads(line))
    except (ValueError, TypeError):
        head = {}
    if head.get("format") != FORMAT:
        _refuse("file is not a checkpoint of a selection", FORMAT, head.get("format"), path)
    if head.get("version") != VERSION:
        _refuse("checkpoint is of another version", VERSION, head.get("version"), path)
    return head


def _parse(body: bytes, path: str | os.PathLike[str]) -> Checkpoint:
    content = json.loads(body)
    if len({len(values) for values in content["columns"].values()}) > 1:
        _refuse("columns of a checkpoint differ in length", "equal lengths", None, path)
    return Checkpoint(content["request"], content["columns"])


def _refuse(what: str, expected: object, got: object, path: str | os.PathLike[str]) -> NoReturn:
    raise FormatError(
        what,
        where=os.fspath(path),
        expected=str(expected),
        got=None if got is None else str(got),
        remedy=_REMEDY,
    )


def _digest(body: bytes) -> str:
    return "blake2b:" + hashlib.blake2b(body, digest_size=16).hexdigest()


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else os.fspath(value)  # type: ignore[call-overload]


def _text(request: Mapping[str, object], names: list[str]) -> str:
    return "; ".join(f"{name} {_shortened(request.get(name))}" for name in names)


def _shortened(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 3] + "..."
