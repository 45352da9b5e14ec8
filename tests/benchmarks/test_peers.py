"""Peers that cannot be had are said to be missing, and those that answer are compared."""

from __future__ import annotations

import sys

import numpy as np
import peer_process
import pytest
from comparison import Comparison
from peer_process import PROGRAMS, PeerError, PeerProcess, install
from peers import PEERS, Peer, peer_rows
from workloads import Size

SIZE = Size(40, 6, 8, 4)

#: Programs of the same form as those of `peer_programs`, which need nothing but numpy.
PROGRAM = f"""
import sys
sys.path.insert(0, {str(PROGRAMS)!r})
from turns import serve
import numpy as np

def farthest(features, n_picks):
    print("what a package prints is no answer")
    pool, picks = features["pool"], [int(features["first"])]
    while len(picks) < n_picks:
        gaps = np.linalg.norm(pool[:, None] - pool[picks], axis=2).min(axis=1)
        picks.append(int(gaps.argmax()))
    return picks

def wrong(features, n_picks):
    return farthest(features, n_picks)[:2] + [-1] * (n_picks - 2)

def broken(features, n_picks):
    raise RuntimeError("out of luck")

serve("numpy", {{"farthest": farthest, "wrong": wrong, "broken": broken}})
"""


@pytest.fixture
def programs(tmp_path, monkeypatch):
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "own.py").write_text(PROGRAM)
    (folder / "own.txt").write_text("nothing==0\n")
    monkeypatch.setattr(peer_process, "PROGRAMS", folder)
    return folder


@pytest.fixture
def installed(programs, tmp_path):
    """Environments in which the interpreter of the tests is the peers' one."""
    place = tmp_path / "environments" / "own" / "bin"
    place.mkdir(parents=True)
    # Not a link, which an interpreter would take for one outside of its environment.
    (place / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (place / "python").chmod(0o755)
    (place.parent / "installed.txt").write_text((programs / "own.txt").read_text())
    return tmp_path / "environments"


def measure(environments, tmp_path, task, same=True):
    features = tmp_path / "features"
    features.mkdir()
    peer = Peer("own", "own", task, Comparison.farthest_points, "select fps", same)
    return peer_rows(Comparison(SIZE), environments, features, 1, 1, 0.0, lambda what: None, [peer])


def test_a_peer_of_the_same_method_picks_the_same(installed, tmp_path):
    time, agreement = measure(installed, tmp_path, "farthest")
    assert time.item == f"own {np.__version__}: farthest"
    assert time.value > 0.0
    assert (agreement.value, agreement.unit) == (4.0, "of 4 picks")


def test_picks_that_differ_are_counted_up_to_the_first_difference(installed, tmp_path):
    assert measure(installed, tmp_path, "wrong")[1].value == 2.0


def test_picks_of_another_objective_are_not_compared(installed, tmp_path):
    assert len(measure(installed, tmp_path, "wrong", same=False)) == 1


def test_a_peer_that_fails_is_in_the_table_with_its_reason(installed, tmp_path):
    (row,) = measure(installed, tmp_path, "broken")
    assert (row.item, row.value) == ("own: broken", "none")
    assert row.note == "failed: RuntimeError: out of luck"


def test_a_peer_that_cannot_be_installed_is_in_the_table_with_its_reason(
    programs, tmp_path, monkeypatch
):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (row,) = measure(tmp_path / "environments", tmp_path, "farthest")
    assert (row.item, row.value) == ("own: farthest", "none")
    assert row.note.startswith("not installed: ERROR: ")
    assert "nothing==0" in row.note


def test_an_environment_is_made_again_when_its_requirements_change(
    programs, installed, monkeypatch
):
    assert install("own", installed) == installed / "own" / "bin" / "python"
    (programs / "own.txt").write_text("nothing==1\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(PeerError, match="nothing==1"):
        install("own", installed)


def test_a_peer_answers_round_by_round(installed, tmp_path):
    Comparison(SIZE).save(tmp_path)
    python = installed / "own" / "bin" / "python"
    with PeerProcess(python, "own", "farthest", tmp_path, 3, 1) as process:
        first, second = process.round(), process.round()
    assert first.result == second.result
    assert len(first.result) == 3


def test_every_peer_has_a_program_and_requirements():
    for peer in PEERS:
        assert f'"{peer.task}": ' in (PROGRAMS / f"{peer.program}.py").read_text()
        assert (PROGRAMS / f"{peer.program}.txt").exists()
