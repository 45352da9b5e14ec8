"""Standard streams that are full, closed or unbuffered."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders import write_store

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture
def shell(prcli):
    """Run a line of bash, with $P for prcli, on a Hessian and a table longer than a pipe holds."""
    assert prcli("hessian", "train.h5", "-o", "h.h5").code == 0
    write_store(Path("big.h5"), 3000, seed=5)

    def run(line, unbuffered=False):
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1" if unbuffered else "",
            "P": f"{sys.executable} -m prcli",
        }
        return subprocess.run(
            ["bash", "-c", line], env=environment, capture_output=True, text=True, timeout=60
        )

    return run


@pytest.mark.parametrize("unbuffered", [False, True])
def test_table_that_is_cut_short_is_a_failure(shell, unbuffered):
    done = shell("ulimit -f 64; $P score h.h5 big.h5 --per atom -q > cut.tsv", unbuffered)
    assert done.returncode == 1
    assert 0 < Path("cut.tsv").stat().st_size <= 65536
    assert done.stderr.splitlines() == [
        "prcli: error: File too large",
        "  where:    standard output",
    ]


@pytest.mark.parametrize("unbuffered", [False, True])
def test_reader_that_leaves_is_told_by_the_exit_code(shell, unbuffered):
    # Leaves in the middle of a write that is longer than what a pipe holds.
    line = "$P score h.h5 big.h5 --per atom -q | head -c 70000 >head.tsv; echo ${PIPESTATUS[0]}"
    done = shell(line, unbuffered)
    assert done.stdout == "141\n"
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["info h.h5", "score h.h5 pool.h5"])
def test_closed_output_is_a_failure_without_traceback(shell, command):
    done = shell(f"$P {command} -q >&-")
    assert done.returncode == 1
    assert done.stderr.splitlines()[1:] == ["  where:    standard output"]


def test_nobody_needs_to_see_messages(shell):
    done = shell("$P score h.h5 pool.h5 2>&-")
    assert done.returncode == 0
    assert done.stdout == shell("$P score h.h5 pool.h5").stdout


def test_results_need_no_streams(shell):
    done = shell("$P hessian train.h5 -o all.h5 <&- >&- 2>&-")
    assert done.returncode == 0
    assert shell("$P info all.h5").returncode == 0
