"""The recipe of range separation, reduced: what Chong2025 found in figure 7."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "configs/recipes/water-dimers"
SIZES = (5, 40)
FEW_TESTED = {"train": 40, "test": 12, "monomers": 22}

pytest.importorskip("featomic")


@pytest.fixture(scope="module")
def recipe():
    """Both scripts, as modules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(RECIPE), *sys.path])
        import figure7
        import make_water

        yield figure7, make_water
    del sys.modules["figure7"], sys.modules["make_water"]


@pytest.fixture(scope="module")
def results(recipe, tmp_path_factory):
    """What both models come to with 5 and 40 dimers, without and with monomers."""
    pytest.importorskip("tblite")
    figure7, make_water = recipe
    folder = tmp_path_factory.mktemp("water")
    for one in make_water.SETS:
        make_water.make_set(folder, 0, one, FEW_TESTED[one.name])
    return {
        model: figure7.outcomes(figure7.make_stores(folder, model, figure7.settings(model)), SIZES)
        for model in figure7.MODELS
    }


def test_blocks_that_count_atoms_twice_have_low_rigidities_close_together(results):
    for each in results["whole"].values():
        assert each.cpr.max() < 1e-7
        assert each.cpr.max() < 1.2 * each.cpr.min()


def test_range_separation_makes_them_differ_and_rise_with_data(results):
    whole, separated = results["whole"], results["separated"]
    few, many = separated[5, 0].cpr, separated[40, 0].cpr
    short, long = few
    assert long > 5.0 * short
    assert (many > 50.0 * few).all()
    assert (few > 20.0 * whole[5, 0].cpr).all()
    assert (many > 1e4 * whole[40, 0].cpr).all()


def test_monomers_isolate_the_short_range_block_only_where_ranges_are_separated(results):
    whole, separated = results["whole"], results["separated"]
    assert separated[5, 10].cpr[0] > 100.0 * separated[5, 0].cpr[0]
    assert whole[5, 10].cpr[0] < 5.0 * whole[5, 0].cpr[0]


def test_short_range_block_alone_predicts_monomers_only_where_ranges_are_separated(results):
    whole, separated = results["whole"][40, 0], results["separated"][40, 0]
    assert separated.short_rmse == pytest.approx(separated.rmse, rel=0.01)
    assert separated.short_rmse < 30.0
    assert whole.short_rmse > 5.0 * separated.short_rmse


def test_table_and_figure_show_all_of_it(recipe, results, tmp_path):
    pytest.importorskip("matplotlib")
    figure7, _ = recipe
    lines = [line.split("\t") for line in figure7.table(results).splitlines()]
    assert lines[0][:5] == ["model", "dimers", "monomers", "cpr_short", "cpr_long"]
    assert [line[:3] for line in lines[1:5]] == [
        ["whole", "5", "0"],
        ["whole", "40", "0"],
        ["whole", "5", "10"],
        ["whole", "40", "10"],
    ]
    assert len(lines) == 9
    figure7.plot(results, tmp_path / "figure7.png")
    assert (tmp_path / "figure7.png").stat().st_size > 10_000


def test_means_over_draws_are_geometric(recipe):
    figure7, _ = recipe
    one = figure7.Outcome(np.array([1.0, 4.0]), 1.0, 2.0, 3.0)
    other = figure7.Outcome(np.array([100.0, 9.0]), 4.0, 8.0, 27.0)
    mean = figure7.mean_over_draws([{(5, 0): one}, {(5, 0): other}])[5, 0]
    np.testing.assert_allclose(mean.cpr, [10.0, 6.0])
    assert (mean.rmse, mean.short_rmse, mean.dimer_rmse) == pytest.approx((2.0, 4.0, 9.0))


def test_fit_is_the_minimum_for_the_same_prior(recipe):
    figure7, _ = recipe
    rng = np.random.default_rng(0)
    rows, energies = rng.normal(size=(8, 5)), rng.normal(size=8)
    weights = figure7.fit([(rows[:3], energies[:3]), (rows[3:], energies[3:])], 0.1)
    expected = np.linalg.solve(rows.T @ rows + 0.1 * np.eye(5), rows.T @ energies)
    np.testing.assert_allclose(weights, expected, rtol=1e-10)
    errors = rows @ expected - energies
    assert figure7.rmse(weights, rows, energies) == pytest.approx(1e3 * np.sqrt(np.mean(errors**2)))


def test_no_atom_of_a_dimer_sees_the_other_molecule(recipe):
    figure7, make_water = recipe
    hypers = [figure7.settings(model) for model in figure7.MODELS]
    assert {each["short"]["cutoff"]["radius"] for each in hypers} == {2.8}
    assert hypers[1]["long"].pop("cutoff") == hypers[1]["short"]["cutoff"]
    assert hypers[0] == hypers[1]
    separations = []
    for seed in range(200):
        first, second = np.split(make_water.molecules(2, np.random.default_rng(seed)), 2)
        gaps = np.linalg.norm(first[:, None] - second, axis=-1)
        assert gaps.min() > make_water.CLOSEST > 2.8
        separations.append(gaps[0, 0])
    assert min(separations) < 4.0
    assert 9.5 < max(separations) < 10.0


def test_molecules_are_turned_not_mirrored_nor_sheared(recipe):
    _, make_water = recipe
    for seed in range(5):
        rotation = make_water.random_rotation(np.random.default_rng(seed))
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-14)
        assert np.linalg.det(rotation) == pytest.approx(1.0)
    oxygen, one, other = make_water.water((0.9, 1.1), 100.0)
    assert np.linalg.norm(one - oxygen) == pytest.approx(0.9)
    assert np.linalg.norm(other - oxygen) == pytest.approx(1.1)
    assert one @ other / 0.99 == pytest.approx(np.cos(np.radians(100.0)))


def test_frames_hold_energies_and_their_box(recipe, tmp_path):
    from ase.io import read

    _, make_water = recipe
    positions = make_water.water((0.96, 0.96), 104.5) + 15.0
    (tmp_path / "one.xyz").write_text(make_water.frame_text(positions, -137.9, 0.25))
    atoms = read(tmp_path / "one.xyz")
    assert atoms.get_chemical_symbols() == ["O", "H", "H"]
    assert atoms.pbc.all()
    np.testing.assert_allclose(atoms.cell.lengths(), make_water.BOX)
    np.testing.assert_allclose(atoms.positions, positions, atol=1e-6)
    assert atoms.info["relative_energy"] == 0.25
    assert atoms.get_potential_energy() == -137.9
