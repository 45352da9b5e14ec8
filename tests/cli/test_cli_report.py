"""``prcli report``, and what ``prcli select --report`` leaves."""

from __future__ import annotations

import gzip
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from builders import source_of, write_frames, write_store

from prcli.cli import select_page

pytestmark = pytest.mark.usefixtures("workplace")

SETS = ("--train", "train.h5", "--target", "target.h5", "--pool", "pool.h5")
RESULT = {"report.json", "selected.xyz", "selection.tsv", "targets.tsv"}
SHOWN = {"report.html", "map.tsv", "chemiscope.json.gz"}


@pytest.fixture
def select(prcli):
    """Select into a directory."""

    def run(directory, *arguments, n=3, code=0):
        outcome = prcli("select", *SETS, "-n", n, "-o", directory, *arguments)
        assert outcome.code == code, outcome.err
        return outcome

    return run


def data_of(path):
    """What a page shows."""
    text = Path(path).read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


def column(content, name):
    place = [each["name"] for each in content["columns"]].index(name)
    return [row[place] for row in content["rows"]]


def table(path):
    lines = [line.split("\t") for line in Path(path).read_text().splitlines()]
    return {name: [row[i] for row in lines[1:]] for i, name in enumerate(lines[0])}


@pytest.mark.parametrize(("has_extra", "names"), [(True, RESULT | SHOWN), (False, RESULT)])
def test_page_is_written_where_the_extra_is_installed(select, monkeypatch, has_extra, names):
    monkeypatch.setattr(select_page, "_has_extra", lambda: has_extra)
    select("out")
    assert set(os.listdir("out")) == names


def test_page_can_be_forced_and_suppressed(select, monkeypatch):
    select("without", "--no-report")
    monkeypatch.setattr(select_page, "_has_extra", lambda: False)
    select("with", "--report")
    assert set(os.listdir("without")) == RESULT
    assert set(os.listdir("with")) == RESULT | SHOWN


def test_page_shows_what_the_tables_hold(select):
    select("out")
    shown, picks, targets = (
        data_of("out/report.html"),
        table("out/selection.tsv"),
        table("out/targets.tsv"),
    )
    assert column(shown["picks"], "frame") == [int(text) for text in picks["frame"]]
    for name in ("gain", "objective", "margin"):
        expected = [float(text) for text in picks[name]]
        np.testing.assert_allclose(column(shown["picks"], name), expected, rtol=1e-7)
    for name in ("pr_before", "pr_after"):
        expected = [float(text) for text in targets[name]]
        np.testing.assert_allclose(column(shown["targets"], name), expected, rtol=1e-5)
    report = json.loads(Path("out/report.json").read_text())
    series = shown["objective"]["series"][0]
    np.testing.assert_allclose(series["y"][0], report["objective"]["before"], rtol=1e-5)
    assert series["x"] == [0, 1, 2, 3]
    assert "3 structures out of 12 candidates" in shown["sentences"][0]
    assert "mean PR of the targets, 4 structures" in shown["sentences"][0]
    assert report["map"]["points"]["pool"] == {"shown": 12, "of": 12}


def test_picks_have_explanations(select):
    select("out")
    report = json.loads(Path("out/report.json").read_text())
    helped = report["picks"][0]["helped"][0]["index"]
    first = column(data_of("out/report.html")["picks"], "why")[0]
    assert first.startswith(f"PR of target.xyz, frame {helped}: ")
    assert "nearest in training: train.xyz, frame" in first


def test_distribution_counts_every_target(select):
    select("out")
    series = data_of("out/report.html")["distribution"]["series"]
    assert [each["name"] for each in series] == ["before the picks", "after the picks"]
    assert [sum(each["counts"]) for each in series] == [4, 4]


