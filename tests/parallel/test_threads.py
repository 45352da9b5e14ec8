from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl

from prcli.errors import RequestError
from prcli.parallel.threads import default_threads, limit_threads

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"):
        monkeypatch.delenv(name, raising=False)
    # Put back after the test what `limit_threads` leaves for the compiler.
    monkeypatch.setenv("NUMBA_NUM_THREADS", os.environ.get("NUMBA_NUM_THREADS", "1"))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"OMP_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "3,2,1"}, 3),
        ({"OMP_NUM_THREADS": " 5 "}, 5),
        ({"SLURM_CPUS_PER_TASK": "7"}, 7),
        ({"OMP_NUM_THREADS": "3", "SLURM_CPUS_PER_TASK": "7"}, 3),
        ({"OMP_NUM_THREADS": "", "SLURM_CPUS_PER_TASK": "7"}, 7),
        ({"OMP_NUM_THREADS": "0", "SLURM_CPUS_PER_TASK": "7"}, 7),
        ({"OMP_NUM_THREADS": "many", "SLURM_CPUS_PER_TASK": "7"}, 7),
    ],
)
def test_environment_grants_threads(monkeypatch, variables, expected):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert default_threads() == expected


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this system")
def test_without_environment_the_processors_of_the_process_count(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5, 9})
    assert default_threads() == 4


@pytest.mark.parametrize("n_threads", [0, -1])
def test_number_must_be_positive(n_threads):
    with pytest.raises(RequestError, match="at least 1"), limit_threads(n_threads):
        pytest.fail("must not get here")


def used() -> set[int]:
    return {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}


def test_libraries_are_held_to_the_number_and_released():
    np.linalg.qr(np.eye(3))
    before = used()
    with limit_threads(1) as n_threads:
        assert n_threads == 1
        assert used() == {1}
    assert used() == before


def test_default_is_what_the_environment_grants(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with limit_threads() as n_threads:
        assert n_threads == 1


COMPILED_LATER = """
from prcli.parallel.threads import limit_threads
with limit_threads(2):
    import numba
    print(numba.get_num_threads())
"""
COMPILED_BEFORE = """
import numba
from prcli.parallel.threads import limit_threads
for n_threads in (2, 5):
    with limit_threads(n_threads):
        print(numba.get_num_threads())
    print(numba.get_num_threads())
"""


@pytest.mark.parametrize(
    ("code", "expected"), [(COMPILED_LATER, ["2"]), (COMPILED_BEFORE, ["2", "3", "3", "3"])]
)
def test_compiled_loops_are_held_to_the_number_and_released(code, expected):
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMBA_NUM_THREADS": "3", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout.split() == expected
