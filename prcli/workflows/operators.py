"""What expressions do with operands: compare, calculate, and join conditions."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from prcli.errors import ExpressionError
from prcli.workflows.operands import Constant, Kind, Operand

_ORDER: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
NUMBER_OPERATORS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.mod,
    "**": np.power,
}
_NOUNS: dict[Kind, str] = {
    "number": "numbers",
    "truth": "truth values",
    "text": "strings",
    "mixed": "values of several kinds",
    "missing": "missing values",
}


def compare(symbol: str, left: Operand, right: Operand, place: str) -> Operand:
    """Compare values structure by structure.

    Parameters
    ----------
    symbol : str
        One of ``== != < <= > >=``.
    left, right : Operand
        Values of different kinds are never equal, except that True equals 1.
    place : str
        For messages.

    Returns
    -------
    Operand
        Truth values; False where a value is missing.

    Raises
    ------
    ExpressionError
        If the values have no order: only numbers among themselves and strings have one.
    """
    present = left.present & right.present
    kinds = {left.kind, right.kind}
    if symbol in _ORDER and not (kinds <= {"number", "missing"} or kinds <= {"text", "missing"}):
        raise ExpressionError(
            f"{_NOUNS[left.kind]} and {_NOUNS[right.kind]} cannot be compared by {symbol}",
            where=place,
            expected="numbers on both sides, or strings on both sides",
        )
    if "missing" in kinds:
        result = np.zeros(present.shape, dtype=bool)
    elif symbol in _ORDER:
        result = np.asarray(_ORDER[symbol](left.data, right.data), dtype=bool)
    else:
        equal = _equal(left, right)
        result = equal if symbol == "==" else ~equal
    return Operand("truth", result & present, np.array(True))


def contain(symbol: str, operand: Operand, choices: Sequence[Constant]) -> Operand:
    """Tell which values are among a few.

    Parameters
    ----------
    symbol : {"in", "not in"}
        Which of the two is asked.
    operand : Operand
        The values.
    choices : sequence of bool, int, float or str
        Constants, of several kinds if need be.

    Returns
    -------
    Operand
        Truth values; False where a value is missing.
    """
    numbers = [float(choice) for choice in choices if not isinstance(choice, str)]
    strings = {choice for choice in choices if isinstance(choice, str)}
    if operand.kind == "missing":
        found = np.zeros(operand.data.shape, dtype=bool)
    elif operand.kind in ("number", "truth"):
        found = np.isin(operand.data.astype(np.float64), numbers)
    elif operand.data.dtype.kind == "U":
        found = np.isin(operand.data, np.array(sorted(strings), dtype=np.str_))
    else:
        allowed: set[Constant] = {*numbers, *strings}
        members = (value in allowed for value in operand.data)
        found = np.fromiter(members, dtype=bool, count=len(operand.data))
    result = found if symbol == "in" else ~found
    return Operand("truth", result & operand.present, np.array(True))


def calculate(symbol: str, left: Operand, right: Operand, place: str) -> Operand:
    """Do arithmetic structure by structure.

    Parameters
    ----------
    symbol : str
        One of ``+ - * / % **``.
    left, right : Operand
        Numbers.
    place : str
        For messages.

    Returns
    -------
    Operand
        Numbers; missing where one of the two is.

    Raises
    ------
    ExpressionError
        If the values are not numbers.
    """
    for operand in (left, right):
        if operand.kind not in ("number", "missing"):
            raise ExpressionError(
                f"arithmetic with {_NOUNS[operand.kind]}",
                where=place,
                expected=f"numbers on both sides of {symbol}",
            )
    result = np.asarray(NUMBER_OPERATORS[symbol](left.data, right.data))
    return Operand("number", result, left.present & right.present)


def truth(operand: Operand, place: str) -> Operand:
    """Take values for conditions.

    Parameters
    ----------
    operand : Operand
        Truth values.
    place : str
        For messages.

    Returns
    -------
    Operand
        The same, with False where a value is missing, and none missing any more.

    Raises
    ------
    ExpressionError
        If the values are of another kind.
    """
    if operand.kind == "missing":
        return Operand("truth", np.zeros(operand.data.shape, dtype=bool), np.array(True))
    if operand.kind != "truth":
        raise ExpressionError(
            "not a condition",
            where=place,
            expected="something that is true or false, such as a comparison",
            got=_NOUNS[operand.kind],
        )
    return Operand("truth", operand.data & operand.present, np.array(True))


def combine(connective: Literal["and", "or"], conditions: Sequence[Operand]) -> Operand:
    """Join conditions.

    Parameters
    ----------
    connective : {"and", "or"}
        How.
    conditions : sequence of Operand
        At least one, as `truth` and `compare` return them.

    Returns
    -------
    Operand
        Truth values, none missing.
    """
    join = np.logical_and if connective == "and" else np.logical_or
    result = conditions[0].data
    for condition in conditions[1:]:
        result = join(result, condition.data)
    return Operand("truth", result, np.array(True))


def _equal(left: Operand, right: Operand) -> np.ndarray:
    """Compare for equality."""
    kinds = {left.kind, right.kind}
    if "text" in kinds and not kinds <= {"text", "mixed"}:
        return np.zeros(np.broadcast_shapes(left.data.shape, right.data.shape), dtype=bool)
    return np.asarray(left.data == right.data, dtype=bool)
