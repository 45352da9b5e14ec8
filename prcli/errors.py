"""Everything that can go wrong with what a user gave us, a class per kind of fault.

Every message answers five questions: what went wrong, where, what was expected, what was
found instead, and what to do about it.
"""

from __future__ import annotations

from typing import Any


class PrcliError(Exception):
    """Root of all errors that prcli raises on purpose.

    Parameters
    ----------
    what : str
        The fault, as one sentence without a full stop.
    where : str, optional
        File, structure, key or option concerned.
    expected, got : str, optional
        What should have been there, and what was.
    remedy : str, optional
        What the user can do.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        got: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.expected = expected
        self.got = got
        self.remedy = remedy
        super().__init__(what, where, expected, got, remedy)

    def rename(self, path: str, name: str) -> None:
        """Call a file in the message by another name."""
        for part in ("where", "expected", "got", "remedy"):
            text = getattr(self, part)
            if text is not None:
                setattr(self, part, text.replace(path, name))

    def __reduce__(self) -> tuple[Any, ...]:
        """Let it pass between processes."""
        return _rebuild, (type(self), dict(vars(self)))

    def __str__(self) -> str:
        """Write what went wrong, and below it what is known about it."""
        details = (
            ("where", self.where),
            ("expected", self.expected),
            ("got", self.got),
            ("remedy", self.remedy),
        )
        lines = [self.what]
        lines += [f"  {name + ':':<10}{text}" for name, text in details if text is not None]
        return "\n".join(lines)


def _rebuild(kind: type[PrcliError], state: dict[str, Any]) -> PrcliError:
    """Undo `PrcliError.__reduce__`."""
    error = kind(**{name: state[name] for name in ("what", "where", "expected", "got", "remedy")})
    vars(error).update(state)
    return error


class InputFileError(PrcliError, OSError):
    """A file is missing, unreadable, truncated or has changed."""


class FormatError(PrcliError, ValueError):
    """A file is not of the format, or of the version, that it should be."""


class FeatureError(PrcliError, ValueError):
    """Features are absent, misshaped, not finite, or do not fit their structures."""


class MismatchError(PrcliError, ValueError):
    """Data sets or files that should go together do not."""


class RequestError(PrcliError, ValueError):
    """The request cannot be satisfied with the data at hand."""


class DuplicateRowsError(PrcliError, ValueError):
    """The same structures would be counted twice."""


class RankError(PrcliError, ArithmeticError):
    """The Hessian is singular, so rigidities do not exist."""


class OutputError(PrcliError, OSError):
    """An output exists already, or cannot be written."""


class ExpressionError(PrcliError, ValueError):
    """A filter expression cannot be understood or evaluated."""


class StoppedEarlyError(PrcliError):
    """Work was stopped before its end; a checkpoint allows to go on."""

    exit_code = 75
