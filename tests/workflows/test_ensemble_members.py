from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import counts_of, features_of, gradients_of, source_of
from scipy.stats import chi2
from validation_set import ValidationSet

from prcli.data.dataset import Dataset, Part
from prcli.data.features import Features
from prcli.data.hessian_record import HessianRecord
from prcli.errors import FeatureError, MismatchError, PrcliError, RequestError
from prcli.workflows import ensemble as module
from prcli.workflows import rows
from prcli.workflows.ensemble import Sampler, energies, ensemble
from prcli.workflows.ensemble_options import EnsembleOptions, PredictedKeys, read_weights_file
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.model import full_factor, row_form
from prcli.workflows.rows import EnergyRows
from prcli.workflows.score import score

D = 4
ALPHAS = {"alpha_energy": 0.2, "alpha_force": 0.3, "alpha_stress": 0.05}
RARE = 1e-6


def hessian(**options: object) -> HessianRecord:
    table = features_of(15, D, seed=1, **gradients_of(counts_of(15, 1), D, 1))
    data = Dataset([Part(table, range(15))], "train")
    record = sum_hessian([data], [], HessianOptions(**options))  # type: ignore[arg-type]
    return replace(record, **ALPHAS)


def whole(table: Features) -> Dataset:
    return Dataset([Part(table, range(table.n_structures))], "predicted")


def target(seed: int = 2, n_structures: int = 6, **parts: object) -> Features:
    gradients = gradients_of(counts_of(n_structures, seed), D, seed)
    return features_of(n_structures, D, seed, **(gradients | parts))


def total_rows(data: Dataset, record: HessianRecord) -> np.ndarray:
    return EnergyRows(data, replace(row_form(record), energy="total")).read_all()


def posterior(record: HessianRecord, g: np.ndarray, alpha: float) -> np.ndarray:
    """α² G H⁻¹ Gᵀ from a factor that is inverted."""
    inverse = np.linalg.inv(full_factor(record))
    whitened = g @ inverse
    return alpha**2 * whitened @ whitened.T


ALONE = EnsembleOptions(deviations=True, n_members=5)


@pytest.mark.parametrize("energy", ["per-atom", "total"])
@pytest.mark.parametrize("intercept", ["none", "atom", "species"])
def test_sigma_is_that_of_total_energies(energy, intercept):
    record = hessian(energy=energy, intercept=intercept)
    data = whole(target())
    found = ensemble(record, data, ALONE)
    expected = score(record, data).sigma * (data.n_atoms if energy == "per-atom" else 1)
    np.testing.assert_allclose(found.sigma, expected, rtol=1e-12)
    variances = np.diag(posterior(record, total_rows(data, record), 0.2))
    np.testing.assert_allclose(found.sigma**2, variances, rtol=1e-9)


@pytest.mark.parametrize("per", ["atom", "force", "stress"])
def test_sigma_of_other_rows_is_that_of_scores(per):
    record, data = hessian(), whole(target())
    found = ensemble(record, data, replace(ALONE, per=per))
    np.testing.assert_allclose(found.sigma, score(record, data, per).sigma, rtol=1e-12)
    assert found.predicted is None
    assert found.members.shape == (len(found.sigma), 5)


def test_covariances_agree_with_the_posterior():
    record, data = hessian(intercept="species"), whole(target(n_structures=3))
    found = ensemble(record, data, replace(ALONE, n_members=4000, seed=8))
    expected = posterior(record, total_rows(data, record), 0.2)
    whitened = np.linalg.solve(np.linalg.cholesky(expected), found.deviations)
    products = whitened @ whitened.T
    assert chi2.ppf(RARE, 12_000) < np.trace(products) < chi2.isf(RARE, 12_000)
    assert np.abs(products[~np.eye(3, dtype=bool)]).max() < 6.0 * np.sqrt(4000)


def test_energies_of_a_structure_and_its_atoms_are_of_the_same_members():
    record, data = hessian(intercept="atom"), whole(target(structures=None))
    structures = ensemble(record, data, ALONE).deviations
    atoms = ensemble(record, data, replace(ALONE, per="atom")).deviations
    starts = np.cumsum(data.n_atoms) - data.n_atoms
    np.testing.assert_allclose(np.add.reduceat(atoms, starts), structures, rtol=1e-9, atol=1e-12)


def test_weights_and_predictions_give_the_same_members():
    record, table = hessian(intercept="atom"), target()
    weights = np.random.default_rng(0).normal(size=D + 1)
    predicted = total_rows(whole(table), record) @ weights
    by_weights = ensemble(record, whole(table), EnsembleOptions(n_members=5, weights=weights))
    table = target(columns={"energy_predicted": predicted})
    by_column = ensemble(record, whole(table), EnsembleOptions(n_members=5))
    np.testing.assert_allclose(by_weights.predicted, predicted, rtol=1e-12)
    np.testing.assert_allclose(by_weights.members, by_column.members, rtol=1e-12)