def test_map_marks_picks_and_tells_rigidities(select, prcli):
    select("out")
    shown = data_of("out/report.html")["map"]
    names = np.array(shown["set"]["names"])[shown["set"]["codes"]]
    assert {name: int((names == name).sum()) for name in set(names)} == {
        "train": 10,
        "target": 4,
        "pool": 12,
    }
    picks = [int(text) for text in table("out/selection.tsv")["index"]]
    pool = np.flatnonzero(names == "pool")
    ranks = np.array(shown["rank"])[pool]
    assert [int(np.flatnonzero(ranks == rank)[0]) for rank in (1, 2, 3)] == picks
    assert prcli("hessian", "train.h5", "-o", "h.h5").code == 0
    expected = [
        float(text) for text in prcli("score", "h.h5", "pool.h5", "--order", "file").column("pr")
    ]
    np.testing.assert_allclose(np.array(shown["pr"])[pool], expected, rtol=1e-3)


def test_structures_carry_rigidities_of_atoms(select, prcli):
    select("out")
    with gzip.open("out/chemiscope.json.gz") as file:
        dataset = json.load(file)
    assert prcli("hessian", "train.h5", "-o", "h.h5").code == 0
    scored = prcli("score", "h.h5", "pool.h5", "--per", "atom", "--order", "file")
    index = np.array(scored.column("index"), dtype=int)
    lpr = np.array(scored.column("lpr"), dtype=float)
    picks = [int(text) for text in table("out/selection.tsv")["index"]]
    expected = np.concatenate([lpr[index == pick] for pick in picks])
    found = dataset["properties"]["LPR"]["values"][: len(expected)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert dataset["properties"]["set"]["values"] == ["pick"] * 3 + ["target"] * 4
    assert dataset["properties"]["rank"]["values"][:3] == [1.0, 2.0, 3.0]


def test_report_makes_the_same_page_again(select, prcli):
    select("out")
    page = Path("out/report.html").read_bytes()
    Path("out/report.html").unlink()
    outcome = prcli("report", "out")
    assert outcome.code == 0
    assert outcome.out == b""
    assert "out/report.html" in outcome.err
    assert Path("out/report.html").read_bytes() == page


def test_existing_page_is_kept(select, fails, prcli):
    select("out")
    assert "--overwrite" in fails("report", "out")
    assert prcli("report", "out", "--overwrite").code == 0
    assert prcli("report", "out", "-o", "page.html").code == 0
    assert Path("page.html").read_bytes() == Path("out/report.html").read_bytes()


def test_page_of_a_result_without_map_and_structures(select, prcli):
    select("out", "--no-report")
    assert prcli("report", "out").code == 0
    shown = data_of("out/report.html")
    assert shown["map"] is None
    assert shown["viewer"] is None
    assert len(shown["picks"]["rows"]) == 3
    assert column(shown["picks"], "formula")


def test_page_without_frames(select, prcli):
    select("out", "--no-report")
    Path("out/selected.xyz").unlink()
    assert prcli("report", "out").code == 0
    assert "formula" not in [
        each["name"] for each in data_of("out/report.html")["picks"]["columns"]
    ]


def test_audit_draws_the_other_strategies(select, prcli):
    outcome = select("out", "--audit", "--audit-seeds", "2")
    assert Path("out/audit.tsv").read_bytes() == outcome.out
    series = data_of("out/report.html")["objective"]["series"]
    assert [each["name"] for each in series] == ["pr", "random", "fps", "leverage"]
    rows = outcome.table
    expected = [float(row[2]) for row in rows[1:] if row[0] == "random"]
    np.testing.assert_allclose(series[1]["y"], expected, rtol=1e-5)
    assert prcli("select", *SETS, "-n", "2", "-o", "out", "--overwrite").code == 0
    assert not Path("out/audit.tsv").exists()


def test_pages_are_equal_without_provenance(select):
    for name in ("one", "two"):
        select(name, "--no-provenance", "--report")
    for name in RESULT | SHOWN:
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes(), name


@pytest.mark.parametrize(
    "arguments",
    [
        ("--objective", "log-det"),
        ("--target-per", "atom"),
        ("--strategy", "random"),
        ("--strategy", "fps"),
        ("--strategy", "leverage"),
        ("--objective", "mean-log-pr"),
        ("--objective", "min-pr"),
        ("--objective", "mean-variance"),
        ("--stop-pr", "1e-9"),
        ("--energy", "total", "--intercept", "species"),
    ],
)
def test_every_kind_of_selection_has_a_page(select, arguments):
    select("out", *arguments)
    shown = data_of("out/report.html")
    assert len(shown["picks"]["rows"]) == len(table("out/selection.tsv")["rank"])
    assert "nan" not in " ".join(shown["sentences"])


def test_page_without_targets(prcli):
    sets = [each for each in SETS if "target" not in each]
    outcome = prcli("select", *sets, "-n", "2", "-o", "out", "--objective", "log-det", "--report")
    assert outcome.code == 0
    shown = data_of("out/report.html")
    assert shown["distribution"] is None
    assert shown["targets"] is None
    assert shown["map"]["set"]["names"] == ["train", "pool"]


def test_baseline_without_targets_is_not_judged(prcli):
    sets = [each for each in SETS if "target" not in each]
    outcome = prcli("select", *sets, "-n", "2", "-o", "out", "--strategy", "fps", "--report")
    assert outcome.code == 0
    asked, chosen = data_of("out/report.html")["sentences"]
    assert "by the baseline fps, beside a training set" in asked
    assert chosen.endswith("(farthest point sampling).")


def test_training_set_known_by_its_hessian_is_not_on_the_map(prcli):
    assert prcli("hessian", "train.h5", "-o", "h.h5").code == 0
    sets = ("--hessian", "h.h5", *SETS[2:])
    assert prcli("select", *sets, "-n", "2", "-o", "out", "--report").code == 0
    assert data_of("out/report.html")["map"]["set"]["names"] == ["target", "pool"]


def test_targets_of_which_the_structures_are_gone(select):
    Path("target.xyz").unlink()
    outcome = select("out", "--report")
    assert "target" in outcome.err
    properties = data_of("out/report.html")["viewer"]["properties"]
    assert properties["set"]["values"] == ["pick"] * 3


def test_large_pool_is_thinned_and_that_is_said(select, monkeypatch):
    from prcli.workflows import selection_map

    monkeypatch.setattr(selection_map, "MOST_POINTS", {"train": 5, "target": 2, "pool": 4})
    select("out")
    points = data_of("out/report.html")["map"]["points"]
    assert points["train"] == {"shown": 5, "of": 10}
    assert points["target"] == {"shown": 2, "of": 4}
    # Picks are shown in any case.
    shown = set(zip(table("out/map.tsv")["set"], table("out/map.tsv")["index"], strict=True))
    picks = {("pool", index) for index in table("out/selection.tsv")["index"]}
    assert picks <= shown
    assert 4 <= points["pool"]["shown"] <= 7


def test_long_list_of_picks_is_cut_and_that_is_said(select, monkeypatch):
    from prcli.workflows import page_content

    monkeypatch.setattr(page_content, "MOST_PICKS", 2)
    select("out")
    shown = data_of("out/report.html")
    assert column(shown["picks"], "rank") == [1, 2]
    assert shown["picks"]["note"] == "The first 2 of 3 picks; selection.tsv has all."
    assert len(shown["objective"]["series"][0]["y"]) == 4


def test_comments_of_users_end_no_script(prcli):
    nasty = "</script><script>1</script>"
    comments = [f'Properties=species:S:1:pos:R:3 config_type="{nasty}"']
    from builders import counts_of, frames_of

    write_frames(Path("pool.xyz"), frames_of(counts_of(12, 3), seed=3, comments=comments))
    write_store(Path("own.h5"), 12, seed=3, source=source_of(Path("pool.xyz")))
    sets = (*SETS[:4], "--pool", "own.h5")
    assert prcli("select", *sets, "-n", "2", "-o", "out", "--report").code == 0
    assert nasty not in Path("out/report.html").read_text()
    assert column(data_of("out/report.html")["picks"], "config_type") == [nasty] * 2


# Several selections.


def test_selections_side_by_side(select, prcli):
    select("pr", n=4)
    select("random", "--strategy", "random", n=3)
    outcome = prcli("report", "pr", "b=random", "-o", "c.html")
    assert outcome.code == 0
    shown = data_of("c.html")
    assert [each["name"] for each in shown["objective"]["series"]] == ["pr", "b"]
    assert column(shown["comparison"], "selection") == ["pr", "b"]
    assert column(shown["comparison"], "picks") == [4, 3]
    third = float(table("pr/selection.tsv")["objective"][2])
    assert column(shown["comparison"], "at_equal_number")[0] == pytest.approx(third)
    frames = [set(table(f"{name}/selection.tsv")["frame"]) for name in ("pr", "random")]
    assert column(shown["comparison"], "in_all") == [len(frames[0] & frames[1])] * 2
    assert len(shown["picks"]["rows"]) == len(frames[0] | frames[1])
    assert shown["sentences"][0].startswith("After 3 picks each, the mean PR of the targets is")
    assert len(shown["sentences"]) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--objective", "min-pr"), "different objectives"),
        (("--regularizer", "1e-2"), "start from different values"),
    ],
)
def test_what_cannot_be_compared_is_said(select, prcli, arguments, words):
    select("a")
    select("b", *arguments)
    assert prcli("report", "a", "b", "-o", "c.html").code == 0
    assert words in data_of("c.html")["sentences"][1]


