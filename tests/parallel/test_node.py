from __future__ import annotations

import os

import pytest
from thread_ranks import run_ranks

from prcli.parallel.node import divided, node_share
from prcli.parallel.threads import default_threads
from prcli.records import ALONE

FOUR = (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("mine", "neighbours", "n_processors"),
    [
        (FOUR, [FOUR], 4),
        (FOUR, [FOUR, FOUR], 2),
        (FOUR, [FOUR] * 3, 1),
        (FOUR, [FOUR] * 9, 1),
        # Bound to processors of their own.
        ((2, 3), [(0, 1), (2, 3)], 2),
        # Some bound, one not.
        (FOUR, [FOUR, (0, 1)], 3),
        ((0, 1, 2), [(0, 1, 2)] * 3, 1),
    ],
)
def test_ranks_divide_the_processors_that_they_share(mine, neighbours, n_processors):
    assert divided(mine, neighbours) == n_processors


def test_ranks_of_one_machine_know_of_each_other():
    shares = run_ranks(3, node_share)
    assert {share.n_ranks for share in shares} == {3}
    n_all = len(os.sched_getaffinity(0))
    assert {share.n_processors for share in shares} == {max(1, n_all // 3)}
    assert node_share(ALONE).n_processors == n_all


def test_what_the_environment_grants_goes_before_the_share(monkeypatch):
    for name in ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"):
        monkeypatch.delenv(name, raising=False)
    assert default_threads(3) == 3
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "5")
    assert default_threads(3) == 5
