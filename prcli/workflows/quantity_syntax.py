"""The grammar of derived quantities, such as ``E['slab'] - mean(E['bulk'])``.

Python parses the text, and every node of the tree must be on a list: arithmetic, numbers, names
with a string or a row number in brackets, and calls of the few functions below by their names.
No attribute, keyword or other call gets through.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.errors import ExpressionError
from prcli.workflows.expression_syntax import (
    ARITHMETIC,
    MAX_DEPTH,
    check_constant,
    parse_text,
    place_of,
)

FloatArray = NDArray[np.float64]

#: Functions of all rows of their arguments, one value for each column.
REDUCTIONS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "mean": lambda rows: rows.mean(axis=0),
    "sum": lambda rows: rows.sum(axis=0),
    "min": lambda rows: rows.min(axis=0),
    "max": lambda rows: rows.max(axis=0),
}
#: Functions of each value.
FUNCTIONS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "abs": np.abs,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
}
_ALLOWED = "numbers, + - * / % **, NAME, NAME['name'] or NAME[row], and the functions " + ", ".join(
    [*REDUCTIONS, *FUNCTIONS]
)
_ADVICE: dict[type[ast.AST], str] = {
    ast.BitXor: "write ** for powers",
    ast.Slice: "name rows by a key, and give the key with --name-key",
}


@dataclass(frozen=True)
class Pick:
    """Some rows of a column.

    Attributes
    ----------
    column : str
        ``E`` for energies, or a column of the structures.
    key : str, int or None
        Name of the rows, or the one row, or None for all of them.
    """

    column: str
    key: str | int | None


def parse_quantity_tree(source: str) -> ast.expr:
    """Parse a quantity, and let only harmless ones through.

    Parameters
    ----------
    source : str
        Without spaces around it.

    Returns
    -------
    ast.expr
        Nodes of the grammar above only.

    Raises
    ------
    ExpressionError
        If the text is anything else; the message says in which column.
    """
    body = parse_text(source)
    _check(body, source, 0)
    return body


def picks_of(node: ast.expr) -> Iterator[Pick]:
    """Give what a checked tree needs, repetitions included."""
    match node:
        case ast.Name() | ast.Subscript():
            yield pick_of(node)
        case _:
            for part in parts_of(node):
                yield from picks_of(part)


def pick_of(node: ast.Name | ast.Subscript) -> Pick:
    """Tell what rows a name means, with or without brackets."""
    match node:
        case ast.Name(id=name):
            return Pick(name, None)
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str() | int() as key)):
            return Pick(name, key)
    raise AssertionError(ast.dump(node))


def parts_of(node: ast.expr) -> list[ast.expr]:
    """Operands of an operator, or arguments of a function, of a checked tree."""
    match node:
        case ast.UnaryOp(operand=part):
            return [part]
        case ast.BinOp(left=left, right=right):
            return [left, right]
        case ast.Call(args=arguments):
            return arguments
    return []


def _check(node: ast.expr, source: str, depth: int) -> None:
    """Let only nodes pass that the list below has."""
    if depth > MAX_DEPTH:
        raise ExpressionError("expression is nested too deeply", expected=f"{MAX_DEPTH} levels")
    match node:
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
            check_constant(node, source)
        case ast.Name() | ast.UnaryOp(op=ast.USub() | ast.UAdd()):
            pass
        case ast.Subscript(value=ast.Name(), slice=key):
            _check_key(key, source)
        case ast.BinOp(op=operator):
            if type(operator) not in ARITHMETIC:
                raise _refuse(source, node, operator)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            _check_call(node, name, len(arguments), source)
        case _:
            raise _refuse(source, node, node)
    for part in parts_of(node):
        _check(part, source, depth + 1)


def _check_key(key: ast.expr, source: str) -> None:
    """Let only a string or a row number stand in brackets."""
    if not (isinstance(key, ast.Constant) and isinstance(key.value, str | int)):
        raise _refuse(source, key, key)
    if isinstance(key.value, bool):
        raise _refuse(source, key, key)


def _check_call(node: ast.Call, name: str, n_arguments: int, source: str) -> None:
    """Let only known functions pass, with as many arguments as they take."""
    if name not in REDUCTIONS and name not in FUNCTIONS:
        raise _refuse(source, node, node)
    if n_arguments == 0 or (name in FUNCTIONS and n_arguments > 1):
        raise ExpressionError(
            f"{name} takes another number of arguments",
            where=place_of(source, node),
            expected="one" if name in FUNCTIONS else "one or more",
            got=str(n_arguments),
        )


def _refuse(source: str, node: ast.expr, what: ast.AST) -> ExpressionError:
    """Say that a part of the expression is not allowed."""
    return ExpressionError(
        "expression holds something that is not allowed",
        where=place_of(source, node),
        expected=_ALLOWED,
        got=ast.get_source_segment(source, node) or type(what).__name__,
        remedy=_ADVICE.get(type(what)),
    )
