"""Filter and cost expressions, such as ``density < 2.0 and config_type == 'bulk'``.

They are evaluated for all structures at once. Numbers are float64 throughout, so that no power
can grow beyond bounds.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

import numpy as np

from prcli.errors import ExpressionError
from prcli.workflows.expression_syntax import ARITHMETIC, COMPARISONS, parse_tree, place_of
from prcli.workflows.operands import Operand, column_operand, constant_operand
from prcli.workflows.operators import calculate, combine, compare, contain, truth

_MAX_NAMES = 60


@dataclass(frozen=True)
class Expression:
    """An expression that is known to be harmless.

    Attributes
    ----------
    text : str
        As the user wrote it.
    names : frozenset of str
        Columns that it needs.
    """

    text: str
    names: frozenset[str]
    _body: ast.expr = field(repr=False, compare=False)

    def evaluate(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Compute the expression for every structure.

        Parameters
        ----------
        columns : mapping of str to (S,) array
            Numbers, truth values, strings, or objects of these kinds with None for what is
            missing. Only the columns in `names` are looked up.

        Returns
        -------
        (S,) array
            bool for conditions, float64 for arithmetic, strings or objects for a column of
            such. A comparison with a missing value is False, arithmetic with it is nan.

        Raises
        ------
        ExpressionError
            If a column is unknown, or operands are of kinds that do not go together.
        """
        operand = self.operand(columns)
        if operand.kind == "missing":
            return np.full(operand.data.shape, np.nan)
        if operand.kind == "truth":
            return np.asarray(np.logical_and(operand.data, operand.present))
        if operand.kind == "number":
            return np.where(operand.present, operand.data, np.nan)
        return operand.data

    def operand(self, columns: Mapping[str, np.ndarray]) -> Operand:
        """Compute the expression, and keep apart what is missing.

        Parameters
        ----------
        columns : mapping of str to (S,) array
            As for `evaluate`.

        Returns
        -------
        Operand
            Of S entries.

        Raises
        ------
        ExpressionError
            As `evaluate`.
        """
        for node in ast.walk(self._body):
            if isinstance(node, ast.Name) and node.id not in columns:
                raise _unknown_name(node.id, columns, place_of(self.text, node))
        used = {name: column_operand(name, columns[name]) for name in sorted(self.names)}
        lengths = {name: len(operand.data) for name, operand in used.items()}
        if len(set(lengths.values())) > 1:
            raise ExpressionError("columns have different lengths", got=str(lengths))
        with np.errstate(all="ignore"):
            result = _evaluate(self._body, used, self.text)
        n_structures = next(iter(lengths.values()), None)
        if n_structures is None:
            n_structures = len(next(iter(columns.values()), ()))
        return result.spread(n_structures)


def parse_expression(text: str) -> Expression:
    """Parse an expression.

    Parameters
    ----------
    text : str
        Comparisons (``a < b <= c`` too), ``and``, ``or``, ``not``, ``+ - * / % **``, ``in`` and
        ``not in`` with tuples or lists of constants, parentheses, names, numbers, strings, True
        and False.

    Returns
    -------
    Expression
        Ready to be evaluated on any columns.

    Raises
    ------
    ExpressionError
        If the text is anything else; the message says in which column.
    """
    source = text.strip()
    if not source:
        raise ExpressionError("expression is empty", expected="such as n_atoms < 100")
    body = parse_tree(source)
    names = frozenset(node.id for node in ast.walk(body) if isinstance(node, ast.Name))
    return Expression(source, names, body)


def where(expression: Expression, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Tell which structures fulfil a condition.

    Parameters
    ----------
    expression : Expression
        A condition.
    columns : mapping of str to (S,) array
        As for `Expression.evaluate`.

    Returns
    -------
    (S,) bool array
        True where the condition holds; False where it is the bare name of a missing value.

    Raises
    ------
    ExpressionError
        If the expression is not a condition, and as `Expression.evaluate`.
    """
    operand = expression.operand(columns)
    return truth(operand, f"{expression.text!r}").data


def _unknown_name(name: str, columns: Mapping[str, np.ndarray], place: str) -> ExpressionError:
    """Say which names there are instead."""
    known = sorted(columns)
    nearest = get_close_matches(name, known, n=1)
    more = f", and {len(known) - _MAX_NAMES} more" if len(known) > _MAX_NAMES else ""
    return ExpressionError(
        f"unknown name {name!r}",
        where=place,
        expected="one of " + ", ".join(known[:_MAX_NAMES]) + more,
        remedy=f"did you mean {nearest[0]!r}?" if nearest else None,
    )


def _evaluate(node: ast.expr, columns: Mapping[str, Operand], source: str) -> Operand:
    """Evaluate a node of the kinds that `parse_tree` lets through."""
    place = place_of(source, node)
    match node:
        case ast.Name(id=name):
            return columns[name]
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return constant_operand(value)
        case ast.BoolOp(op=connective, values=parts):
            conditions = [truth(_evaluate(part, columns, source), place) for part in parts]
            return combine("and" if isinstance(connective, ast.And) else "or", conditions)
        case ast.UnaryOp(op=ast.Not(), operand=part):
            condition = truth(_evaluate(part, columns, source), place)
            return Operand("truth", ~condition.data, condition.present)
        case ast.UnaryOp(op=sign, operand=part):
            factor = constant_operand(-1 if isinstance(sign, ast.USub) else 1)
            return calculate("*", factor, _evaluate(part, columns, source), place)
        case ast.BinOp(left=left, op=operator, right=right):
            first, second = (_evaluate(part, columns, source) for part in (left, right))
            return calculate(ARITHMETIC[type(operator)], first, second, place)
        case ast.Compare():
            links = _compare_chain(node, columns, source, place)
            return combine("and", links)
    raise AssertionError(ast.dump(node))


def _compare_chain(
    node: ast.Compare, columns: Mapping[str, Operand], source: str, place: str
) -> list[Operand]:
    """Evaluate ``a < b <= c`` as the comparisons that it joins."""
    links = []
    left = _evaluate(node.left, columns, source)
    for operator, part in zip(node.ops, node.comparators, strict=True):
        symbol = COMPARISONS[type(operator)]
        if isinstance(operator, ast.In | ast.NotIn):
            links.append(contain(symbol, left, ast.literal_eval(part)))
            continue
        right = _evaluate(part, columns, source)
        links.append(compare(symbol, left, right, place))
        left = right
    return links
