"""Whatever ends `prcli select`, the same command goes on and ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from builders import write_store
from plain_signals import heed_signals

from prcli.data.checkpoint import read_checkpoint
from prcli.data.tables import read_table

ROOT = Path(__file__).resolve().parents[2]
N_PICKS = 30
COMMAND = (
    "select --train train.h5 --target target.h5 --pool many.h5 --exclude-train -o out -n"
).split()

#: Picks take their time, so that there is some to be killed in; checkpoints are written after
#: every pick, or as rarely as usual.
SLOW = """
import os, sys, time
import prcli.numerics.pickers as pickers
import prcli.workflows.selection_checkpoint as checkpoints
from prcli.cli.main import main

propose = pickers.GreedyPicker.propose

def slow(self):
    if os.path.exists("stall"):
        print("stalled", file=sys.stderr, flush=True)
    while os.path.exists("stall"):
        time.sleep(0.01)
    if "TELL" in os.environ:
        print("picking", file=sys.stderr, flush=True)
    time.sleep(float(os.environ["PICK_SECONDS"]))
    return propose(self)

pickers.GreedyPicker.propose = slow
if "CHECKPOINT_SECONDS" in os.environ:
    checkpoints.SECONDS = float(os.environ["CHECKPOINT_SECONDS"])
    checkpoints._WRITING_SHARE = 0
