from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from builders import split_frames, write_store

from prcli.data.tables import read_table

pytestmark = pytest.mark.usefixtures("workplace")

SETS = ("train.h5", "--target", "target.h5")
COLUMNS = (
    "rank index source frame n_atoms reason duplicate_of distance objective loss "
    "target_pr_mean target_pr_min target_pr_max leverage"
).split()


def test_columns_of_the_table(prcli):
    outcome = prcli("prune", *SETS, "--keep", "4")
    assert outcome.code == 0
    assert outcome.table[0] == COLUMNS
    assert set(outcome.column("source")) == {"train.xyz"}
    assert set(outcome.column("reason")) == {"loss"}
    assert "can go" in outcome.err


def test_frames_are_kept_and_removed_byte_for_byte(prcli):
    frames = split_frames(Path("train.xyz").read_bytes())
    assert prcli("prune", *SETS, "-n", "4", "-o", "out").code == 0
    assert sorted(os.listdir("out")) == [
        "kept.xyz",
        "pruned.tsv",
        "removed.xyz",
        "report.json",
        "targets.tsv",
    ]
    table = read_table("out/pruned.tsv")
    gone = [int(i) for i in table["index"]]
    kept = [i for i in range(len(frames)) if i not in gone]
    assert Path("out/removed.xyz").read_bytes() == b"".join(frames[i] for i in gone)
    assert Path("out/kept.xyz").read_bytes() == b"".join(frames[i] for i in kept)
    assert len(kept) == 4


def test_report_says_what_the_table_does(prcli):
    assert prcli("prune", *SETS, "--max-loss", "30%", "-o", "out").code == 0
    report = json.loads(Path("out/report.json").read_text())
    table = read_table("out/pruned.tsv")
    assert [row["index"] for row in report["removed"]] == [int(i) for i in table["index"]]
    assert report["objective"]["loss"] == float(table["loss"][-1]) <= 0.3
    assert report["train"]["n_removed"] == len(table["index"])
    assert report["request"]["max_loss"] == 0.3
    assert report["provenance"]["inputs"]
    after = [float(x) for x in read_table("out/targets.tsv")["pr_after"]]
    assert np.mean(after) == pytest.approx(report["objective"]["after"], rel=1e-9)


def test_share_and_percentage_are_the_same(prcli):
    one = prcli("prune", *SETS, "--max-loss", "0.3")
    assert one.out == prcli("prune", *SETS, "--max-loss", "30%").out
    assert len(one.table) > 1


def test_a_result_is_replaced_only_when_told(prcli):
    assert prcli("prune", *SETS, "-n", "4", "-o", "out", "--no-provenance").code == 0
    before = Path("out/report.json").read_bytes()
    assert prcli("prune", *SETS, "-n", "5", "-o", "out").code == 1
    assert Path("out/report.json").read_bytes() == before
    again = prcli("prune", *SETS, "-n", "4", "-o", "out", "--no-provenance", "--overwrite")
    assert again.code == 0
    assert Path("out/report.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*SETS,), "how much may go"),
        ((*SETS, "--max-loss", "little"), "neither a share"),
        ((*SETS, "-n", "4", "-o", "-"), "directory"),
        ((*SETS, "-n", "4", "-o", "out", "--format", "csv"), "stdout"),
        (("--target", "target.h5", "-n", "4"), "TRAIN"),
    ],
)
def test_usage(prcli, arguments, said):
    outcome = prcli("prune", *arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert outcome.out == b""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train.h5", "--target", "nowhere.h5", "-n", "4"), "nowhere.h5"),
        (("train.h5", "--target", "wide.h5", "-n", "4"), "wide.h5"),
        ((*SETS, "-n", "4", "-o", "missing/out"), "missing"),
        ((*SETS, "-n", "400"), "fewer training structures"),
    ],
)
def test_what_cannot_be_done_is_said(prcli, arguments, said):
    write_store(Path("wide.h5"), 3, n_features=7)
    outcome = prcli("prune", *arguments)
    assert outcome.code == 1
    assert said in outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.out == b""


def test_a_changed_structure_file_is_found_before_the_work(prcli):
    Path("train.xyz").write_bytes(Path("train.xyz").read_bytes() + b"\n")
    outcome = prcli("prune", *SETS, "-n", "4", "-o", "out")
    assert outcome.code == 1
    assert "changed" in outcome.err
    assert not Path("out").exists()


def test_target_weight_that_some_frames_lack_is_refused(fails):
    # Two of the comment lines have an energy that is a finite number.
    message = fails("prune", *SETS, "--keep", "4", "--target-weight", "energy")
    assert "target weights must be numbers" in message
    assert "target.h5, structure" in message
    assert "expected: a weight of every target" in message
    assert "remedy:   write it there, 0 where a target is not to count" in message


def test_missing_structures_name_an_option_that_there_is(fails):
    Path("train.xyz").unlink()
    message = fails("prune", *SETS, "--keep", "4", "-o", "out")
    assert "--structures" in message
    assert "--indices" not in message
