"""The recipe of small structures, reduced: the order that Chong2025 found in figure 5."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import prcli

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "configs/recipes/embed"

pytest.importorskip("featomic")


@pytest.fixture
def figure5(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(RECIPE), *sys.path])
    import figure5

    yield figure5
    del sys.modules["figure5"]


@pytest.fixture
def large(tmp_path):
    """A cell of the pool, eight times, with thermal displacements: no liquid, but disordered."""
    from ase.io import read, write

    atoms = read(ROOT / "sample_data/pool.xyz", 20).repeat(2)
    rng = np.random.default_rng(1)
    atoms.positions += rng.normal(scale=0.1, size=atoms.positions.shape)
    write(tmp_path / "large.xyz", atoms, format="extxyz")
    return tmp_path / "large.xyz"


def soap(max_radial, max_angular):
    """The settings of the recipe, with fewer features."""
    import tomllib

    hypers = tomllib.loads((RECIPE / "soap.toml").read_text())
    del hypers["featurizer"]
    hypers["basis"] = {
        "type": "TensorProduct",
        "max_angular": max_angular,
        "radial": {"type": "Gto", "max_radial": max_radial},
    }
    return hypers


def test_embedded_structures_teach_most_and_periodic_ones_more_and_more(figure5, large, tmp_path):
    hypers = soap(6, 4)
    train = [ROOT / f"sample_data/{name}.xyz" for name in ("train", "pool", "target")]
    inputs = prcli.InputOptions(featurizer={"featurizer": "soap", **hypers})
    record = prcli.hessian(train, inputs=inputs, regularizer="auto")
    wanted = {"crystal": "C:diamond:3.567", "n_draws": 5, "lowest": 6}
    curves = figure5.growth(large, record, hypers, **wanted)
    one, five = ({name: c[:, n].mean() for name, c in curves.items()} for n in (0, 4))
    assert max(one["whole"], one["carve"]) < min(one["periodic"], one["high-symmetry"])
    # The same structure again teaches next to nothing.
    assert five["whole"] < 1.1 * one["whole"]
    assert five["carve"] < 1.1 * one["carve"]
    assert five["periodic"] / one["periodic"] > five["high-symmetry"] / one["high-symmetry"] > 1.1
    lines = figure5.table(curves).splitlines()
    assert lines[0] == "added\t1\t2\t5"
    assert [line.split("\t")[0] for line in lines[1:]] == list(figure5.STRATEGIES)
    figure5.plot(curves, tmp_path / "figure5.png")
    assert (tmp_path / "figure5.png").stat().st_size > 10_000
    # For one structure at a time, the mean over all draws is what `prcli embed` gives.
    embedding = prcli.embed(large, hessian=record, inputs=inputs, **wanted)
    for name in ("carve", "periodic", "high-symmetry"):
        gains = [
            np.mean([s.gain for s in embedding.small if (s.name, s.centre) == (name, centre)])
            for centre in embedding.centres
        ]
        np.testing.assert_allclose(curves[name][:, 0], gains, rtol=1e-6)
    assert one["whole"] == pytest.approx(embedding.whole_gain, rel=1e-6)


def test_lprs_are_those_of_hessians_with_the_structures(figure5):
    """All at once, by an inverse."""
    rng = np.random.default_rng(0)
    rows, atom = rng.normal(size=(30, 6)), rng.normal(size=6)
    record = prcli.hessian(rows, regularizer=1e-2)
    first, added = [rng.normal(size=6)], list(rng.normal(size=(3, 6)))
    found = figure5.lprs_with(record, atom, first, added)
    for n_added, lpr in enumerate(found, start=1):
        scaled = np.vstack([rows, *first, *added[:n_added]]) / record.scale
        inverse = np.linalg.inv(scaled.T @ scaled + 1e-2 * np.eye(6))
        own = atom / record.scale
        assert lpr == pytest.approx(1.0 / (own @ inverse @ own), rel=1e-9)


def test_orders_begin_with_different_structures(figure5):
    rows = list(np.eye(4))
    assert [order[0].argmax() for order in figure5.orders(rows, 2)] == [0, 2]
    assert len(figure5.orders(rows, 9)) == 4
    assert all(sorted(row.argmax() for row in order) == [0, 1, 2, 3]
               for order in figure5.orders(rows, 4))  # fmt: skip
    assert len(figure5.orders([rows[0]] * 4, 3)) == 1


def test_settings_of_the_recipe_are_those_that_it_speaks_of():
    from prcli.features.featurizer import FeaturizerOptions, make_featurizer
    from prcli.workflows.compute_setup import read_settings

    name, hypers = read_settings(RECIPE / "soap.toml")
    assert make_featurizer(name, FeaturizerOptions((6,), hypers=hypers)).n_features == 567


def test_liquids_differ_and_have_the_density_that_was_drawn(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(RECIPE), *sys.path])
    import make_liquid

    melts = [make_liquid.small_melt(number) for number in range(20)]
    assert len({(melt.density, melt.temperature) for melt in melts}) == 20
    rng = np.random.default_rng(3)
    positions = make_liquid.random_packing(20, 6.0, rng)
    frame = make_liquid.frame_text(positions, 6.0, melts[0])
    assert frame.splitlines()[0] == "20"
    delta = positions[:, None] - positions
    delta -= 6.0 * np.round(delta / 6.0)
    distances = np.linalg.norm(delta, axis=-1)[np.triu_indices(20, 1)]
    assert distances.min() > make_liquid.START_DISTANCE
    del sys.modules["make_liquid"]
