"""Stopping rules, also where there is nothing to do."""

from __future__ import annotations

import json

import numpy as np

import prcli
from prcli.cli.main import cli

RNG = np.random.default_rng(3)
TRAIN, TARGET, POOL = (RNG.normal(size=(n, 4)) for n in (20, 3, 30))


def test_targets_that_are_firm_enough_need_no_pick():
    lowest = prcli.score(prcli.hessian(TRAIN), TARGET).rigidity.min()
    selection = prcli.select(POOL, 5, train=TRAIN, target=TARGET, stop_pr=lowest * 0.99)
    assert selection.indices.size == 0
    assert selection.stopped == "stop_pr"
    np.testing.assert_array_equal(selection.target_pr_before, selection.target_pr_after)


def test_picks_go_on_until_the_lowest_rigidity_is_above():
    lowest = prcli.score(prcli.hessian(TRAIN), TARGET).rigidity.min()
    limit = lowest * 1.2
    selection = prcli.select(POOL, 30, train=TRAIN, target=TARGET, stop_pr=limit)
    minima = [pick.pr_min for pick in selection.picks]
    assert minima[-1] > limit
    assert all(minimum <= limit for minimum in minima[:-1])


def test_a_result_without_picks_is_whole(tmp_path, capsys):
    frame = "1\nProperties=species:S:1:pos:R:3\nC 0 0 0\n"
    (tmp_path / "x.xyz").write_text(frame * 20)
    np.save(tmp_path / "x.npy", TRAIN)
    store = str(tmp_path / "x.h5")
    features = ["--features", str(tmp_path / "x.npy"), "--convention", "mean"]
    arguments = ["features", "import", str(tmp_path / "x.xyz"), *features, "-o", store]
    cli.main(arguments, standalone_mode=False)
    sets = ["--train", store, "--target", store, "--pool", store]
    out = tmp_path / "out"
    cli.main(
        ["select", *sets, "-n", "3", "--stop-pr", "1e-9", "-o", str(out)], standalone_mode=False
    )
    assert "0 of 20 candidates" in capsys.readouterr().err
    assert (out / "selected.xyz").read_bytes() == b""
    assert len((out / "selection.tsv").read_text().splitlines()) == 1
    report = json.loads((out / "report.json").read_text())
    assert report["stopped"] == "stop_pr"
    assert report["objective"]["after"] == report["objective"]["before"]
