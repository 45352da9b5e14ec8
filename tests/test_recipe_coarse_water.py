"""The recipe of coarse-grained water, reduced: runs that leave what their model knows."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import solve_triangular

import prcli

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "configs/recipes/coarse-water"

pytest.importorskip("featomic")

SIDE, WINDOW, MANY, N_STEPS = 9.4, 10, 45, 250
SOAP = """
featurizer = "soap"

[cutoff]
radius = 4.5
smoothing = { type = "ShiftedCosine", width = 0.5 }

[density]
type = "Gaussian"
width = 0.3

[basis]
type = "TensorProduct"
max_angular = 2
radial = { type = "Gto", max_radial = 6 }
"""


@pytest.fixture(scope="module")
def recipe():
    """The modules of the recipe."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(RECIPE), *sys.path])
        import beads
        import figure8
        import make_water

        yield figure8, beads, make_water
    for name in ("beads", "figure8", "make_water"):
        del sys.modules[name]


def pair_potential(positions):
    """A liquid of spheres that stick together a little, as simple as can be."""
    arms = positions[:, None] - positions
    arms -= SIDE * np.round(arms / SIDE)
    square = (arms**2).sum(axis=-1) + 1e9 * np.eye(len(positions))
    sixth = (2.75**2 / square) ** 3
    energies, slopes = 4 * 0.01 * (sixth**2 - sixth), 24 * 0.01 * (2 * sixth**2 - sixth) / square
    return 0.5 * float(energies.sum()), np.einsum("ij,ijk->ik", slopes, arms)


@pytest.fixture(scope="module")
def folder(recipe, tmp_path_factory):
    """Frames of beads with noisy forces, their features, and a small featurizer."""
    figure8, beads, make_water = recipe
    path = tmp_path_factory.mktemp("water")
    (path / "soap.toml").write_text(SOAP)
    rng = np.random.default_rng(0)
    lattice = np.stack(np.meshgrid(*[np.arange(3)] * 3), axis=-1).reshape(-1, 3) * SIDE / 3
    run = beads.langevin(pair_potential, lattice.astype(float), SIDE, 0)
    texts = []
    for frame in islice(run, 1000, 7000, 100):
        forces = pair_potential(frame.positions)[1]
        # What the classical atoms in the beads do.
        forces += rng.normal(scale=0.1, size=forces.shape)
        texts.append(make_water.frame_text(frame.positions, forces, SIDE))
    (path / "train.xyz").write_text("".join(texts[:MANY]))
    (path / "test.xyz").write_text("".join(texts[MANY:]))
    figure8.describe(path, path / "soap.toml")
    return path


@pytest.fixture(scope="module")
def runs(recipe, folder):
    """Runs of a model of one frame and of one of many, with what prcli says of them."""
    figure8, _, _ = recipe
    soap, done = folder / "soap.toml", {}
    for size in (1, MANY):
        run = figure8.Run(size, 0, folder)
        figure8.build_model(run)
        frames = figure8.run_model(run, N_STEPS, WINDOW, soap)
        done[size] = run, frames, figure8.watch(run, WINDOW, soap)
    return done


def test_run_inside_what_its_model_knows_stays_rigid(recipe, runs):
    figure8, _, _ = recipe
    _, frames, watched = runs[MANY]
    assert figure8.blow_up(frames) is None
    assert len(frames) == len(watched.relative) == N_STEPS
    assert watched.exit_code == 0
    assert watched.relative.mean() > 0.75


def test_model_of_one_frame_is_found_out_before_its_run_blows_up(recipe, runs):
    figure8, _, _ = recipe
    _, frames, watched = runs[1]
    assert watched.exit_code == 3
    assert watched.first_below < figure8.blow_up(frames)


