from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prcli.errors import ExpressionError
from prcli.workflows.expressions import parse_expression, where

COLUMNS: dict[str, np.ndarray] = {
    "n_atoms": np.array([1, 20, 300], dtype=np.int32),
    "density": np.array([1.5, np.nan, 3.0]),
    "config_type": np.array(["bulk", "surface", None], dtype=object),
    "group": np.array(["a", "b", "b"]),
    "spin": np.array([True, None, False], dtype=object),
    "periodic": np.array([True, False, True]),
    "energy": np.array([-1.5, None, 2.5], dtype=object),
    "tag": np.array([1, "x", None], dtype=object),
    "unset": np.array([None, None, None], dtype=object),
    "vector": np.zeros((3, 2)),
    "kpoints": np.array([np.zeros(3), 1, 2], dtype=object),
}


def mask(text: str) -> list[bool]:
    return where(parse_expression(text), COLUMNS).tolist()


T, F = True, False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n_atoms < 100", [T, T, F]),
        ("n_atoms == 20", [F, T, F]),
        ("n_atoms != 20", [T, F, T]),
        ("1 < n_atoms <= 300", [F, T, T]),
        ("1 < n_atoms < 300 < n_atoms", [F, F, F]),
        ("density < 2.0 and config_type == 'bulk'", [T, F, F]),
        ("density < 2.0 or group == 'b'", [T, T, T]),
        ("not n_atoms < 100", [F, F, T]),
        ("not (group == 'a' or group == 'c')", [F, T, T]),
        ("group == 'a' or group == 'b' and n_atoms > 100", [T, F, T]),
        ("config_type in ('bulk', 'liquid')", [T, F, F]),
        ("config_type not in ['bulk']", [F, T, F]),
        ("group in ('a', 1)", [T, F, F]),
        ("n_atoms in (1, 300.0, -5, 'x')", [T, F, T]),
        ("n_atoms not in [1]", [F, T, T]),
        ("group > 'a'", [F, T, T]),
        ("config_type >= 'bulk'", [T, T, F]),
        ("config_type < group", [F, F, F]),
        ("group == config_type", [F, F, F]),
        ("spin", [T, F, F]),
        ("not spin", [F, T, T]),
        ("spin == False", [F, F, T]),
        ("periodic == spin", [T, F, F]),
        ("periodic in (True,)", [T, F, T]),
        ("energy * 2 < 0", [T, F, F]),
        ("energy != 0", [T, F, T]),
        ("-energy + +n_atoms == 2.5", [T, F, F]),
        ("n_atoms % 7 == 6", [F, T, T]),
        ("n_atoms / 0 > 1", [T, T, T]),
        ("2 ** 3 ** 2 == 512", [T, T, T]),
        ("config_type == 3", [F, F, F]),
        ("config_type != 3", [T, T, F]),
        ("tag == 1", [T, F, F]),
        ("tag == 'x'", [F, T, F]),
        ("tag != 'x'", [T, F, F]),
        ("tag in (1, 'x')", [T, T, F]),
        ("unset == 'x' or unset < 3 or unset in (1,) or unset + 1 > 0", [F, F, F]),
        ("unset != 3 or unset not in (1,)", [F, F, F]),
        ("unset", [F, F, F]),
        ("True", [T, T, T]),
        (" ( n_atoms\n < 100 ) ", [T, T, F]),
    ],
)
def test_conditions(text, expected):
    assert mask(text) == expected


def test_missing_values_make_comparisons_false():
    for symbol in ("==", "!=", "<", "<=", ">", ">="):
        assert not mask(f"density {symbol} 3.0")[1]
        assert not mask(f"energy {symbol} 3.0")[1]
        assert not mask(f"config_type {symbol} 'bulk'")[2]


def test_arithmetic_gives_floats():
    cost = parse_expression("n_atoms**3 / 2").evaluate(COLUMNS)
    assert cost.dtype == np.float64
    assert cost.tolist() == [0.5, 4000.0, 13_500_000.0]


def test_constant_has_a_value_per_structure():
    assert parse_expression("2").evaluate(COLUMNS).tolist() == [2.0, 2.0, 2.0]


def test_arithmetic_with_missing_values_is_nan():
    np.testing.assert_array_equal(
        parse_expression("energy + 1").evaluate(COLUMNS), [-0.5, math.nan, 3.5]
    )


def test_powers_cannot_grow_without_bounds():
    assert parse_expression("9**9**9**9").evaluate(COLUMNS).tolist() == [math.inf] * 3


def test_conditions_are_bool():
    assert parse_expression("periodic").evaluate(COLUMNS).dtype == np.bool_
    assert parse_expression("spin").evaluate(COLUMNS).dtype == np.bool_


def test_names_are_the_columns_needed():
    assert parse_expression("a < 2 and b in ('c', 'd') or not -e").names == {"a", "b", "e"}


