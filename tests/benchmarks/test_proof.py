"""The table of measurements at tiny sizes: that all its lines are there, not what they say."""

from __future__ import annotations

import math

import numpy as np
import proof
import pytest
from brute_force import brute_force_picks
from growth import VARIABLES, slope
from published_loop import PublishedLoop
from readme_section import BEGIN, END, README, render, replaced
from readme_section import main as put_into_readme
from tsv_table import Row, of_section, read_table, write_table
from workloads import OBJECTIVES, REGULARIZER, Features, Size


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("proof") / "table.tsv"
    proof.main(["--quick", "--no-peers", "--threads", "1,2", "-o", str(path)])
    return path


@pytest.fixture(scope="module")
def rows(path):
    return read_table(path)


def items(rows, section):
    return [(row.item, row.threads) for row in of_section(rows, section)]


def test_every_section_has_its_lines(rows):
    limits = ("matrix product", "triangular solve", "memory, read", "memory, read and write")
    assert items(rows, "limit") == [(item, n) for n in (1, 2) for item in limits]
    shares = ["hessian", "score"]
    shares += [f"select {o}: {part}" for o in OBJECTIVES for part in ("pick", "set-up")]
    assert items(rows, "share") == [(item, n) for n in (1, 2) for item in shares]
    exponents = [f"{c}: {x}" for c, xs in VARIABLES.items() for x in (*xs, "threads")]
    assert [item for item, _ in items(rows, "growth")] == exponents
    for section in ("prediction", "forecast"):
        assert [item for item, _ in items(rows, section)] == list(VARIABLES)
    assert {"processor", "memory", "numpy", "processors taken"} <= dict(
        items(rows, "machine")
    ).keys()


def test_limits_and_forecasts_are_positive_and_finite(rows):
    for row in of_section(rows, "limit") + of_section(rows, "forecast"):
        assert 0.0 < row.value < math.inf, row


def test_picks_are_those_of_brute_force(rows):
    agreement = of_section(rows, "agreement")
    assert [row.item for row in agreement] == [f"select {o}" for o in OBJECTIVES]
    assert all(row.value == row.picks for row in agreement)


def test_picks_are_those_of_the_published_loop(rows):
    row = next(r for r in rows if r.item == "published loop: mean PR: agreement")
    assert row.value == row.picks


def test_published_loop_and_brute_force_pick_alike():
    features = Features(Size(15, 4, 5, 3))
    arrays = features.train, features.target, features.pool
    loop = PublishedLoop(*arrays, REGULARIZER)
    assert loop.select(3) == brute_force_picks("mean-pr", *arrays, 3)


def test_slope_is_the_exponent_of_a_power_law_with_its_spread():
    sizes = [10.0, 20.0, 40.0, 80.0]
    exact = np.array(sizes) ** 1.5
    seconds = np.array([exact * 3.0, exact * [1.0, 1.0, 2.0, 2.0], exact * [2.0, 2.0, 1.0, 1.0]])
    found = slope(sizes, seconds[:1])
    assert found.value == pytest.approx(1.5)
    assert found.error == pytest.approx(0.0, abs=1e-12)
    both = slope(sizes, seconds)
    assert both.low < 1.5 < both.high
    assert both.high - 1.5 == pytest.approx(1.5 - both.low)


def test_table_reads_as_written(tmp_path):
    rows = [
        Row("limit", "product", 12.5, "Gflop/s", threads=2, low=12.0, high=13.0),
        Row("machine", "processor", "A\tB\nC"),
        Row("peer", "x: y", "none", C=3, T=4, D=5, picks=6, note="not installed: 'no'"),
    ]
    path = tmp_path / "t.tsv"
    with path.open("w") as file:
        write_table(rows, file)
    assert read_table(path) == [rows[0], Row("machine", "processor", "A B C"), rows[2]]


def test_section_of_the_readme_shows_every_command_and_limit(rows):
    section = render(rows)
    for command in VARIABLES:
        assert section.count(f"`{command}`") >= 3, command
    assert "| triangular solve |" in section
    assert "published loop" in section
    widths = [line.count("|") for line in section.splitlines() if line.startswith("|---")]
    assert len(widths) == 4


@pytest.mark.parametrize(("taken", "rough"), [(0.05, False), (0.5, True)])
def test_section_says_when_the_machine_was_busy(rows, taken, rough):
    others = [row for row in rows if row.item != "processors taken"]
    section = render([*others, Row("machine", "processors taken", taken)])
    assert f"other processes took {taken:.0%} of the time" in section
    assert ("the times below are rough" in section) == rough


def test_readme_is_replaced_between_its_marks_only(path, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    put_into_readme([str(path), "--readme", str(readme)])
    text = readme.read_text()
    assert text.startswith(f"before\n{BEGIN}")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    put_into_readme([str(path), "--readme", str(readme)])
    assert readme.read_text() == text


def test_readme_without_a_section_is_refused():
    with pytest.raises(ValueError, match="no section of measurements"):
        replaced("nothing here", "section")


def test_readme_of_the_project_has_the_section():
    assert replaced(README.read_text(encoding="utf-8"), "x").count("x") > 0


def test_threads_must_include_one(capsys):
    with pytest.raises(SystemExit):
        proof.main(["--threads", "2"])
    assert "1 must be among them" in capsys.readouterr().err
