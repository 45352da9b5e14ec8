"""Candidates that ranks divide: together they are those of the pool."""

from __future__ import annotations

import numpy as np
import pytest
from builders import counts_of, features_of, gradients_of
from thread_ranks import run_ranks

from prcli.data.dataset import Dataset, Part
from prcli.data.shards import share_of_rank
from prcli.numerics.baselines import FixedOrder
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.ranked_candidates import RankedCandidates, ToldOrder
from prcli.workflows.select import select
from prcli.workflows.select_options import SelectOptions

N = 7


def data_of(n, seed, forces=()):
    gradients = {}
    if forces:
        gradients = gradients_of(counts_of(n, seed), seed=seed, forces=list(forces), stresses=[])
    features = features_of(n, seed=seed, **gradients)
    return Dataset([Part(features, range(n))], "pool")


class ByPosition:
    """Weights that tell which structure of the whole pool they are for."""

    def energies(self):
        return 1.0 + np.arange(N)

    def of_gradients(self, block):
        return 10.0 + block.structure


@pytest.fixture
def record():
    return sum_hessian([data_of(9, 4, forces=[0, 1, 2])], [], HessianOptions(force_weight=0.5))


def blocks_of(source):
    """Rows of each candidate."""
    found = []
    for first, heights, rows in source.blocks():
        assert first == len(found)
        found += np.split(rows, np.cumsum(heights)[:-1]) if len(heights) else []
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 5, 9])
def test_shares_together_are_the_pool(record, size):
    # Only structures that later ranks get have forces.
    pool = data_of(N, 3, forces=[5, 6])
    whole = blocks_of(RankedCandidates(pool, record, ByPosition()))

    def own(communicator):
        candidates = RankedCandidates(pool, record, ByPosition(), communicator)
        assert not candidates.are_single
        taken = [candidates.take(i) for i in range(N)]
        share = candidates.share
        assert share.part == slice(share.first, share.first + candidates.own_blocks.n_blocks)
        assert share.n_all == candidates.n_blocks == N
        return blocks_of(candidates.own_blocks), taken

    results = run_ranks(size, own)
    together = [rows for rows_of_rank, _ in results for rows in rows_of_rank]
    assert len(together) == N
    for found, wanted in zip(together, whole, strict=True):
        np.testing.assert_array_equal(found, wanted)
    for _, taken in results:
        for found, wanted in zip(taken, whole, strict=True):
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("forces", [(), (2, 6)])
def test_each_rank_screens_its_own_candidates_only(record, monkeypatch, forces):
    import prcli.workflows.selection_loop as loop

    pool, target = data_of(N, 3, forces), data_of(2, 5)
    seen = []
    for name in ("GreedyPicker", "BlockPicker"):
        kind = getattr(loop, name)

        def spy(source, *arguments, kind=kind, **options):
            seen.append(source.n_blocks if forces else source.n_rows)
            return kind(source, *arguments, **options)

        monkeypatch.setattr(loop, name, spy)
    options = SelectOptions(4)
    wanted = select(record, pool, target, options)
    assert seen == [N]
    seen.clear()
    found = run_ranks(3, lambda comm: select(record, pool, target, options, communicator=comm))
    assert sorted(seen) == [2, 2, 3]
    for each in found:
        np.testing.assert_array_equal(each.indices, wanted.indices)
        assert each.n_exact == found[0].n_exact


def test_a_share_of_fewer_structures_than_ranks():
    pool = data_of(2, 1)

    def own(communicator):
        share, first = share_of_rank(pool, communicator)
        return (None if share is None else share.n_structures), first

    assert run_ranks(4, own) == [(1, 0), (1, 1), (None, 2), (None, 2)]


def test_the_order_of_rank_0_is_that_of_all():
    closed = np.zeros(4, dtype=bool)

    def first(communicator):
        # Another rank would have another one.
        order = FixedOrder(np.array([2, 1, 0])) if communicator.rank == 0 else None
        told = ToldOrder(order, communicator)
        found = [told.first(closed)]
        told.accept(found[0])
        return [*found, told.first(np.arange(4) == 2)]

    assert run_ranks(3, first) == [[2, 1]] * 3
