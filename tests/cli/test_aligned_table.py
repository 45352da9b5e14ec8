"""Tables for eyes: aligned, never cut, of any length."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from prcli.cli.aligned_table import table_lines


def lines(columns, batch, **options):
    return [line for line, _ in table_lines(columns, [batch], **options)]


def test_points_stand_above_each_other():
    shown = lines(["x", "n"], {"x": np.array([0.5, 12.25, 100.0, 1e-7]), "n": np.arange(4) * 50})
    assert shown == [
        "      x    n",
        "  0.5      0",
        " 12.25    50",
        "100      100",
        "  1e-07  150",
    ]


def test_what_is_no_number_keeps_its_place():
    values = np.array([1.5, np.inf, np.nan, -20.0])
    assert lines(["x"], {"x": values}) == ["    x", "  1.5", "inf", "nan", "-20"]


def test_numbers_among_nothing_are_numbers():
    values = np.array([None, 2.5, 10.0], dtype=object)
    assert lines(["x"], {"x": values}) == ["   x", "", " 2.5", "10"]
    truths = np.array([None, True, False], dtype=object)
    assert lines(["x"], {"x": truths}) == ["x", "", "True", "False"]


def test_wide_letters_take_two_places():
    names = np.array(["結晶", "ab"], dtype=object)
    shown = lines(["name", "n"], {"name": names, "n": np.array([1, 2])})
    assert shown == ["name  n", "結晶  1", "ab    2"]


def test_texts_give_the_terminal_no_orders():
    names = np.array(["\x1b[31mred\x07\n", "b"], dtype=object)
    assert lines(["name"], {"name": names}) == ["name", r"\x1b[31mred\x07\n", "b"]


WIDE = {
    "source": np.array(["/somewhere/far/away/pool.xyz"] * 20, dtype=object),
    "target_pr_mean": np.linspace(0.1, 0.2, 20),
    "n_atoms": np.arange(20) + 10,
}


def test_names_are_broken_and_paths_shortened_where_the_terminal_is_narrow():
    shown = lines(list(WIDE), WIDE, width=38)
    assert [line.rstrip() for line in shown[:3]] == [
        "                      target_",
        "source                pr_mean  n_atoms",
        "…/far/away/pool.xyz  0.1            10",
    ]
    assert max(map(len, shown)) <= 38
    assert all(line.endswith(str(10 + i)) for i, line in enumerate(shown[2:]))


def test_tables_that_cannot_fit_are_left_whole():
    assert lines(list(WIDE), WIDE, width=20) == lines(list(WIDE), WIDE)


def test_few_rows_that_do_not_fit_are_turned():
    few = {f"a_long_name_{i}": np.array([i, 10.5]) for i in range(6)}
    turned = [f"a_long_name_{i}  {i}  10.5" for i in range(6)]
    assert lines(list(few), few, width=25) == turned
    # It helps where it fits only, and there is nothing to turn where all is well.
    for width in (10, 120):
        assert lines(list(few), few, width=width) == lines(list(few), few)


def test_more_rows_that_do_not_fit_are_cut_between_columns():
    more = {name: np.arange(12) * 1000 for name in ("rank", "first", "second", "third")}
    shown = lines(list(more), more, width=21)
    assert [shown[0].split(), shown[14].split()] == [["rank", "first", "second"], ["rank", "third"]]
    assert shown[13] == ""
    assert shown[15:] == [f"{1000 * i:5d}  {1000 * i:5d}" for i in range(12)]
    assert max(map(len, shown)) <= 21
    # Not where a part is too wide all the same, nor where there are more rows than one sees.
    assert lines(list(more), more, width=9) == lines(list(more), more)
    many = {name: np.arange(41) for name in ("rank", "first", "second", "third")}
    assert lines(list(many), many, width=15) == lines(list(many), many)


def test_long_tables_are_written_as_they_come():
    taken = 0

    def batches():
        nonlocal taken
        for start in itertools.count(0, 500):
            taken += 1
            yield {"x": np.arange(start, start + 500)}

    shown = table_lines(["x"], batches())
    first = [line for line, _ in itertools.islice(shown, 1501)]
    assert first[0].strip() == "x"
    assert [int(line) for line in first[1:]] == list(range(1500))
    assert taken <= 4


@pytest.mark.parametrize("header", [True, False])
def test_names_may_be_left_out(header):
    shown = list(table_lines(["x"], [{"x": np.array([1])}], header=header))
    assert shown == ([("x", True)] if header else []) + [("1", False)]
