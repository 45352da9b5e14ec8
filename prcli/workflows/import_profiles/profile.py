"""What is known of the files of one program."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from prcli.data.conventions import RowConvention
from prcli.errors import RequestError
from prcli.workflows.import_request import ImportRequest
from prcli.workflows.import_rows import ImportFrames, ImportRows


@dataclass(frozen=True)
class Profile:
    """What is known of the files of one program.

    Attributes
    ----------
    name : str
        As ``--from`` takes it.
    files : str
        What is read, for messages.
    open : callable
        Opens the features of a request, with the convention of the program, and says what it
        did.
    """

    name: str
    files: str
    open: Callable[[ImportRequest, ImportFrames, ExitStack], ImportRows]


def declare(request: ImportRequest, convention: RowConvention, why: str) -> RowConvention:
    """Return the convention of a program's files, unless the request contradicts it.

    Parameters
    ----------
    request : ImportRequest
    convention : {"mean", "sum", "per-atom"}
    why : str
        What in the files makes it so, as a clause.

    Raises
    ------
    RequestError
        If another convention was asked for.
    """
    if request.convention not in (None, convention):
        raise RequestError(
            f"the files of --from {request.program} have another convention",
            where="--convention",
            expected=f"{convention}, or no --convention: {why}",
            got=str(request.convention),
            remedy=f"leave out --from {request.program} if the file is not from there",
        )
    return convention


def needs_file(request: ImportRequest, files: str) -> str:
    """Return the features file.

    Raises
    ------
    RequestError
        If there is none.
    """
    if request.features is None or request.feature_key is not None:
        raise RequestError(
            f"--from {request.program} needs a file of features",
            where="--features",
            expected=files,
            got=f"--feature-key {request.feature_key}" if request.feature_key else "none",
        )
    return request.features