def test_comparison_needs_a_name(select, fails):
    select("a")
    select("b")
    assert "-o comparison.html" in fails("report", "a", "b")
    assert "need names of their own" in fails("report", "x=a", "x=b", "-o", "c.html")


# Plots.


def test_plots_of_a_selection(select, prcli):
    pytest.importorskip("matplotlib")
    names = {f"{n}.{e}" for n in ("objective", "target_rigidities", "map") for e in ("png", "svg")}
    select("out", "--plots", "drawn")
    assert set(os.listdir("drawn")) == names
    assert prcli("report", "out", "--overwrite", "--plots", "again").code == 0
    for name in names:
        assert Path("again", name).read_bytes() == Path("drawn", name).read_bytes()
    assert "PR of a target" in Path("drawn/target_rigidities.svg").read_text()


def test_plots_of_a_comparison(select, prcli):
    pytest.importorskip("matplotlib")
    select("a")
    select("b", "--strategy", "fps")
    assert prcli("report", "a", "b", "-o", "c.html", "--plots", "drawn").code == 0
    names = {f"{name}.{e}" for name in ("objective", "target_rigidities") for e in ("png", "svg")}
    assert set(os.listdir("drawn")) == names


def test_plots_that_exist_are_refused_before_the_work(select, prcli):
    pytest.importorskip("matplotlib")
    Path("drawn").mkdir()
    Path("drawn/map.svg").write_text("mine")
    outcome = select("out", "--plots", "drawn", code=1)
    assert "drawn/map.svg" in outcome.err
    assert not Path("out").exists()


