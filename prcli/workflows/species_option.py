"""Elements that a user lists."""

from __future__ import annotations

from collections.abc import Sequence

from prcli.elements import ATOMIC_NUMBERS
from prcli.errors import RequestError


def parse_species(symbols: Sequence[str] | None) -> tuple[int, ...] | None:
    """Turn symbols into atomic numbers, increasing; None if nothing is listed.

    Raises
    ------
    RequestError
        If the list is empty, or holds something that is no element, or an element twice.
    """
    if symbols is None:
        return None
    if not symbols:
        raise RequestError("there is no element", where="--species", expected="one or more")
    for position, symbol in enumerate(symbols):
        # "X", of number 0, is no element.
        if not ATOMIC_NUMBERS.get(symbol):
            meant = symbol.capitalize()
            raise RequestError(
                f"element {symbol!r} is not known",
                where="--species",
                expected="chemical symbols such as C,H,O",
                remedy=f"did you mean {meant!r}?" if ATOMIC_NUMBERS.get(meant) else None,
            )
        if symbol in symbols[:position]:
            raise RequestError(
                f"element {symbol!r} is listed twice",
                where="--species",
                expected="every element once",
                got=",".join(symbols),
            )
    return tuple(sorted(ATOMIC_NUMBERS[symbol] for symbol in symbols))
