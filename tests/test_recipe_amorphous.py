"""The recipe of amorphous silicon and carbon, reduced: what Chong2023 found, on cells made here."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "configs/recipes/amorphous"


@pytest.fixture(scope="module")
def recipe():
    yield from imported("amorphous")


@pytest.fixture(scope="module")
def make_silicon():
    yield from imported("make_silicon")


def imported(name):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(RECIPE), *sys.path])
        yield importlib.import_module(name)
    del sys.modules[name]


def silicon_cell(rng, with_defects):
    """Diamond structure with strain and displacements; with a vacancy and an interstitial."""
    from ase.build import bulk

    atoms = bulk("Si", "diamond", a=5.43, cubic=True)
    interstitial = atoms.positions[0] + 0.5 * 5.43
    atoms = atoms.repeat(2)
    if with_defects:
        atoms.append("Si")
        atoms.positions[-1] = interstitial
        far = np.flatnonzero(atoms.get_distances(-1, range(64), mic=True) > 5.5)
        del atoms[int(rng.choice(far))]
    atoms.set_cell(atoms.cell * (1.0 + rng.uniform(-0.02, 0.02)), scale_atoms=True)
    atoms.positions += rng.normal(scale=0.08, size=atoms.positions.shape)
    return atoms


@pytest.fixture(scope="module")
def silicon_folder(tmp_path_factory):
    from ase.io import write

    folder, rng = tmp_path_factory.mktemp("silicon"), np.random.default_rng(0)
    for name, n_cells in (("fourfold", 40), ("defects", 20)):
        cells = [silicon_cell(rng, name == "defects") for _ in range(n_cells)]
        write(folder / f"{name}.xyz", cells, format="extxyz")
    return folder


@pytest.fixture(scope="module")
def of_silicon(recipe, silicon_folder):
    pytest.importorskip("featomic")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("N_TRAIN", 30), ("N_ADDED", 10), ("N_TEST", 10)):
            patch.setattr(recipe, name, value)
        return recipe.silicon(silicon_folder)


@pytest.fixture(scope="module")
def of_carbon(recipe, tmp_path_factory):
    """The cells of one part of the sample data; the recipe scores them all."""
    pytest.importorskip("featomic")
    return recipe.carbon(tmp_path_factory.mktemp("carbon"), folds=[0])


def test_cells_with_defects_raise_the_lpr_of_atoms_with_too_few_or_many_neighbours(
    recipe, of_silicon
):
    groups = recipe.groups_of_coordinations(of_silicon, recipe.COORDINATIONS)
    three, four, five = groups.values()
    before = of_silicon.before
    assert max(map(recipe.mean_log, (before[three], before[five]))) < recipe.mean_log(before[four])
    few, usual, many = (of_silicon.factor("defects", chosen) for chosen in groups.values())
    assert min(few, many) > 1.3 * usual
    # More cells without defects do not help these atoms.
    assert few > 1.5 * of_silicon.factor("fourfold", three)
    assert many > 1.5 * of_silicon.factor("fourfold", five)


def test_diamond_raises_the_lpr_of_dense_carbon_and_graphite_that_of_light_carbon(
    recipe, of_carbon
):
    light, *_, dense = recipe.groups_of_densities(of_carbon).values()
    fourfold = of_carbon.coordination == 4
    of_light, of_dense, of_fourfold = (
        {name: of_carbon.factor(name, chosen) - 1.0 for name in of_carbon.after}
        for chosen in (light, dense, fourfold)
    )
    assert of_dense["diamond"] > 1.2 * of_dense["graphite"]
    assert of_light["graphite"] > 1.2 * of_light["diamond"]
    assert of_light["graphite"] > 1.2 * of_dense["graphite"]
    assert of_fourfold["diamond"] > 1.2 * of_fourfold["graphite"]


def test_added_structures_never_lower_a_rigidity(of_silicon, of_carbon):
    for outcome in (of_silicon, of_carbon):
        for after in outcome.after.values():
            assert np.all(after >= (1.0 - 1e-9) * outcome.before)


def test_tables_and_picture_show_every_group(recipe, of_silicon, of_carbon, tmp_path):
    pytest.importorskip("matplotlib")
    groups = recipe.groups_of_densities(of_carbon)
    lines = recipe.table(of_carbon, groups).splitlines()
    assert lines[0].split("\t") == ["", "atoms", "LPR before", "+ diamond", "+ graphite"]
    assert [line.split("\t")[0] for line in lines[1:]] == list(groups)
    assert sum(int(line.split("\t")[1]) for line in lines[1:]) == len(of_carbon.before)
    recipe.plot(of_silicon, of_carbon, tmp_path / "amorphous.png")
    assert (tmp_path / "amorphous.png").stat().st_size > 10_000


def test_melts_are_divided_by_defects(make_silicon, silicon_folder, monkeypatch):
    from ase.io import read
    from ase.neighborlist import neighbor_list

    frames = []
    for name in ("fourfold", "defects"):
        atoms = read(silicon_folder / f"{name}.xyz", 0)
        frame = make_silicon.Frame(atoms.positions, float(atoms.cell[0, 0]))
        counted = np.bincount(neighbor_list("i", atoms, make_silicon.BOND), minlength=len(atoms))
        assert np.array_equal(frame.coordination(), counted)
        assert frame.n_defects == np.count_nonzero(counted != 4)
        frames.append(frame)
    strict, defective = frames
    assert strict.n_defects == 0 < defective.n_defects
    fourfold, defects = make_silicon.sort_out([[defective] * 5, [defective, strict, strict]])
    assert fourfold == [strict.text(1)] * 2
    assert defects == [defective.text(0)]
    assert make_silicon.is_hopeless([defective] * make_silicon.N_TRIALS)
    assert not make_silicon.is_hopeless([defective] * (make_silicon.N_TRIALS - 1))
    assert not make_silicon.is_hopeless([strict] + [defective] * make_silicon.N_TRIALS)
