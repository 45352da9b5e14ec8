"""Groups of candidates that quotas speak of."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from prcli.elements import ATOMIC_NUMBERS
from prcli.errors import RequestError
from prcli.numerics.limits import Group
from prcli.workflows.constraint_options import ELEMENT, EVERY_VALUE, Quota
from prcli.workflows.structure_columns import StructureColumns

logger = logging.getLogger(__name__)
Mask = NDArray[np.bool_]

#: Values that are looked at together.
_VALUES_AT_A_TIME = 1 << 14


def groups_of(
    quotas: tuple[Quota, ...], columns: StructureColumns, label: str
) -> tuple[Group, ...]:
    """Find the candidates that quotas speak of; several of one group become one.

    Parameters
    ----------
    quotas : tuple of Quota
    columns : StructureColumns
        Of the pool.
    label : str
        Name of the pool, for messages.

    Raises
    ------
    ExpressionError
        If a key is not known.
    RequestError
        If no candidate has a value that is asked for.
    """
    columns.fetch(sorted({name for quota in quotas for name in _names(quota)}))
    found: dict[str, Group] = {}
    for quota in quotas:
        for name, members in _members(quota, columns, label).items():
            before = found.get(name, Group(name, members))
            least, most = before.least, before.most
            if quota.kind != "at-most":
                least = max(least, quota.count)
            if quota.kind != "at-least":
                most = quota.count if most is None else min(most, quota.count)
            found[name] = Group(name, members, least, most)
    return tuple(found.values())


def _names(quota: Quota) -> tuple[str, ...]:
    """Columns that a quota needs."""
    if quota.key != ELEMENT:
        return (quota.key,)
    if quota.value == EVERY_VALUE:
        return ()
    if quota.value not in ATOMIC_NUMBERS:
        raise RequestError(
            "no such element",
            where=str(quota),
            expected="a symbol such as Ta, or *",
            got=quota.value,
        )
    return (f"n_{quota.value}",)


def _members(quota: Quota, columns: StructureColumns, label: str) -> dict[str, Mask]:
    """Members of the groups of a quota, by the names of the groups."""
    if quota.key == ELEMENT:
        members = _with_elements(quota, columns)
    else:
        members = _with_values(quota, columns[quota.key])
    if not members or not any(each.any() for each in members.values()):
        if quota.kind == "at-most" or quota.count == 0:
            logger.warning("%s: no structure of the pool is such", quota)
            return members
        raise RequestError(
            "no structure of the pool is such as is asked for",
            where=f"{label}, {quota}",
            expected=f"at least {quota.count}",
            got="0",
            remedy=_near_values(quota, columns),
        )
    return members


def _with_elements(quota: Quota, columns: StructureColumns) -> dict[str, Mask]:
    if quota.value == EVERY_VALUE:
        formulas = columns["formula"]
        symbols = sorted({s for text in set(formulas) for s in _symbols(str(text))})
        sets = {text: _symbols(str(text)) for text in set(formulas)}
        return {
            f"{ELEMENT}={symbol}": np.array([symbol in sets[text] for text in formulas])
            for symbol in symbols
        }
    counts = np.asarray(columns[f"n_{quota.value}"], dtype=np.float64)
    return {f"{ELEMENT}={quota.value}": counts > 0.0}


def _symbols(formula: str) -> frozenset[str]:
    """Elements of a formula such as ``C12H26``."""
    return frozenset(re.findall(r"[A-Z][a-z]?", formula))


def _with_values(quota: Quota, column: NDArray[np.generic]) -> dict[str, Mask]:
    """Compare a column of numbers or texts with values as they are typed."""
    numbers: dict[str, int] = {}
    texts = (_text(value) for value in _values(column))
    where = np.fromiter(
        (numbers.setdefault(text, len(numbers)) for text in texts), np.int32, len(column)
    )
    wanted = quota.value
    if column.dtype.kind == "f":
        wanted = _number_text(wanted)
    return {
        f"{quota.key}={value}": where == number
        for value, number in sorted(numbers.items())
        if (value and quota.value == EVERY_VALUE) or value == wanted
    }


def _values(column: NDArray[np.generic]) -> Iterator[object]:
    """Yield the values of a column, which as objects take several times the memory."""
    for start in range(0, len(column), _VALUES_AT_A_TIME):
        yield from column[start : start + _VALUES_AT_A_TIME].tolist()


def _text(value: object) -> str:
    """Write a value of a column as a user would; nothing where it is missing."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _number_text(text: str) -> str:
    """Bring a typed number into the form of `_text`."""
    try:
        return _text(float(text))
    except ValueError:
        return text


def _near_values(quota: Quota, columns: Mapping[str, NDArray[np.generic]]) -> str | None:
    """Say which values there are."""
    if quota.key == ELEMENT:
        return None
    values = sorted({_text(value) for value in _values(columns[quota.key])} - {""})
    shown = ", ".join(values[:20]) + (", …" if len(values) > 20 else "")
    return f"the pool has {quota.key} of {shown}" if values else None
