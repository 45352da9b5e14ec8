"""The grammar of filter and cost expressions: a small part of Python's.

Python parses the text, and every node of the tree must be on a list: no call, attribute or
subscript gets through.
"""

from __future__ import annotations

import ast
import warnings

from prcli.errors import ExpressionError

MAX_DEPTH = 200
_MAX_TEXT = 10_000
#: Comparisons, by node.
COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
}
#: Arithmetic, by node.
ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Mod: "%",
    ast.Pow: "**",
}
_ADVICE: dict[type[ast.AST], str] = {
    ast.BitAnd: "write 'and'",
    ast.BitOr: "write 'or'",
    ast.Invert: "write 'not'",
    ast.BitXor: "write ** for powers",
    ast.Is: "write ==",
    ast.IsNot: "write !=",
}


def parse_tree(source: str) -> ast.expr:
    """Parse an expression, and let only harmless ones through.

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


def parse_text(source: str) -> ast.expr:
    """Let Python parse a text; what it holds is for others to check.

    Raises
    ------
    ExpressionError
        If it is too long, or no expression of Python's.
    """
    if len(source) > _MAX_TEXT:
        raise ExpressionError(
            "expression is too long",
            expected=f"at most {_MAX_TEXT} characters",
            got=f"{len(source)}",
        )
    try:
        with warnings.catch_warnings():
            # Doubtful text, such as an unknown escape in a string, is an error.
            warnings.simplefilter("error")
            return ast.parse(source, mode="eval").body
    except SyntaxError as error:
        # Python says 0 where the text ends too early.
        column = len(source) + 1 if error.offset == 0 else error.offset
        at = f", column {column}" if column is not None and error.lineno == 1 else ""
        raise ExpressionError(
            "expression cannot be understood",
            where=f"{source!r}{at}",
            got=error.msg,
            remedy=_syntax_advice(source),
        ) from error
    except (ValueError, RecursionError, MemoryError, Warning) as error:
        raise ExpressionError(
            "expression cannot be understood", where=repr(source[:80]), got=str(error) or None
        ) from error


def _syntax_advice(source: str) -> str:
    """Guess what a user meant."""
    without = source
    for operator in ("==", "!=", "<=", ">="):
        without = without.replace(operator, "")
    if "=" in without:
        return "write == to compare"
    if "&&" in source or "||" in source:
        return "write 'and' and 'or'"
    return "put strings in quotes and check parentheses"


def place_of(source: str, node: ast.expr) -> str:
    """Tell where a node stands.

    Parameters
    ----------
    source : str
        The whole expression.
    node : ast.expr
        Part of its tree.

    Returns
    -------
    str
        The expression and a column: Python counts bytes from 0, users characters from 1.
    """
    if node.lineno != 1:
        return repr(source)
    column = len(source.encode()[: node.col_offset].decode()) + 1
    return f"{source!r}, column {column}"


def _refuse(source: str, node: ast.expr, what: ast.AST) -> ExpressionError:
    """Say that a part of the expression is not allowed."""
    return ExpressionError(
        "expression holds something that is not allowed",
        where=place_of(source, node),
        expected="comparisons, and, or, not, in, + - * / % **, names, numbers and strings",
        got=ast.get_source_segment(source, node) or type(what).__name__,
        remedy=_ADVICE.get(type(what)),
    )


def _check(node: ast.expr, source: str, depth: int) -> None:
    """Let only nodes pass that the list below has."""
    if depth > MAX_DEPTH:
        raise ExpressionError("expression is nested too deeply", expected=f"{MAX_DEPTH} levels")
    match node:
        case ast.Name():
            return
        case ast.Constant(value=bool() | int() | float() | str()):
            check_constant(node, source)
            return
        case ast.BoolOp(values=parts):
            pass
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd(), operand=part):
            parts = [part]
        case ast.BinOp(left=left, op=operator, right=right):
            if type(operator) not in ARITHMETIC:
                raise _refuse(source, node, operator)
            parts = [left, right]
        case ast.Compare(left=left, ops=operators, comparators=comparators):
            parts = [left]
            for comparison, right in zip(operators, comparators, strict=True):
                if type(comparison) not in COMPARISONS:
                    raise _refuse(source, node, comparison)
                if isinstance(comparison, ast.In | ast.NotIn):
                    _check_choices(right, source)
                else:
                    parts.append(right)
        case ast.UnaryOp(op=unary):
            raise _refuse(source, node, unary)
        case _:
            raise _refuse(source, node, node)
    for part in parts:
        _check(part, source, depth + 1)


def check_constant(node: ast.Constant, source: str) -> None:
    """Refuse integers that float64 cannot hold."""
    try:
        if isinstance(node.value, int):
            float(node.value)
    except OverflowError as error:
        raise ExpressionError(
            "number is too large", where=place_of(source, node), expected="less than 1.8e308"
        ) from error


def _check_choices(node: ast.expr, source: str) -> None:
    """Let only a tuple or list of constants stand to the right of ``in``."""
    if not isinstance(node, ast.Tuple | ast.List) or not node.elts:
        raise ExpressionError(
            "'in' needs a list of values",
            where=place_of(source, node),
            expected="such as config_type in ('bulk', 'surface')",
            got=ast.get_source_segment(source, node),
        )
    for element in node.elts:
        match element:
            case ast.Constant(value=bool() | int() | float() | str()):
                check_constant(element, source)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float()) as number):
                if isinstance(number.value, bool):
                    raise _refuse(source, element, element)
                check_constant(number, source)
            case _:
                raise _refuse(source, element, element)