@pytest.mark.parametrize("per", ["structure", "atom", "force", "stress"])
def test_members_are_predictions_of_their_weights(per):
    record, data = hessian(), whole(target())
    options = EnsembleOptions(per, n_members=5, weights=np.arange(1.0, D + 1))
    found = ensemble(record, data, options)
    sampler = Sampler(record, options)
    blocks = list(module.row_blocks(data, sampler.form, per))
    g = np.concatenate([block[0] for block in blocks])
    np.testing.assert_allclose(found.members, g @ sampler.weights().T, rtol=1e-9, atol=1e-12)


def test_unscaled_weights_serve_scaled_hessians():
    # Features divided by s and a prior of 1/s² of another leave the weights of unscaled ones.
    scaled = hessian(scale=7.0, regularizer=0.01)
    unscaled = hessian(scale="none", regularizer=0.01 * 49.0)
    expected = Sampler(unscaled, ALONE).weights()
    np.testing.assert_allclose(Sampler(scaled, ALONE).weights(), expected, rtol=1e-9)


def test_members_are_seeded():
    record, data = hessian(), whole(target())
    first, again, other = (
        ensemble(record, data, replace(ALONE, seed=seed)).members for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


@pytest.mark.parametrize("per", ["structure", "atom", "force", "stress"])
def test_small_blocks_change_nothing(per, monkeypatch):
    record, data = hessian(), whole(target())
    options = replace(ALONE, per=per)
    expected = ensemble(record, data, options)
    monkeypatch.setattr(module, "BLOCK_BYTES", 8)
    monkeypatch.setattr(rows, "BLOCK_BYTES", 8)
    found = ensemble(record, data, options)
    np.testing.assert_allclose(found.members, expected.members, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.sigma, expected.sigma, rtol=1e-12)


def test_energies_of_some_structures_are_those_of_all(monkeypatch):
    record, table = hessian(), target(n_structures=30)
    data = Dataset([Part(table, range(25)), Part(table, range(29, -1, -3))], "predicted")
    options = EnsembleOptions(n_members=6, weights=np.ones(D))
    expected = ensemble(record, data, options)
    indices = np.array([0, 3, 4, 24, 25, 33])
    for limit in (1 << 20, 8):
        monkeypatch.setattr(rows, "BLOCK_BYTES", limit)
        predicted, deviations = energies(Sampler(record, options), data, indices, slice(1, 4))
        np.testing.assert_allclose(predicted, expected.predicted[indices], rtol=1e-12)
        np.testing.assert_allclose(deviations, expected.deviations[indices, 1:4], rtol=1e-9)


def test_alpha_of_the_option_wins():
    record, data = hessian(), whole(target())
    found = ensemble(record, data, replace(ALONE, alpha=2.0))
    np.testing.assert_allclose(found.sigma, 10.0 * ensemble(record, data, ALONE).sigma)


@pytest.mark.parametrize(
    ("per", "name", "unit"),
    [
        ("structure", "alpha_energy", "eV/atom"),
        ("atom", "alpha_energy", "eV/atom"),
        ("force", "alpha_force", "eV/Å"),
        ("stress", "alpha_stress", "eV/Å³"),
    ],
)
def test_hessian_must_be_calibrated(per, name, unit):
    record = replace(hessian(), **{name: None})
    with pytest.raises(RequestError, match="not calibrated") as caught:
        ensemble(record, whole(target()), replace(ALONE, per=per))
    for text in (name, unit, "prcli calibrate", "--alpha"):
        assert text in str(caught.value)
    assert ensemble(record, whole(target()), replace(ALONE, per=per, alpha=1.0)).sigma.any()


def test_total_rows_have_another_unit():
    record = replace(hessian(energy="total"), alpha_energy=None)
    with pytest.raises(RequestError) as caught:
        ensemble(record, whole(target()), ALONE)
    assert "eV\n" in str(caught.value)


def test_absent_predictions_are_named():
    with pytest.raises(FeatureError, match="'energy_predicted' are not found") as caught:
        ensemble(hessian(), whole(target()))
    assert "--deviations" in str(caught.value)


def test_predictions_must_be_finite():
    columns = {"energy_predicted": np.array([1.0, np.nan, 2.0, 3.0, np.nan, 1.0])}
    with pytest.raises(FeatureError, match="absent or not finite") as caught:
        ensemble(hessian(), whole(target(columns=columns)))
    assert "structure 1" in str(caught.value)
    assert "2 of 6" in str(caught.value)


def test_predictions_come_from_structure_files(tmp_path):
    valid = ValidationSet(tmp_path, 8, D)
    record, data = hessian(), valid.data(range(6, 1, -2), range(3))
    chosen = [6, 4, 2, 0, 1, 2]
    energies_read = ensemble(record, data).predicted
    np.testing.assert_array_equal(energies_read, valid.predicted["energy"][chosen])
    starts = np.cumsum(valid.counts) - valid.counts
    found = ensemble(record, data, EnsembleOptions("force")).predicted
    forces = [valid.predicted["forces"][starts[i] : starts[i] + valid.counts[i]] for i in chosen]
    np.testing.assert_array_equal(found, np.concatenate(forces).ravel())
    found = ensemble(record, data, EnsembleOptions("stress")).predicted
    np.testing.assert_array_equal(found, valid.predicted["stress"][chosen].ravel())


def test_predictions_of_atoms_come_from_structure_files(tmp_path):
    path, counts = tmp_path / "atoms.xyz", [2, 1, 3]
    values = np.arange(6.0) + 0.25
    path.write_text(frames_with(counts, "energies_predicted", values))
    record, table = hessian(), atoms_of(counts, path)
    found = ensemble(record, whole(table), EnsembleOptions("atom"))
    np.testing.assert_array_equal(found.predicted, values)
    np.testing.assert_array_equal(found.species, [6] * 6)
    keys = PredictedKeys(atom_predicted="local")
    with pytest.raises(FeatureError, match="'local' is absent") as caught:
        ensemble(record, whole(table), EnsembleOptions("atom", keys=keys))
    assert "--atom-predicted" in str(caught.value)


def test_columns_of_atoms_must_have_one_number(tmp_path):
    path, counts = tmp_path / "atoms.xyz", [2, 1]
    path.write_text(frames_with(counts, "energies_predicted", np.arange(3.0)))
    keys = PredictedKeys(atom_predicted="pos")
    with pytest.raises(FeatureError, match="does not hold finite predictions"):
        ensemble(hessian(), whole(atoms_of(counts, path)), EnsembleOptions("atom", keys=keys))


def frames_with(counts: list[int], key: str, values: np.ndarray) -> str:
    lines, numbers = [], iter(values.tolist())
    for count in counts:
        lines += [str(count), f"Properties=species:S:1:pos:R:3:{key}:R:1"]
        lines += [f"C 0 0 {k} {next(numbers)!r}" for k in range(count)]
    return "".join(f"{line}\n" for line in lines)


def atoms_of(counts: list[int], path: Path) -> Features:
    n_atoms = sum(counts)
    g = np.random.default_rng(0)
    table = Features(atoms=g.normal(size=(n_atoms, D)), n_atoms=counts, species=[6] * n_atoms)
    table.source = source_of(path)
    return table


def test_missing_force_rows_are_said(caplog):
    table = features_of(6, D, 2, **gradients_of(counts_of(6, 2), D, 2, forces=[1, 4]))
    found = ensemble(hessian(), whole(table), replace(ALONE, per="force"))
    assert len(found.sigma) == 3 * counts_of(6, 2)[[1, 4]].sum()
    assert "4 of 6 structures have no force rows" in caplog.text


def test_descriptors_of_a_network_are_warned_of(caplog):
    ensemble(hessian(), whole(target()), ALONE)
    assert "last-layer" not in caplog.text
    ensemble(hessian(), whole(target(feature_kind="descriptor")), ALONE)
    assert "not its last-layer features" in caplog.text


@pytest.mark.parametrize("shape", [(D,), (1, D), (D, 1)])
def test_weights_are_read_from_files(tmp_path, shape):
    weights = np.arange(D, dtype=np.float32).reshape(shape)
    np.save(tmp_path / "w.npy", weights)
    found = read_weights_file(str(tmp_path / "w.npy"), hessian())
    assert found.dtype == np.float64
    assert found.tolist() == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize("shape", [(D + 1,), (2, 2), (2, D)])
def test_weights_must_fit(tmp_path, shape):
    np.save(tmp_path / "w.npy", np.ones(shape))
    with pytest.raises(MismatchError, match="do not fit the Hessian"):
        read_weights_file(str(tmp_path / "w.npy"), hessian())


def test_weights_of_the_intercept_are_needed():
    with pytest.raises(MismatchError, match="1 of the intercept behind"):
        Sampler(hessian(intercept="atom"), EnsembleOptions(weights=np.ones(D)))


def test_weights_must_be_finite():
    with pytest.raises(FeatureError, match="weight 2"):
        Sampler(hessian(), EnsembleOptions(weights=np.array([1.0, 2.0, np.inf, 0.0])))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_members": 0}, "--n-members"),
        ({"seed": -1}, "--seed"),
        ({"alpha": 0.0}, "--alpha"),
        ({"alpha": np.inf}, "--alpha"),
        ({"per": "bond"}, "per is not known"),
        ({"deviations": True, "weights": np.ones(D)}, "--deviations and --weights"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(PrcliError, match=message):
        EnsembleOptions(**options)


def test_progress_reaches_the_end():
    seen = []
    data = whole(target())
    ensemble(hessian(), data, ALONE, progress=lambda *step: seen.append(step))
    assert seen[-1] == ("ensemble", 6, 6)


def test_local_energies_need_features_of_atoms():
    table = Features(np.ones((2, D)))
    with pytest.raises(FeatureError, match="features of atoms"):
        ensemble(hessian(), whole(table), replace(ALONE, per="atom"))
