"""What a page says of a selection must hold for it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from builders import counts_of, frames_of, source_of, write_frames, write_store
from test_cli_report import SETS, column, data_of, table

pytestmark = pytest.mark.usefixtures("workplace")


def page(prcli, *arguments, sets=SETS, name="out"):
    outcome = prcli("select", *sets, "-o", name, "--report", *arguments)
    assert outcome.code == 0, outcome.err
    return data_of(f"{name}/report.html")


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        ("gain per cost", "raises it most for its cost at its turn"),
        ("gain", "the candidate that raises it most at its turn"),
        ("best single", "the one candidate that raises it most;"),
    ],
)
def test_picks_within_a_budget_are_told_by_the_search_that_found_them(prcli, kept, words):
    assert "searches" in dict(page(prcli, "--budget", "12", "--cost", "n_atoms")["request"])
    path = Path("out/report.json")
    report = json.loads(path.read_text())
    for each in report["searches"]:
        each["is_kept"] = each["name"] == kept
    path.write_text(json.dumps(report))
    assert prcli("report", "out", "--overwrite").code == 0
    assert words in data_of("out/report.html")["sentences"][1]


@pytest.mark.parametrize(("n", "words"), [(0, "turn;"), (1, "turn, with 1 exchange afterwards;")])
def test_exchanges_are_told(prcli, n, words):
    page(prcli, "-n", "3", "--refine", "1")
    path = Path("out/report.json")
    report = json.loads(path.read_text())
    report["refinement"]["n_exchanges"] = n
    path.write_text(json.dumps(report))
    assert prcli("report", "out", "--overwrite").code == 0
    assert words in data_of("out/report.html")["sentences"][1]


def test_the_bound_is_told(prcli):
    shown = page(prcli, "-n", "3", "--bound", "--min-distance", "1e-6")
    share = json.loads(Path("out/report.json").read_text())["bound"]["share"]
    expected = f"this one gains at least {100 * share:.3g} % of what the best possible one does"
    assert expected in shown["sentences"][2]
    assert shown["sentences"][2].startswith("No set of as many gains more than")
    assert "with quotas and distances left out" in shown["sentences"][2]


@pytest.mark.parametrize(
    ("objective", "has_ratio"),
    [("mean-pr", True), ("min-pr", True), ("mean-log-pr", False), ("mean-variance", False)],
)
def test_only_of_rigidities_is_a_multiple_told(prcli, objective, has_ratio):
    # A weak regularizer makes the logarithms positive, too.
    shown = page(prcli, "-n", "2", "--objective", objective, "--energy-weight", "1e6")
    assert float(table("out/selection.tsv")["objective"][0]) > 0.0 or objective == "mean-variance"
    assert ("times as high" in shown["sentences"][1]) == has_ratio


def test_only_gains_that_decided_picks_are_called_computed_with_care(prcli):
    assert any("with care" in text for text in page(prcli, "-n", "2")["health"])
    shown = page(prcli, "-n", "2", "--strategy", "random", name="random")
    assert not any("with care" in text for text in shown["health"])


def test_one_target_is_one(prcli):
    sets = ("--train", "train.h5", "--target", "target.h5@0", "--pool", "pool.h5")
    shown = page(prcli, "-n", "1", "--regularizer", "1e3", sets=sets)
    held = next(text for text in shown["health"] if "regularizer" in text)
    assert held.startswith("Of 1 target, 1 was held")
    assert "1 is after them" in held


def test_baseline_without_targets_shows_no_empty_columns_nor_an_empty_plot(prcli):
    pytest.importorskip("matplotlib")
    sets = ("--train", "train.h5", "--pool", "pool.h5")
    shown = page(prcli, "-n", "2", "--strategy", "fps", "--plots", "drawn", sets=sets)
    names = {each["name"] for each in shown["picks"]["columns"]}
    assert not names & {"gain", "objective", "margin", "target_pr_min"}
    assert set(os.listdir("drawn")) == {"map.png", "map.svg"}


def test_band_of_random_draws_is_explained(prcli):
    note = page(prcli, "-n", "2", "--audit", "--audit-seeds", "3")["objective"]["note"]
    assert note == "Band: one standard deviation of 3 random draws."


def test_audit_tells_nothing_of_single_draws(prcli):
    outcome = prcli(
        "select",
        *SETS,
        "-n",
        "2",
        "-o",
        "out",
        "--audit",
        "--audit-seeds",
        "4",
        "--regularizer",
        "10",
    )
    assert outcome.code == 0
    assert outcome.err.count("held in place by the regularizer") == 1


def test_long_kinds_are_cut(prcli):
    comments = [f"Properties=species:S:1:pos:R:3 config_type={'L' * 3000}"]
    write_frames(Path("pool.xyz"), frames_of(counts_of(12, 3), seed=3, comments=comments))
    write_store(Path("own.h5"), 12, seed=3, source=source_of(Path("pool.xyz")))
    shown = page(prcli, "-n", "2", sets=(*SETS[:4], "--pool", "own.h5"))
    assert column(shown["picks"], "config_type") == ["L" * 120 + "…"] * 2
    assert max(map(len, filter(None, shown["map"]["config_type"]["names"]))) <= 121


def test_selections_of_different_objectives_are_drawn_by_what_they_share(prcli):
    page(prcli, "-n", "3", name="a")
    page(prcli, "-n", "3", "--objective", "log-det", name="b")
    assert prcli("report", "a", "b", "-o", "c.html").code == 0
    shown = data_of("c.html")["objective"]
    assert shown["label"] == "mean PR of the targets"
    assert "different objectives" in shown["note"]
    for each, name in zip(shown["series"], "ab", strict=True):
        before = np.array(table(f"{name}/targets.tsv")["pr_before"], dtype=float).mean()
        means = [float(text) for text in table(f"{name}/selection.tsv")["target_pr_mean"]]
        assert each["y"] == pytest.approx([before, *means], rel=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"request": None}, "no request"),
        ({"objective": {"before": 1.0}}, "no objective.after"),
        ({"picks": [{}, {}, {}]}, "no source of pick 1"),
        ({"picks": 3}, "no picks"),
    ],
)
def test_damaged_report_is_refused(prcli, fails, change, words):
    page(prcli, "-n", "3")
    path = Path("out/report.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    message = fails("report", "out", "--overwrite")
    assert words in message
    assert "out/report.json" in message


def test_table_that_holds_other_things_than_numbers_is_refused(prcli, fails):
    page(prcli, "-n", "3")
    path = Path("out/targets.tsv")
    path.write_text(path.read_text().replace("\n0\t", "\nzero\t"))
    assert "could not convert string to float: 'zero'" in fails("report", "out", "--overwrite")