# Bad input.


@pytest.mark.parametrize("option", ["--report", "--plots=drawn"])
@pytest.mark.parametrize("output", [(), ("-o", "-")])
def test_page_and_plots_need_a_result_directory(fails, option, output):
    assert "give -o DIR" in fails("select", *SETS, "-n", "1", *output, option, code=2)


def test_directory_that_is_no_result(fails, select, prcli):
    Path("empty").mkdir()
    assert "no result of prcli select" in fails("report", "empty")
    assert "no result of prcli select" in fails("report", "absent")
    assert "train.h5" in fails("report", "train.h5")
    select("out")
    Path("out/report.json").write_text('{"format": "prcli-prune-report"}')
    assert "format prcli-report" in fails("report", "out", "--overwrite")
    Path("out/report.json").write_text("{")
    assert "out/report.json" in fails("report", "out", "--overwrite")
    fails("report", code=2)


def test_report_and_picks_that_do_not_fit(fails, select):
    select("out")
    lines = Path("out/selection.tsv").read_text().splitlines(keepends=True)
    Path("out/selection.tsv").write_text("".join(lines[:-1]))
    assert "does not fit the report" in fails("report", "out", "--overwrite")


def test_page_replaces_none_of_its_inputs(fails, select):
    select("out")
    message = fails("report", "out", "-o", "out/selection.tsv", "--overwrite")
    assert "one of the inputs" in message