sys.argv = ["prcli", *sys.argv[1:]]
main()
"""

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture(autouse=True)
def many(workplace):
    return write_store(Path("many.h5"), 60, 5, seed=7, xyz=Path("many.xyz"))


@pytest.fixture(autouse=True)
def wide(workplace):
    """Sets as wide as the pool."""
    for name, n_structures, seed in (("train", 10, 1), ("target", 4, 2)):
        os.unlink(f"{name}.h5")
        write_store(Path(f"{name}.h5"), n_structures, 5, seed=seed)


def start(*arguments: str, pick_seconds: float = 0.03, **environment: str) -> subprocess.Popen:
    own = {"PYTHONPATH": str(ROOT), "PICK_SECONDS": str(pick_seconds)}
    return subprocess.Popen(
        [sys.executable, "-c", SLOW, *(arguments or [*COMMAND, str(N_PICKS)])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **own, **environment},
        preexec_fn=heed_signals,
    )


def start_stalled() -> subprocess.Popen:
    """Start a run and wait until its next pick is being looked for."""
    Path("stall").touch()
    process = start()
    assert b"stalled\n" in process.stderr
    return process


def start_picking(*arguments: str) -> subprocess.Popen:
    """Start a run and wait until it is at its third pick."""
    process = start(*arguments, pick_seconds=0.2, TELL="1")
    told = (line for line in process.stderr if line == b"picking\n")
    assert len([next(told) for _ in range(3)]) == 3
    return process


def finish(process: subprocess.Popen) -> tuple[int, str]:
    out, err = process.communicate(timeout=60)
    assert out == b""
    assert b"Traceback" not in err
    return process.returncode, err.decode()


def wait_for_picks(n_picks: int, path: str = "out.checkpoint") -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = read_checkpoint(path)
        if found is not None and found.n_steps >= n_picks:
            return
        time.sleep(0.005)
    raise AssertionError("no checkpoint in time")


def assert_as_uninterrupted(prcli) -> None:
    assert not os.path.exists("out.checkpoint")
    os.rename("out", "resumed")
    assert prcli(*COMMAND, str(N_PICKS)).code == 0
    for name in ("selection.tsv", "targets.tsv"):
        whole, resumed = (read_table(f"{folder}/{name}") for folder in ("out", "resumed"))
        assert list(whole) == list(resumed)
        for column in set(whole) - {"source", "helped", "nearest_source"}:
            numbers = (
                np.array(",".join(table[column]).split(","), dtype=float)
                for table in (whole, resumed)
            )
            np.testing.assert_allclose(*numbers, rtol=1e-9, atol=1e-9 * (column == "margin"))
        for column in {"helped", "nearest_source"} & set(whole):
            assert whole[column] == resumed[column]
    assert Path("out/selected.xyz").read_bytes() == Path("resumed/selected.xyz").read_bytes()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGHUP"])
def test_a_signal_leaves_a_checkpoint_and_the_same_command_goes_on(prcli, name):
    process = start_stalled()
    os.unlink("stall")
    # Some picks later, long before the last.
    time.sleep(0.3)
    process.send_signal(getattr(signal, name))
    code, err = finish(process)
    assert code == 75
    n_picks = read_checkpoint("out.checkpoint").n_steps
    assert f"stopped by {name} after {n_picks} of {N_PICKS} picks" in err
    assert "the same command goes on" in err
    assert not os.path.exists("out")
    again = prcli(*COMMAND, str(N_PICKS))
    assert again.code == 0
    assert f"{n_picks} picks were made by an earlier run" in again.err
    assert_as_uninterrupted(prcli)


@pytest.mark.slow
def test_killed_at_any_moment(prcli):
    chance = random.Random(5)
    for _ in range(6):
        process = start(CHECKPOINT_SECONDS="0")
        time.sleep(chance.uniform(0.2, 2.0))
        process.kill()
        code, err = finish(process)
        # Whole or not there at all.
        found = read_checkpoint("out.checkpoint")
        assert code == -signal.SIGKILL or (code == 0 and found is None), err
        # Killed when all was done but to say so is done as well.
        if code == 0 or os.path.exists("out"):
            break
    if not os.path.exists("out"):
        assert prcli(*COMMAND, str(N_PICKS)).code == 0
    assert_as_uninterrupted(prcli)


def test_killed_after_some_picks(prcli):
    process = start(CHECKPOINT_SECONDS="0")
    wait_for_picks(4)
    process.kill()
    finish(process)
    assert "picks were made by an earlier run" in prcli(*COMMAND, str(N_PICKS)).err
    assert_as_uninterrupted(prcli)


def test_an_interrupt_keeps_the_checkpoint_that_is_there():
    process = start(CHECKPOINT_SECONDS="0")
    wait_for_picks(2)
    process.send_signal(signal.SIGINT)
    code, err = finish(process)
    assert code == 75
    n_picks = read_checkpoint("out.checkpoint").n_steps
    assert f"stopped by SIGINT after {n_picks} of {N_PICKS} picks" in err


def test_an_interrupt_early_on_leaves_nothing():
    before = sorted(os.listdir())
    process = start_picking()
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == 130
    assert sorted(os.listdir()) == before


def test_a_signal_before_the_first_new_pick_keeps_what_there_is():
    process = start(CHECKPOINT_SECONDS="0")
    wait_for_picks(3)
    process.kill()
    finish(process)
    kept = read_checkpoint("out.checkpoint")
    process = start_stalled()
    process.terminate()
    code, err = finish(process)
    assert code == 75
    assert f"after {kept.n_steps} of {N_PICKS} picks" in err
    assert read_checkpoint("out.checkpoint") == kept


def test_a_signal_before_any_pick_is_one_without_a_checkpoint():
    before = sorted(os.listdir())
    process = start_stalled()
    process.terminate()
    assert finish(process)[0] == 143
    os.unlink("stall")
    assert sorted(os.listdir()) == before


def test_stdout_has_none_unless_named(prcli):
    to_stdout = [*COMMAND[:-3], "-n", str(N_PICKS)]
    process = start_picking(*to_stdout)
    process.terminate()
    assert finish(process)[0] == 143
    assert not [name for name in os.listdir() if "checkpoint" in name]
    process = start(*to_stdout, "--checkpoint", "here", CHECKPOINT_SECONDS="0")
    wait_for_picks(2, "here")
    process.terminate()
    assert finish(process)[0] == 75
    resumed = prcli(*to_stdout, "--checkpoint", "here")
    assert resumed.column("index") == prcli(*to_stdout).column("index")
    assert not os.path.exists("here")


def test_another_request_is_refused(prcli, fails):
    process = start(CHECKPOINT_SECONDS="0")
    wait_for_picks(2)
    process.terminate()
    finish(process)
    message = fails(*COMMAND, "31")
    assert "the checkpoint belongs to another request" in message
    assert "expected: n-to-select 30" in message
    assert "got:      n-to-select 31" in message
    assert "remove the file, or give another --checkpoint" in message
    assert prcli(*COMMAND, "31", "--checkpoint", "other").code == 0


def test_an_audit_that_is_stopped_goes_on_with_the_same_picks(prcli, monkeypatch):
    command = [*COMMAND, "5", "--audit", "--audit-seeds", "2", "--no-report"]

    def stopped(*_):
        raise SystemExit(128 + signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr("prcli.workflows.audit.audit", stopped)
        first = prcli(*command)
    assert first.code == 75
    assert "the same command goes on" in first.err
    assert not os.path.exists("out")
    again = prcli(*command)
    assert again.code == 0
    assert "5 picks were made by an earlier run" in again.err
    assert Path("out/audit.tsv").exists()
    assert not os.path.exists("out.checkpoint")


def test_what_is_stopped_after_the_result_is_there_does_not_promise_to_go_on(prcli, monkeypatch):
    def stopped(*_):
        raise SystemExit(128 + signal.SIGTERM)

    monkeypatch.setattr("prcli.workflows.report_run.add_audit", stopped)
    outcome = prcli(*COMMAND, "5", "--audit", "--no-report")
    assert outcome.code == 128 + signal.SIGTERM
    assert os.path.exists("out/selection.tsv")
    assert not os.path.exists("out.checkpoint")


def test_a_damaged_checkpoint_is_refused(fails):
    Path("out.checkpoint").write_text("4\nProperties=species:S:1:pos:R:3\n")
    message = fails(*COMMAND, "5")
    assert "file is not a checkpoint of a selection" in message
    assert "out.checkpoint" in message
    assert "remedy:" in message


def test_info_tells_what_a_checkpoint_is(prcli):
    process = start(CHECKPOINT_SECONDS="0")
    wait_for_picks(3)
    process.terminate()
    finish(process)
    facts = {row[1]: row[2] for row in prcli("info", "out.checkpoint").table}
    assert facts["kind"] == "checkpoint"
    n_picks = read_checkpoint("out.checkpoint").n_steps
    assert facts["n_picks"] == f"{n_picks} of {N_PICKS}"
    assert facts["objective"] == "mean-pr"
    assert "stop-pr" not in facts


def test_the_report_says_what_was_taken_over(prcli):
    process = start(CHECKPOINT_SECONDS="0")
    wait_for_picks(3)
    process.terminate()
    finish(process)
    n_picks = read_checkpoint("out.checkpoint").n_steps
    assert prcli(*COMMAND, str(N_PICKS)).code == 0
    report = json.loads(Path("out/report.json").read_text())
    assert report["health"]["n_picks_from_checkpoint"] == n_picks
    assert len(report["picks"]) == N_PICKS


def test_a_file_that_may_not_grow_stops_no_selection():
    import resource

    # The picks do not fit into as many bytes; the table on stdout is a pipe.
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, *COMMAND[:-3], "-n", str(N_PICKS), "--checkpoint", "c"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PICK_SECONDS": "0.05",
            "CHECKPOINT_SECONDS": "0",
        },
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1200, 1200)),
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err.count(b"warning: the checkpoint is not written") == 1
    assert b"File too large" in err
    assert len(out.splitlines()) == N_PICKS + 1
    # What fitted is gone with the success.
    assert not [name for name in os.listdir() if name.startswith((".", "c"))]
