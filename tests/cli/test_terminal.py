"""On a real terminal: bars and messages on stderr, data where stdout goes, and nowhere else."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import prcli
from prcli.errors import OutputError, RequestError


def on_terminal(arguments, stdout):
    """Run prcli with stderr on a pseudo-terminal; give exit code and what appeared there."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(Path(prcli.__file__).parents[1])}
    command = [sys.executable, "-m", "prcli", *arguments]
    process = subprocess.Popen(command, stdout=stdout, stderr=follower, env=environment)
    os.close(follower)
    shown = b""
    while True:
        try:
            piece = os.read(leader, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(leader)
    return process.wait(timeout=60), shown.decode(errors="replace")


@pytest.fixture
def stores(tmp_path):
    rng = np.random.default_rng(0)
    for name, n in (("train", 30), ("target", 4), ("pool", 50)):
        with prcli.StoreWriter(
            tmp_path / f"{name}.h5",
            n_atoms=np.ones(n, dtype=int),
            n_features=5,
            dtype="float64",
            convention="mean",
        ) as store:
            store.write_structures(0, rng.normal(size=(n, 5)))
    return tmp_path


def test_redirected_table_is_whole_and_the_terminal_sees_messages(stores, tmp_path):
    sets = [f"--{name}={stores / name}.h5" for name in ("train", "target", "pool")]
    with open(tmp_path / "table.tsv", "wb") as file:
        code, shown = on_terminal(["select", *sets, "-n", "3"], file)
    assert code == 0, shown
    assert len((tmp_path / "table.tsv").read_text().splitlines()) == 4
    assert "rank\tindex" not in shown
    assert "training set: 30 structures" in shown


def test_inputs_inside_the_result_directory_are_kept(stores, tmp_path):
    (stores / "out").mkdir()
    (stores / "pool.h5").rename(stores / "out" / "pool.h5")
    with pytest.raises(OutputError, match=r"not a result of prcli|holds one of the inputs"):
        prcli.select(
            stores / "out" / "pool.h5",
            2,
            train=stores / "train.h5",
            target=stores / "target.h5",
            output=str(stores / "out"),
            overwrite=True,
        )
    assert (stores / "out" / "pool.h5").exists()


@pytest.mark.parametrize("word", [{"energy": "per_atom"}, {"intercept": "x"}])
def test_unknown_words_are_refused(word):
    with pytest.raises(RequestError, match="is not known"):
        prcli.hessian(np.eye(3), **word)


def test_baseline_without_targets_serves_every_objective(stores):
    for objective in ("mean-pr", "min-pr", "mean-log-pr", "mean-variance"):
        selection = prcli.select(
            stores / "pool.h5", 3, train=stores / "train.h5", strategy="random", objective=objective
        )
        assert np.isnan([pick.gain for pick in selection.picks]).all()


def test_many_equal_candidates_are_tied_and_the_first_wins():
    rng = np.random.default_rng(1)
    row = rng.normal(size=4)
    selection = prcli.select(
        np.tile(row, (5000, 1)), 3, train=rng.normal(size=(6, 4)), target=row[np.newaxis]
    )
    assert selection.indices.tolist() == [0, 1, 2]
    assert [pick.margin for pick in selection.picks] == [0.0, 0.0, 0.0]
