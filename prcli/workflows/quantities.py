"""Derived quantities: energies of named structures, combined for each member of an ensemble."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from prcli.errors import ExpressionError
from prcli.workflows.expression_syntax import ARITHMETIC, place_of
from prcli.workflows.operators import NUMBER_OPERATORS
from prcli.workflows.quantity_syntax import (
    FUNCTIONS,
    REDUCTIONS,
    Pick,
    parse_quantity_tree,
    parts_of,
    pick_of,
    picks_of,
)

FloatArray = NDArray[np.float64]

#: The column that stands for energies: total ones, in eV.
ENERGY = "E"


@dataclass(frozen=True)
class Quantity:
    """An expression over rows that is known to be harmless.

    Attributes
    ----------
    text : str
        As the user wrote it.
    picks : frozenset of Pick
        Rows that it needs.
    """

    text: str
    picks: frozenset[Pick]
    _body: ast.expr = field(repr=False, compare=False)

    def evaluate(self, rows_of: Callable[[Pick], FloatArray]) -> FloatArray:
        """Compute the quantity for every column at once.

        Parameters
        ----------
        rows_of : callable
            Gives the values (k, G) of the rows of a pick: one column per member, or a single
            one where all members have the same value.

        Returns
        -------
        values : ndarray of shape (k, G)
            k is 1 unless several rows are left that no function has reduced.

        Raises
        ------
        ExpressionError
            If different numbers of rows are combined.
        """
        with np.errstate(all="ignore"):
            return _evaluate(self._body, rows_of, self.text)


def parse_quantity(text: str) -> Quantity:
    """Parse a derived quantity.

    Parameters
    ----------
    text : str
        ``E['slab']`` is the energy of all rows named slab, ``E[3]`` that of row 3, ``E`` that of
        all rows; so for any column of the structures (``n_atoms['slab']``). Arithmetic goes row
        by row; ``mean``, ``sum``, ``min`` and ``max`` are over all rows of their arguments;
        ``abs``, ``exp``, ``log`` and ``sqrt`` are of each value.

    Returns
    -------
    quantity : Quantity

    Raises
    ------
    ExpressionError
        If the text is anything else.
    """
    source = text.strip()
    if not source:
        raise ExpressionError("expression is empty", expected="such as E['slab'] - E['bulk']")
    body = parse_quantity_tree(source)
    return Quantity(source, frozenset(picks_of(body)), body)


def _evaluate(node: ast.expr, rows_of: Callable[[Pick], FloatArray], source: str) -> FloatArray:
    """Evaluate a node of the kinds that the grammar lets through."""
    parts = [_evaluate(part, rows_of, source) for part in parts_of(node)]
    match node:
        case ast.Name() | ast.Subscript():
            return rows_of(pick_of(node))
        case ast.Constant(value=int() | float() as value):
            return np.full((1, 1), float(value))
        case ast.UnaryOp(op=sign):
            return -parts[0] if isinstance(sign, ast.USub) else parts[0]
        case ast.BinOp(op=operator):
            _check_heights(parts, place_of(source, node))
            symbol = ARITHMETIC[type(operator)]
            return np.asarray(NUMBER_OPERATORS[symbol](parts[0], parts[1]))
        case ast.Call(func=ast.Name(id=name)):
            if name in FUNCTIONS:
                return FUNCTIONS[name](parts[0])
            return REDUCTIONS[name](_below_each_other(parts))[np.newaxis]
    raise AssertionError(ast.dump(node))


def _below_each_other(parts: list[FloatArray]) -> FloatArray:
    """Join the rows of several arguments."""
    width = max(part.shape[1] for part in parts)
    return np.concatenate([np.broadcast_to(part, (len(part), width)) for part in parts])


def _check_heights(parts: list[FloatArray], place: str) -> None:
    """Refuse to combine several rows with several others that are not as many."""
    heights = {len(part) for part in parts} - {1}
    if len(heights) > 1:
        raise ExpressionError(
            "different numbers of rows are combined",
            where=place,
            expected="as many on both sides, or one on one side",
            got=" and ".join(str(len(part)) for part in parts) + " rows",
            remedy="reduce them with mean, sum, min or max",
        )
