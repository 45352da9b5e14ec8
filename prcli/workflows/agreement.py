"""What finished Hessians must agree on before they are put together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from prcli.errors import MismatchError


def settle(name: str, given: Any, stored: Iterable[Any], default: Any) -> Any:
    """Take what an option says, else what all files say, else the default.

    Parameters
    ----------
    name : str
        Attribute of the files; the option is called alike.
    given : object
        Value of the option; None where it was not given.
    stored : iterable
        Values of the files; there may be none.
    default : object

    Returns
    -------
    value : object

    Raises
    ------
    MismatchError
        If files differ and no option settles it.
    """
    if given is not None:
        return given
    values = set(stored)
    if len(values) > 1:
        option = name.replace("_rule", "").replace("_", "-")
        raise MismatchError(
            f"Hessian files differ in {name}",
            got=" and ".join(f"{value!r}" for value in sorted(values, key=str)),
            remedy=f"say which with --{option}",
        )
    return values.pop() if values else default


def agree(name: str, values: Sequence[Any]) -> Any:
    """Return the value that all share, or None if there is none.

    Raises
    ------
    MismatchError
        If they differ; no option can settle what is inside the rows.
    """
    if not values:
        return None
    for value in values[1:]:
        if value != values[0]:
            raise MismatchError(
                f"Hessian files differ in {name}",
                expected=str(values[0]),
                got=str(value),
                remedy="build them with the same options",
            )
    return values[0]