def test_only_the_columns_needed_are_looked_up():
    class Lazy(dict[str, np.ndarray]):
        def __getitem__(self, name: str) -> np.ndarray:
            assert name == "n_atoms"
            return super().__getitem__(name)

    assert where(parse_expression("n_atoms > 1"), Lazy(COLUMNS)).tolist() == [F, T, T]


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "n_atoms.real",
        "n_atoms[0]",
        "[n for n in n_atoms]",
        "(lambda: 1)",
        "n_atoms if periodic else 1",
        "f'{n_atoms}'",
        "(n := 3)",
        "{'a': 1}",
        "{1, 2}",
        "(1, 2)",
        "[1]",
        "...",
        "None",
        "b'x'",
        "1j",
        "*n_atoms",
        "n_atoms // 2",
        "n_atoms @ 2",
        "n_atoms << 2",
        "group in ('a', n_atoms)",
        "group in ('a', ('b',))",
        "n_atoms in (-True,)",
    ],
)
def test_everything_else_is_refused(text):
    with pytest.raises(ExpressionError, match="not allowed|cannot be understood"):
        parse_expression(text)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("n_atoms < 2 & periodic", "write 'and'"),
        ("periodic | spin", "write 'or'"),
        ("~periodic", "write 'not'"),
        ("n_atoms ^ 2", r"write \*\*"),
        ("group is 'a'", "write =="),
        ("group = 'a'", "write == to compare"),
        ("periodic && spin", "write 'and' and 'or'"),
    ],
)
def test_habits_of_other_languages_get_advice(text, advice):
    with pytest.raises(ExpressionError, match=f"remedy: +{advice}"):
        parse_expression(text)


@pytest.mark.parametrize(
    ("text", "column"),
    [("n_atoms < ", 10), ("a < 'é' and b == @", 18), ("'é' == f(x)", 8), ("  a < [1][0]", 5)],
)
def test_errors_point_to_the_column(text, column):
    with pytest.raises(ExpressionError, match=f", column {column}\n"):
        parse_expression(text)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_empty_expression_is_an_error(text):
    with pytest.raises(ExpressionError, match="expression is empty"):
        parse_expression(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 + " * 5000 + "1", "too long"),
        ("1 + " * 1000 + "1", "nested too deeply"),
        ("(" * 400 + "1" + ")" * 400, "cannot be understood"),
        ("-" * 9000 + "1", "nested too deeply|cannot be understood"),
        ("1" * 400, "too large"),
        ("1" * 5000, "cannot be understood"),
        ("1" * 400 + " in (1,)", "too large"),
        ("group in ('a', " + "1" * 400 + ")", "too large"),
        ("group in (-" + "1" * 400 + ",)", "too large"),
        ("group in ()", "needs a list of values"),
        ("'a' in group", "needs a list of values"),
        ("group == 'a\\d'", "cannot be understood"),
        ("a\0b", "cannot be understood"),
    ],
)
def test_hostile_or_senseless_text_is_an_error(text, message):
    with pytest.raises(ExpressionError, match=message):
        parse_expression(text)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30) | st.text("a1.'()[],<>=!+-*/%&| innotrd", max_size=30))
def test_parsing_raises_nothing_else(text):
    try:
        expression = parse_expression(text)
    except ExpressionError:
        return
    try:
        expression.evaluate({"a": np.array([1.0, 2.0])})
    except ExpressionError:
        pass


def test_unknown_name_lists_known_ones_and_the_nearest():
    with pytest.raises(ExpressionError, match=r"unknown name 'n_atom'(.*\n)+.*did you mean 'n_at"):
        mask("density < 2 and n_atom < 100")
    with pytest.raises(ExpressionError, match=r"column 17\n.*config_type, density, energy"):
        mask("density < 2 and n_atom < 100")


def test_long_lists_of_names_are_cut():
    columns = {f"key{i}": np.zeros(1) for i in range(100)}
    with pytest.raises(ExpressionError, match="and 40 more"):
        where(parse_expression("x > 1"), columns)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("config_type < 3", "strings and numbers cannot be compared by <"),
        ("2 < n_atoms < 'a'", "numbers and strings cannot be compared by <"),
        ("periodic < 1", "truth values and numbers cannot be compared by <"),
        ("tag >= 1", "values of several kinds and numbers cannot be compared by >="),
        ("group + 'a' == 'ab'", "arithmetic with strings"),
        ("-group == 1", "arithmetic with strings"),
        ("periodic * 2 > 1", "arithmetic with truth values"),
        ("n_atoms and periodic", "not a condition"),
        ("not group", "not a condition"),
        ("vector > 1", r"column 'vector' cannot be used.*\n.*\n  got: +shape \(3, 2\)"),
        ("kpoints == 1", r"column 'kpoints' cannot be used.*\n.*\n  got: +int, ndarray"),
    ],
)
def test_operands_that_do_not_go_together_are_an_error(text, message):
    with pytest.raises(ExpressionError, match=message):
        mask(text)


@pytest.mark.parametrize("text", ["n_atoms", "n_atoms * 2", "group", "tag", "1"])
def test_filters_must_be_conditions(text):
    with pytest.raises(ExpressionError, match="not a condition"):
        mask(text)


def test_columns_of_different_lengths_are_an_error():
    with pytest.raises(ExpressionError, match="different lengths"):
        where(parse_expression("a < b"), {"a": np.zeros(2), "b": np.zeros(3)})


def test_no_structures_give_an_empty_mask():
    columns = {"a": np.zeros(0), "b": np.zeros(0, dtype=object)}
    assert where(parse_expression("a < 1 and b in ('x',)"), columns).shape == (0,)


@given(
    st.lists(st.floats(-10, 10), min_size=1, max_size=5),
    st.sampled_from(["a * 2 - 1 < a ** 2", "a <= 3 < a + 4", "not a > 1 or a == 0", "a % 3 >= 1"]),
)
def test_values_are_those_of_python(values, text):
    expected = [eval(text, {"a": value}) for value in values]
    assert where(parse_expression(text), {"a": np.array(values)}).tolist() == expected
