from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prcli.errors import ExpressionError
from prcli.workflows.quantities import Quantity, parse_quantity
from prcli.workflows.quantity_syntax import Pick

#: Values of the model and of two members.
VALUES = {
    Pick("E", "slab"): np.array([[-8.0, -8.5, -7.5]]),
    Pick("E", "bulk"): np.array([[-4.0, -4.25, -3.5]]),
    Pick("E", "md"): np.array([[1.0, 2.0, 3.0], [3.0, 3.0, 1.0]]),
    Pick("E", "hot"): np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]),
    Pick("E", "three"): np.array([[1.0, 1.0, 1.0]] * 3),
    Pick("E", 0): np.array([[-1.0, -1.5, -0.5]]),
    Pick("E", None): np.array([[0.0, 1.0, 2.0]]),
    Pick("n_atoms", "slab"): np.array([[2.0]]),
    Pick("n_atoms", "md"): np.array([[2.0], [4.0]]),
}


def value(text: str) -> list[list[float]]:
    return np.broadcast_to(parse_quantity(text).evaluate(VALUES.__getitem__), (1, 3)).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("E['slab'] - 2*E['bulk']", [0.0, 0.0, -0.5]),
        ("(E['slab'] - E['bulk']) / 2", [-2.0, -2.125, -2.0]),
        ("-E['slab']", [8.0, 8.5, 7.5]),
        ("+E[0] % 2", [1.0, 0.5, 1.5]),
        ("E[0] ** 2", [1.0, 2.25, 0.25]),
        ("E", [0.0, 1.0, 2.0]),
        ("E['slab'] / n_atoms['slab']", [-4.0, -4.25, -3.75]),
        ("mean(E['md'])", [2.0, 2.5, 2.0]),
        ("sum(E['md'])", [4.0, 5.0, 4.0]),
        ("min(E['md'])", [1.0, 2.0, 1.0]),
        ("max(E['md'])", [3.0, 3.0, 3.0]),
        ("mean(E['md'] / n_atoms['md'])", [0.625, 0.875, 0.875]),
        ("mean(E['md'] - E['hot'])", [0.5, 1.0, 0.5]),
        ("mean(E['md'] - E['bulk'])", [6.0, 6.75, 5.5]),
        ("min(E['slab'], E['bulk'], -10)", [-10.0, -10.0, -10.0]),
        ("max(E['md'], n_atoms['slab'])", [3.0, 3.0, 3.0]),
        ("abs(E['slab'])", [8.0, 8.5, 7.5]),
        ("sqrt(E['slab'] ** 2)", [8.0, 8.5, 7.5]),
        ("log(exp(E['bulk']))", [-4.0, -4.25, -3.5]),
        ("  E['slab']\n", [-8.0, -8.5, -7.5]),
    ],
)
def test_values(text, expected):
    np.testing.assert_allclose(value(text), [expected], rtol=1e-12)


def test_rows_that_nothing_reduces_stay():
    found = parse_quantity("E['md'] - E['slab']").evaluate(VALUES.__getitem__)
    assert found.tolist() == [[9.0, 10.5, 10.5], [11.0, 11.5, 8.5]]


def test_picks_are_the_rows_needed():
    quantity = parse_quantity("mean(E['a'], E['a'] - n_atoms[3]) + volume")
    assert quantity.picks == {Pick("E", "a"), Pick("n_atoms", 3), Pick("volume", None)}


def test_different_numbers_of_rows_are_not_combined():
    with pytest.raises(ExpressionError, match="different numbers of rows") as caught:
        parse_quantity("E['md'] - E['three']").evaluate(VALUES.__getitem__)
    assert "mean, sum, min or max" in str(caught.value)


def test_members_without_a_value_are_nan():
    found = parse_quantity("log(E['bulk'])").evaluate(VALUES.__getitem__)
    assert np.isnan(found).all()


def test_powers_cannot_grow_without_bounds():
    assert value("9**9**9**9") == [[np.inf] * 3]


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "open('x')",
        "eval('1')",
        "E.sum()",
        "E['a'].real",
        "np.mean(E)",
        "E['a']['b']",
        "E[n_atoms]",
        "E['a', 'b']",
        "E[0:3]",
        "E[-1]",
        "E[1.5]",
        "E[True]",
        "E[E['a']]",
        "E['a':]",
        "(E)['a'].__class__",
        "'a'['b']",
        "mean(E, axis=0)",
        "mean(*E)",
        "mean(**{'a': E})",
        "mean['a'](E)",
        "(lambda: E)()",
        "mean",
        "[E]",
        "(E, E)",
        "{'a': E}",
        "[x for x in E]",
        "E if E else E",
        "E < 3",
        "E and E",
        "not E",
        "~E",
        "E // 2",
        "E @ E",
        "E ^ 2",
        "(x := E)",
        "f'{E}'",
        "'E'",
        "True",
        "None",
        "1j",
        "...",
        "E;E",
        "",
        "E['a'",
        "1" + "0" * 400,
    ],
)
def test_everything_else_is_refused(text):
    if text == "mean":
        # A function without a call is taken for a column, which there is not.
        assert parse_quantity(text).picks == {Pick("mean", None)}
        return
    with pytest.raises(
        ExpressionError, match="not allowed|cannot be understood|is empty|too large"
    ):
        parse_quantity(text)


@pytest.mark.parametrize("text", ["mean()", "log(E, E)", "sqrt()"])
def test_functions_take_so_many_arguments(text):
    with pytest.raises(ExpressionError, match="another number of arguments"):
        parse_quantity(text)


def test_message_shows_the_place_and_what_is_allowed():
    with pytest.raises(ExpressionError) as caught:
        parse_quantity("E['a'] + evil('b')")
    message = str(caught.value)
    assert "column 10" in message
    assert "evil('b')" in message
    assert "mean, sum, min, max" in message


@pytest.mark.parametrize("text", ["(" * 150 + "E" + ")" * 150, "-" * 201 + "E", "E+" * 6000 + "E"])
def test_nesting_and_length_are_bounded(text):
    if text.startswith("("):
        assert parse_quantity(text).picks == {Pick("E", None)}
        return
    with pytest.raises(ExpressionError, match="too deeply|too long|cannot be understood"):
        parse_quantity(text)


@given(st.text(max_size=30))
def test_any_text_is_parsed_or_refused(text):
    try:
        assert isinstance(parse_quantity(text), Quantity)
    except ExpressionError:
        pass
