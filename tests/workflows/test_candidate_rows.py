from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builders import counts_of, features_of, gradients_of

from prcli.data.dataset import Dataset, Part
from prcli.errors import RequestError
from prcli.workflows import rows as rows_module
from prcli.workflows.candidate_rows import CandidateRows, gradient_kinds
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions

N = 7
COUNTS = counts_of(N, 3)
#: Structures 1, 2, 5 have forces, 2 and 4 stresses; the others energies only.
GRADIENTS = gradients_of(COUNTS, forces=(1, 2, 5), stresses=(2, 4))
POOL = features_of(N, seed=3, **GRADIENTS)
TRAIN = features_of(9, seed=1, **gradients_of(counts_of(9, 1)))


def record(**options):
    data = Dataset([Part(TRAIN, range(9))], "train")
    return sum_hessian([data], [], HessianOptions(regularizer=0.01, **options))


def pool(*ranges):
    return Dataset([Part(POOL, each) for each in ranges or (range(N),)], "pool")


def expected(index, energy=1.0, force=1.0, stress=1.0):
    """Rows of a structure of the pool, built by hand."""
    atoms = POOL.atoms.read(0, int(COUNTS.sum()))
    offsets = np.concatenate([[0], np.cumsum(COUNTS)])
    rows = [np.sqrt(energy) * atoms[offsets[index] : offsets[index + 1]].mean(axis=0)[np.newaxis]]
    if energy == 0.0:
        rows = [np.empty((0, 3))]
    here = GRADIENTS["gradient_structure"] == index
    for code, weight in ((1, force), (2, stress)):
        if weight > 0.0:
            chosen = here & (GRADIENTS["gradient_kind"] == code)
            rows.append(np.sqrt(weight) * GRADIENTS["gradients"][chosen])
    return np.concatenate(rows)


def all_blocks(source):
    """Rows of every candidate, as `blocks` gives them."""
    found = {}
    for first, heights, rows in source.blocks():
        stops = np.cumsum(heights)
        assert stops[-1] == len(rows)
        for i, (height, stop) in enumerate(zip(heights, stops, strict=True)):
            found[first + i] = rows[stop - height : stop]
    return [found[i] for i in range(source.n_blocks)]


@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
@pytest.mark.parametrize(
    "weights",
    [
        {},
        {"energy": 4.0, "force": 9.0, "stress": 0.25},
        {"force": 0.0},
        {"stress": 0.0},
        {"energy": 0.0},
        {"force": 0.0, "stress": 0.0},
    ],
)
def test_rows_are_energy_forces_stress_with_their_weights(weights, block_bytes, monkeypatch):
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", block_bytes)
    options = {f"{kind}_weight": weight for kind, weight in weights.items()}
    source = CandidateRows(pool(), record(**options))
    wanted = [expected(i, **weights) for i in range(N)]
    assert source.heights.tolist() == [len(rows) for rows in wanted]
    for i, rows in enumerate(all_blocks(source)):
        np.testing.assert_allclose(rows, wanted[i], rtol=1e-14)
        np.testing.assert_allclose(source.take(i), wanted[i], rtol=1e-14)


def test_slices_of_several_parts_keep_their_rows():
    source = CandidateRows(pool(range(5, -1, -2), range(2, 6)), record())
    wanted = [expected(i) for i in (5, 3, 1, 2, 3, 4, 5)]
    for i, rows in enumerate(all_blocks(source)):
        np.testing.assert_allclose(rows, wanted[i], rtol=1e-14)
        np.testing.assert_allclose(source.take(i), wanted[i], rtol=1e-14)


def test_mean_reduction_weighs_by_the_numbers_of_training_rows():
    whole = record(reduction="mean", force_weight=3.0)
    n_rows = whole.n_rows
    weights = {
        "force": 3.0 * n_rows["energy"] / n_rows["force"],
        "stress": n_rows["energy"] / n_rows["stress"],
    }
    rows = CandidateRows(pool(), whole).take(2)
    np.testing.assert_allclose(rows, expected(2, **weights), rtol=1e-14)


class StructureWeights:
    """Twice the position for energies, thrice for gradients."""

    def energies(self):
        return 2.0 * np.arange(N)

    def of_gradients(self, block):
        return 3.0 * block.structure


def test_weights_of_structures_multiply_their_rows():
    source = CandidateRows(pool(), record(), StructureWeights())
    for i, rows in enumerate(all_blocks(source)):
        wanted = expected(i)
        wanted[0] *= np.sqrt(2.0 * i)
        wanted[1:] *= np.sqrt(3.0 * i)
        np.testing.assert_allclose(rows, wanted, rtol=1e-14)
        np.testing.assert_allclose(source.take(i), wanted, rtol=1e-14)


def test_gradients_without_weight_are_no_kind_of_the_pool():
    assert gradient_kinds(record(), pool()) == ("force", "stress")
    assert gradient_kinds(record(force_weight=0.0), pool()) == ("stress",)
    assert gradient_kinds(record(), pool(range(3, 4))) == ()


def test_candidates_without_any_weight_are_refused():
    energyless = replace(record(), energy_weight=0.0)
    with pytest.raises(RequestError, match="add nothing"):
        CandidateRows(pool(range(3, 4)), energyless)