def test_following_ends_with_the_same_frame(recipe, folder, runs):
    """As a script would that stops a run."""
    _, beads, _ = recipe
    run, _, watched = runs[1]
    line = [sys.executable, "-m", "prcli", "score", run.hessian, run.trajectory, "-q", "--follow"]
    line += ["--featurizer", folder / "soap.toml", "--relative-to", folder / "test.h5"]
    line += ["--window", str(WINDOW), "--threshold", "0.5", "--interval", "0.1"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert f"frame {watched.first_below})" in done.stderr


def test_beads_that_come_too_near_are_the_least_rigid(recipe, folder, runs):
    figure8, _, _ = recipe
    run, frames, watched = runs[1]
    lpr = figure8.rigidity_of_beads(run, folder / "soap.toml")
    assert lpr[0].mean() == pytest.approx(1.0)
    at = {"begin": 0, "alarm": watched.first_below, "blow-up": figure8.blow_up(frames)}
    rows = figure8.rows_of_beads(lpr, frames, SIDE, at)
    assert [row[:2] for row in rows] == [list(each) for each in at.items()]
    pair = figure8.nearest(frames[at["blow-up"]].positions, SIDE)
    assert lpr[at["blow-up"], list(pair)].max() < np.median(lpr[at["blow-up"]])
    text = (folder / "lpr-1-0.xyz").read_text()
    assert "prcli_relative_lpr:R:1" in text
    figure8.plot_beads(lpr, frames, SIDE, at, folder / "figure9.png")
    shown = {size: (frames, watched) for size, (_, frames, watched) in runs.items()}
    figure8.plot_runs(shown, [frames[0].positions], SIDE, folder / "figure8.png")
    for name in ("figure8.png", "figure9.png"):
        assert (folder / name).stat().st_size > 10_000


def test_energy_rows_do_no_more_than_fix_the_zero(recipe, folder, runs):
    """The zero is open without them, and a single heavy row, their mean, fixes it as well."""
    run = runs[MANY][0]
    record = prcli.read_hessian(run.hessian)
    with (
        prcli.open_store(folder / "test.h5") as test,
        prcli.open_store(folder / "train.h5") as train,
    ):
        rows = test.structures.read(0, test.n_structures) / record.scale
        mean = train.structures.read(0, train.n_structures).mean(axis=0) / record.scale
    forces = record.R["force"] / record.scale
    prior = np.sqrt(record.regularizer) * np.eye(record.n_features)

    def spread_and_mean(*blocks):
        factor = np.linalg.qr(np.vstack([forces, prior, *blocks]))[1]
        rigidity = 1.0 / (solve_triangular(factor, rows.T, trans=1) ** 2).sum(axis=0)
        return rigidity.std() / rigidity.mean(), rigidity.mean()

    found = prcli.score(run.hessian, folder / "test.h5").rigidity
    assert spread_and_mean()[0] < 0.01 < found.std() / found.mean()
    assert found.mean() == pytest.approx(spread_and_mean(1e5 * mean[None])[1], rel=0.5)


def test_weights_are_those_of_least_squares(recipe):
    _, beads, _ = recipe
    from types import SimpleNamespace

    rng = np.random.default_rng(0)
    record = SimpleNamespace(n_features=5, scale=2.0, regularizer=0.1)
    blocks = [(rng.normal(size=(7, 5)), rng.normal(size=7)) for _ in range(3)]
    rows, values = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    stacked = np.vstack([rows / 2.0, np.sqrt(0.1) * np.eye(5)])
    expected = np.linalg.lstsq(stacked, np.append(values, np.zeros(5)), rcond=None)[0] / 2.0
    np.testing.assert_allclose(beads.fit(record, blocks), expected, rtol=1e-10)


def test_beads_are_centres_of_mass_of_molecules_that_lie_across_the_border(recipe):
    _, _, make_water = recipe
    rng = np.random.default_rng(2)
    side, positions = make_water.water_box(8, rng)
    positions += 0.3 * side
    forces = rng.normal(size=positions.shape)
    atoms = positions.reshape(-1, 3, 3)
    masses = make_water.MASSES
    expected = sum(m * atoms[:, i] for i, m in enumerate(masses)) / masses.sum()
    found, total = make_water.coarse_grain(positions % side, forces, side)
    arms = found - expected
    np.testing.assert_allclose(arms - side * np.round(arms / side), 0.0, atol=1e-12)
    np.testing.assert_allclose(total[3], forces[9:12].sum(axis=0))
    arms = np.linalg.norm(atoms[:, 1:] - atoms[:, :1], axis=-1)
    np.testing.assert_allclose(arms, make_water.BOND)


def test_bath_keeps_the_temperature(recipe):
    _, beads, _ = recipe
    frames = beads.langevin(lambda x: (0.0, -0.5 * x), np.zeros((60, 3)), 50.0, 0)
    found = [frame.temperature for frame in islice(frames, 3000)]
    assert np.mean(found[500:]) == pytest.approx(beads.TEMPERATURE, rel=0.1)
