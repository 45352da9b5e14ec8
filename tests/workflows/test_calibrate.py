from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from builders import atoms_for, counts_of, features_of, gradients_of
from validation_set import ValidationSet

from prcli.data.dataset import Dataset, Part
from prcli.data.features import Features
from prcli.data.gradient_blocks import gradient_blocks
from prcli.data.gradients import GRADIENT_KINDS
from prcli.errors import MismatchError, RequestError
from prcli.numerics.calibration import Sample, best_alpha, cost
from prcli.numerics.rigidity import inverse_rigidities
from prcli.numerics.rows import column_scales
from prcli.workflows import rows as rows_module
from prcli.workflows.calibrate import calibrate
from prcli.workflows.calibrate_options import CalibrateOptions
from prcli.workflows.calibration_table import COLUMNS, calibration_table, read_groups
from prcli.workflows.frames import Frames
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.model import full_factor, kind_weight, prior_root, row_form
from prcli.workflows.rows import EnergyRows
from prcli.workflows.validation_residuals import ResidualKeys

D = 4
KINDS = ("energy", "force", "stress")


def whole(table, name="train"):
    return Dataset([Part(table, range(table.n_structures))], name)


def hessian(n_structures=9, gradients=True, seed=1, **options):
    parts = gradients_of(counts_of(n_structures, seed), D, seed) if gradients else {}
    table = features_of(n_structures, D, seed, **parts)
    return sum_hessian([whole(table)], [], HessianOptions(**options))


def rows_of(data, record, kind):
    """Rows of one kind, built by hand from what the set holds; energies by the row source."""
    if kind == "energy":
        return EnergyRows(data, row_form(record)).read_all()
    blocks = list(gradient_blocks(data, 10**9))
    found = [block.rows[block.kind == GRADIENT_KINDS[kind]] for block in blocks]
    features = np.concatenate(found)
    return np.pad(features, ((0, 0), (0, record.n_columns - features.shape[1])))


def written_out(record, rows):
    """1/PR with H written out, of scaled rows."""
    scales = column_scales(record.n_features, record.intercept, record.scale)
    root = prior_root(record)
    F = np.diag(root) if root.ndim == 1 else root
    H = record.regularizer * F.T @ F
    for kind, factor in record.R.items():
        scaled = factor / scales
        H = H + kind_weight(record, kind) * scaled.T @ scaled
    g = rows / scales
    return np.einsum("ij,ij->i", g, np.linalg.solve(H, g.T).T)


# What is stored.


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"energy": "total"},
        {"intercept": "atom"},
        {"intercept": "species", "energy": "total"},
        {"scale": 7.5},
        {"energy_weight": 4.0, "force_weight": 0.01, "stress_weight": 3.0},
        {"reduction": "mean"},
        {"prior": np.array([0.5, 1.0, 2.0, 0.0])},
        {"prior": np.outer([1.0, 2.0, 0.5, 1.0], [1.0, 2.0, 0.5, 1.0]), "scale": "none"},
    ],
    ids=lambda options: ",".join(options) or "plain",
)
@pytest.mark.parametrize("criterion", ["nll", "ssl", "crps"])
def test_factors_are_the_best_ones_at_the_regularizer_that_is_stored(tmp_path, options, criterion):
    record, valid = hessian(**options), ValidationSet(tmp_path, 20)
    found = calibrate(record, valid.data(), CalibrateOptions(criterion))
    assert list(found.kinds) == list(KINDS)
    for kind in KINDS:
        variances = written_out(found.record, rows_of(valid.data(), record, kind))
        residuals = valid.of_kind(kind, record.energy)
        alpha = best_alpha(criterion, [Sample(residuals, variances)])
        assert getattr(found.record, f"alpha_{kind}") == pytest.approx(alpha, rel=1e-7)
        after = alpha * np.sqrt(variances)
        np.testing.assert_allclose(found.kinds[kind].after.sigma, after, rtol=1e-7)
        before = np.sqrt(written_out(record, rows_of(valid.data(), record, kind)))
        np.testing.assert_allclose(found.kinds[kind].before.sigma, before, rtol=1e-7)


def test_likelihood_has_the_closed_form(tmp_path):
    record, valid = hessian(gradients=False), ValidationSet(tmp_path)
    found = calibrate(record, valid.data()).record
    variances = written_out(found, rows_of(valid.data(), record, "energy"))
    alpha = np.sqrt(np.mean(valid.of_kind("energy") ** 2 / variances))
    assert found.alpha_energy == pytest.approx(alpha, rel=1e-9)


def test_everything_else_stays(tmp_path):
    record, valid = hessian(), ValidationSet(tmp_path)
    kept = replace(record)
    found = calibrate(record, valid.data()).record
    for name, value in vars(kept).items():
        assert getattr(record, name) is value
        if not name.startswith("alpha_") and name != "regularizer":
            assert getattr(found, name) is value


# The regularizer.


def known_answer(folder, regularizer, alphas, n_structures=400):
    """A record, and a validation set whose errors are as it says at that regularizer."""
    width = 12
    counts, g = counts_of(n_structures, 7), np.random.default_rng(2)
    # Training knows some directions well, some little and some not at all.
    known = np.array([1.0] * 4 + [0.03] * 4 + [0.0] * 4)
    table = Features(atoms=known * atoms_for(counts_of(30, 1), width, 1), n_atoms=counts_of(30, 1))
    record = sum_hessian([whole(table)], [], HessianOptions(scale="none"))
    # Validation structures lie in known or in unknown directions.
    chosen = np.repeat(g.choice([1.0, 1e-3], size=(n_structures, 1)), counts, axis=0)
    atoms = atoms_for(counts, width, 7) * np.where(known > 0.0, chosen, 0.03)
    parts = {"n_features": width, "atoms": atoms}
    true = full_factor(replace(record, regularizer=regularizer))
    valid = ValidationSet(folder, n_structures, **parts)
    residuals = {}
    for kind, key in (("energy", "energy"), ("force", "forces"), ("stress", "stress")):
        rows = rows_of(valid.data(), record, kind)
        sigma = alphas[kind] * np.sqrt(inverse_rigidities(rows, true))
        shape = valid.residuals[key].shape
        residuals[key] = (sigma * g.normal(size=len(rows))).reshape(shape)
    residuals["energy"] = residuals["energy"] * counts
    return record, ValidationSet(folder, n_structures, residuals=residuals, **parts)


ALPHAS = {"energy": 0.02, "force": 0.5, "stress": 3.0}


def costs_at(record, valid, criterion, regularizers, joint):
    """Mean cost over kinds at some regularizers, from fresh factorizations."""
    rows = {kind: rows_of(valid.data(), record, kind) for kind in KINDS}
    costs = []
    for regularizer in regularizers:
        factor = full_factor(replace(record, regularizer=regularizer))
        samples = [
            Sample(valid.of_kind(kind), inverse_rigidities(rows[kind], factor)) for kind in KINDS
        ]
        groups = [samples] if joint else [[each] for each in samples]
        costs.append(np.mean([cost(criterion, g, best_alpha(criterion, g)) for g in groups]))
    return costs


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("criterion", ["nll", "crps"])
def test_regularizer_has_the_lowest_mean_cost_over_kinds(tmp_path, criterion, joint):
    record, valid = known_answer(tmp_path, 1e-3, ALPHAS, n_structures=60)
    found = calibrate(record, valid.data(), CalibrateOptions(criterion, joint))
    best = found.record.regularizer
    grid = [*found.scan.regularizers, *(best * np.geomspace(0.3, 3.0, 20))]
    assert found.scan.edge is None
    assert found.scan.best_cost <= min(costs_at(record, valid, criterion, grid, joint)) + 1e-9
    expected = costs_at(record, valid, criterion, [best], joint)
    assert found.scan.best_cost == pytest.approx(expected[0], abs=1e-9)


@pytest.mark.parametrize("criterion", ["nll", "ssl", "crps"])
def test_known_numbers_are_recovered(tmp_path, criterion):
    record, valid = known_answer(tmp_path, 1e-3, ALPHAS)
    found = calibrate(record, valid.data(), CalibrateOptions(criterion)).record
    assert abs(np.log10(found.regularizer) + 3.0) < 0.5
    # 400 energies give a factor to 4 %, and the regularizer adds to that.
    for kind, alpha in ALPHAS.items():
        assert getattr(found, f"alpha_{kind}") == pytest.approx(alpha, rel=0.2)


def test_one_factor_is_recovered(tmp_path):
    record, valid = known_answer(tmp_path, 1e-3, dict.fromkeys(KINDS, 0.1))
    found = calibrate(record, valid.data(), CalibrateOptions(joint=True)).record
    assert found.alpha_energy == found.alpha_force == found.alpha_stress
    assert found.alpha_energy == pytest.approx(0.1, rel=0.1)
    assert abs(np.log10(found.regularizer) + 3.0) < 0.3


def test_range_that_is_given_is_scanned(tmp_path, caplog):
    record, valid = known_answer(tmp_path, 1e-3, ALPHAS)
    options = CalibrateOptions(regularizer_min=1e-1, regularizer_max=1e2)
    with caplog.at_level(logging.INFO):
        found = calibrate(record, valid.data(), options)
    assert found.scan.regularizers[[0, -1]] == pytest.approx([1e-1, 1e2])
    assert found.record.regularizer == pytest.approx(1e-1)
    assert "0.1, is the lower end of the range" in caplog.text
    assert "--regularizer-min widens it" in caplog.text
    options = CalibrateOptions(regularizer_min=1e-7, regularizer_max=1e-5)
    assert calibrate(record, valid.data(), options).record.regularizer == pytest.approx(1e-5)
    assert "is the upper end of the range" in caplog.text


def test_choice_is_said(tmp_path, caplog):
    record, valid = known_answer(tmp_path, 1e-3, ALPHAS)
    with caplog.at_level(logging.INFO):
        calibrate(record, valid.data())
    assert "lowest nll of energies and forces and stresses, which count alike" in caplog.text
    assert "alpha_force" in caplog.text
    assert "eV/Å" in caplog.text
    assert "end of the range" not in caplog.text


# Options.


def test_kept_regularizer_keeps_other_factors(tmp_path):
    record = replace(hessian(), alpha_energy=0.3, alpha_force=0.4, alpha_stress=0.5)
    valid = ValidationSet(tmp_path, without=dict.fromkeys(("forces", "stress"), range(12)))
    found = calibrate(record, valid.data(), CalibrateOptions(keep_regularizer=True))
    assert found.scan is None
    assert found.record.regularizer == record.regularizer
    assert (found.record.alpha_force, found.record.alpha_stress) == (0.4, 0.5)
    variances = written_out(record, rows_of(valid.data(), record, "energy"))
    alpha = np.sqrt(np.mean(valid.of_kind("energy") ** 2 / variances))
    assert found.record.alpha_energy == pytest.approx(alpha, rel=1e-9)


def test_factors_without_residuals_are_dropped_with_the_regularizer(tmp_path, caplog):
    record = replace(hessian(), alpha_force=0.4)
    valid = ValidationSet(tmp_path, without={"forces": range(12)})
    found = calibrate(record, valid.data()).record
    assert found.alpha_force is None
    assert "alpha_force no longer holds" in caplog.text


def test_joint_serves_kinds_without_residuals_too(tmp_path, caplog):
    valid = ValidationSet(tmp_path, without={"stress": range(12)})
    with caplog.at_level(logging.INFO):
        found = calibrate(hessian(), valid.data(), CalibrateOptions(joint=True)).record
    assert found.alpha_stress == found.alpha_force == found.alpha_energy
    assert "alpha_stress is the same; there is nothing to check it with" in caplog.text


def test_hessian_without_forces_calibrates_forces(tmp_path):
    record, valid = hessian(gradients=False), ValidationSet(tmp_path)
    found = calibrate(record, valid.data())
    assert list(found.kinds) == list(KINDS)


@pytest.mark.parametrize("block_bytes", [1, 4000])
def test_blocks_change_nothing(tmp_path, monkeypatch, block_bytes):
    record, valid = hessian(), ValidationSet(tmp_path, 200)
    expected = calibrate(record, valid.data()).record
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", block_bytes)
    found = calibrate(record, valid.data()).record
    for name in ("regularizer", "alpha_energy", "alpha_force", "alpha_stress"):
        # The refinement stops at relative steps of 1e-6.
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-5)


def test_order_of_the_set_changes_nothing(tmp_path):
    record, valid = hessian(), ValidationSet(tmp_path, 20)
    expected = calibrate(record, valid.data()).record
    mixed = valid.data(range(19, 9, -1), range(0, 10))
    found = calibrate(record, mixed).record
    for name in ("regularizer", "alpha_energy", "alpha_force", "alpha_stress"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"criterion": "rmse"}, "--criterion is not known"),
        ({"regularizer_min": 0.0}, "--regularizer-min is not valid"),
        ({"regularizer_max": np.inf}, "--regularizer-max is not valid"),
        (
            {"regularizer_min": 1.0, "keep_regularizer": True},
            "--regularizer-min contradicts --keep-regularizer",
        ),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(RequestError, match=message):
        CalibrateOptions(**options)


def test_empty_range_is_refused(tmp_path):
    options = CalibrateOptions(regularizer_min=1.0, regularizer_max=1.0)
    with pytest.raises(RequestError, match="the range of the regularizer is empty"):
        calibrate(hessian(), ValidationSet(tmp_path).data(), options)


# What is left out, and what is refused.


def with_zero_rows(folder, n_zero=2):
    """A set whose first structures have features of zero."""
    counts = counts_of(12, 7)
    atoms = atoms_for(counts, D, 7)
    atoms[: int(counts[:n_zero].sum())] = 0.0
    return ValidationSet(folder, atoms=atoms)


def test_rows_of_zeros_are_left_out_and_counted(tmp_path, caplog):
    record, valid = hessian(), with_zero_rows(tmp_path)
    found = calibrate(record, valid.data())
    energies = found.kinds["energy"]
    assert energies.rows.n_rows == 10
    assert np.flatnonzero(energies.rows.small).tolist() == [0, 1]
    assert "2 of 12 energy rows are zero up to rounding" in caplog.text
    rest = calibrate(record, valid.data(range(2, 12))).kinds["energy"]
    np.testing.assert_array_equal(energies.rows.residuals, rest.rows.residuals)
    assert len(energies.after.sigma) == 10


def test_unknown_and_zero_rows_are_told_apart(tmp_path):
    valid = with_zero_rows(tmp_path)
    lacks = {"energy_predicted": [1, 5]}
    atoms = valid.features.atoms.read(0, int(valid.counts.sum()))
    valid = ValidationSet(tmp_path, atoms=atoms, without=lacks)
    kind = calibrate(hessian(), valid.data()).kinds["energy"].rows
    assert np.flatnonzero(kind.small).tolist() == [0]
    assert np.flatnonzero(kind.unknown).tolist() == [1, 5]
    assert kind.n_rows == 9


def with_rows_near_zero(folder, length, error, n_structures=60):
    """A set whose first structure has forces that symmetry holds near zero, not so their errors."""
    parts = gradients_of(counts_of(n_structures, 7), D, 7)
    n_rows = 3 * int(counts_of(n_structures, 7)[0])
    parts["gradients"][:n_rows] *= length
    forces = 0.1 * np.random.default_rng(0).normal(size=(int(counts_of(n_structures, 7).sum()), 3))
    forces[: n_rows // 3] = error
    return ValidationSet(folder, n_structures, residuals={"forces": forces}, **parts), n_rows


def test_rows_that_are_zero_up_to_rounding_are_left_out(tmp_path, caplog):
    valid, n_rows = with_rows_near_zero(tmp_path, 1e-16, 1e-8)
    found = calibrate(hessian(), valid.data()).kinds["force"]
    assert np.flatnonzero(found.rows.small).tolist() == list(range(n_rows))
    assert f"{n_rows} of {len(found.rows.small)} force rows are zero up to rounding" in caplog.text
    assert "alpha_force depends on" not in caplog.text
    options = CalibrateOptions(smallest_row=0.0)
    assert not calibrate(hessian(), valid.data(), options).kinds["force"].rows.small.any()


def test_rows_that_decide_a_factor_are_spoken_of_and_can_be_left_out(tmp_path, caplog):
    valid, n_rows = with_rows_near_zero(tmp_path, 1e-6, 1e-3)
    record = hessian()
    spoilt = calibrate(record, valid.data()).record.alpha_force
    assert "alpha_force depends on" in caplog.text
    assert "above all on one of validation, structure 0" in caplog.text
    assert "--smallest-row" in caplog.text
    caplog.clear()
    found = calibrate(record, valid.data(), CalibrateOptions(smallest_row=1e-3))
    assert found.kinds["force"].rows.small.sum() == n_rows
    assert "zero or below 0.001 of the others" in caplog.text
    assert "depends on" not in caplog.text
    assert spoilt > 30 * found.record.alpha_force
    # CRPS hardly minds, and is not warned of.
    calibrate(record, valid.data(), CalibrateOptions("crps"))
    assert "depends on" not in caplog.text


def test_errors_that_are_all_alike_are_spoken_of(tmp_path, caplog):
    counts = counts_of(12, 7)
    calibrate(hessian(), ValidationSet(tmp_path).data())
    assert "all alike" not in caplog.text
    shifted = counts * (7.0 + 0.1 * np.random.default_rng(0).normal(size=12))
    calibrate(hessian(), ValidationSet(tmp_path, residuals={"energy": shifted}).data())
    assert "errors of energies are all alike, 7" in caplog.text


@pytest.mark.parametrize("smallest", [-1e-3, 1.0, np.nan])
def test_smallest_row_is_checked(smallest):
    with pytest.raises(RequestError, match="--smallest-row is not valid"):
        CalibrateOptions(smallest_row=smallest)


def test_what_the_regularizer_holds_is_told(tmp_path, caplog):
    record = hessian(2, gradients=False, regularizer=10.0)
    with caplog.at_level(logging.INFO):
        found, table = table_of(ValidationSet(tmp_path), record, keep_regularizer=True)
    held = found.kinds["energy"].after.held
    g = rows_of(ValidationSet(tmp_path).data(), record, "energy") / record.scale
    factor = record.R["energy"] / record.scale
    inverse = np.linalg.inv(factor.T @ factor + record.regularizer * np.eye(D))
    shares = record.regularizer * np.sum((g @ inverse) ** 2, axis=1)
    shares /= np.einsum("ij,jk,ik->i", g, inverse, g)
    np.testing.assert_array_equal(held, shares > 0.5)
    assert held.any()
    row = rows_with(table, kind="energy", stage="after")
    assert row["held_by_regularizer"][0] == held.mean()
    assert f"{held.sum()} of 12 energy rows" in caplog.text
    assert "digits of a rigidity" in caplog.text


def test_overlap_with_the_training_set_is_refused(tmp_path, caplog):
    valid = ValidationSet(tmp_path)
    train = [whole(features_of(9, D, 1)), valid.data(range(3, 6))]
    record = sum_hessian(train, [], HessianOptions())
    with pytest.raises(RequestError, match="validation structures are in the training") as caught:
        calibrate(record, valid.data())
    assert "structure 3 and 2 others" in str(caught.value)
    assert "--allow-overlap" in str(caught.value)
    calibrate(record, valid.data(), CalibrateOptions(allow_overlap=True))
    assert "3 of 12 validation structures are in the training set" in caplog.text


def test_other_features_are_refused(tmp_path):
    with pytest.raises(MismatchError, match="validation set does not fit"):
        calibrate(hessian(), ValidationSet(tmp_path, n_features=5).data())


def test_one_row_is_not_enough(tmp_path):
    valid = ValidationSet(tmp_path, without={"energy": range(1, 12)})
    with pytest.raises(RequestError, match="too few energies"):
        calibrate(hessian(), valid.data())


def test_predictions_without_error_are_refused(tmp_path):
    valid = ValidationSet(tmp_path, residuals={"stress": np.zeros((12, 6))})
    with pytest.raises(RequestError, match="all stresses are predicted without any error"):
        calibrate(hessian(), valid.data())


def test_criterion_that_fails_is_refused(tmp_path):
    residuals = np.zeros(12)
    residuals[0] = 1.0
    valid = ValidationSet(tmp_path, residuals={"energy": residuals})
    for criterion in ("ssl", "crps"):
        with pytest.raises(RequestError, match=f"the criterion {criterion} .*") as caught:
            calibrate(hessian(), valid.data(), CalibrateOptions(criterion))
        assert "use --criterion nll" in str(caught.value)
    options = CalibrateOptions("crps", keep_regularizer=True)
    with pytest.raises(RequestError, match="no best calibration factor"):
        calibrate(hessian(), valid.data(), options)


def test_few_rows_are_warned_of(tmp_path, caplog):
    calibrate(hessian(), ValidationSet(tmp_path).data())
    assert "only 12 energies to calibrate with" in caplog.text
    assert "forces to calibrate with" not in caplog.text


def test_rounding_of_float32_is_warned_of(tmp_path, caplog):
    valid = ValidationSet(tmp_path, atoms=atoms_for(counts_of(12, 7), D, 7).astype(np.float32))
    options = CalibrateOptions(keep_regularizer=True)
    calibrate(hessian(regularizer=1e-15), valid.data(), options)
    assert "float32" in caplog.text


# The table.


def table_of(valid, record, by=None, **options):
    data = valid.data()
    found = calibrate(record, data, CalibrateOptions(**options))
    groups = None if by is None else read_groups(data, by, lambda: Frames(data))
    return found, calibration_table(found, groups)


def rows_with(table, **wanted):
    chosen = np.ones(len(table["kind"]), dtype=bool)
    for name, value in wanted.items():
        chosen &= table[name] == value
    return {name: values[chosen] for name, values in table.items()}


def test_table_measures_before_and_after(tmp_path):
    found, table = table_of(ValidationSet(tmp_path), hessian())
    assert tuple(table) == COLUMNS
    assert table["kind"].tolist() == [kind for kind in KINDS for _ in range(2)]
    assert table["stage"].tolist() == ["before", "after"] * 3
    assert table["unit"].tolist() == ["eV/atom"] * 2 + ["eV/Å"] * 2 + ["eV/Å³"] * 2
    before, after = (rows_with(table, stage=stage) for stage in ("before", "after"))
    np.testing.assert_array_equal(before["alpha"], 1.0)
    np.testing.assert_array_equal(before["regularizer"], 1e-5)
    np.testing.assert_array_equal(after["regularizer"], found.record.regularizer)
    assert after["alpha"].tolist() == [getattr(found.record, f"alpha_{kind}") for kind in KINDS]
    assert after["nll"].mean() < before["nll"].mean()
    np.testing.assert_array_equal(before["rmse"], after["rmse"])


def test_table_agrees_with_numbers_written_out(tmp_path):
    valid, record = ValidationSet(tmp_path), hessian()
    found, table = table_of(valid, record)
    row = rows_with(table, kind="force", stage="after")
    residuals = valid.of_kind("force")
    variances = written_out(found.record, rows_of(valid.data(), record, "force"))
    sigma = found.record.alpha_force * np.sqrt(variances)
    nll = 0.5 * np.log(2 * np.pi * sigma**2) + 0.5 * (residuals / sigma) ** 2
    assert row["nll"][0] == pytest.approx(nll.mean(), rel=1e-9)
    assert row["coverage_1sigma"][0] == np.mean(np.abs(residuals) <= sigma)
    assert row["sharpness"][0] == pytest.approx(np.sqrt(np.mean(sigma**2)))


def test_earlier_factors_count_before(tmp_path):
    record = replace(hessian(), alpha_energy=0.25)
    _, table = table_of(ValidationSet(tmp_path), record)
    assert rows_with(table, kind="energy", stage="before")["alpha"].tolist() == [0.25]


def test_groups_are_reported_and_change_nothing(tmp_path):
    valid, record = ValidationSet(tmp_path, without={"energy": [3]}), hessian()
    expected, plain = table_of(valid, record)
    found, table = table_of(valid, record, "config_type")
    assert vars(found.record)["alpha_energy"] == expected.record.alpha_energy
    everything = rows_with(table, by="")
    for name in COLUMNS:
        assert everything[name].tolist() == plain[name].tolist()
    assert set(everything["group"]) == {"all"}
    odd = rows_with(table, by="config_type", group="b", kind="energy", stage="after")
    # Structures 1, 3, 5, … of which 3 has no reference.
    assert odd["n_rows"].tolist() == [5]
    assert odd["n_unknown"].tolist() == [1]
    residuals = valid.of_kind("energy")[[1, 5, 7, 9, 11]]
    assert odd["rmse"][0] == pytest.approx(np.sqrt(np.mean(residuals**2)))
    assert odd["alpha"][0] == found.record.alpha_energy
    forces = rows_with(table, kind="force", group="a", stage="after")
    assert forces["n_rows"].tolist() == [3 * int(valid.counts[::2].sum())]


def test_groups_may_be_numbers_or_absent(tmp_path):
    valid = ValidationSet(tmp_path)
    groups = read_groups(valid.data(), "n_atoms", lambda: Frames(valid.data()))
    assert groups.labels.tolist() == [str(n) for n in valid.counts]
    text = valid.path.read_text().replace("config_type=a", "", 1)
    valid.path.write_text(text)
    groups = read_groups(valid.data(), "config_type", lambda: Frames(valid.data(), (valid.path,)))
    assert groups.names == ["a", "absent", "b"]
    assert groups.labels[0] == "absent"


def test_group_without_rows_is_passed_over(tmp_path):
    valid = ValidationSet(tmp_path, without={"energy": range(0, 12, 2)})
    _, table = table_of(valid, hessian(), "config_type")
    assert set(rows_with(table, kind="energy")["group"]) == {"all", "b"}
    assert set(rows_with(table, kind="force")["group"]) == {"all", "a", "b"}


def test_names_of_references_reach_the_residuals(tmp_path):
    valid, record = ValidationSet(tmp_path), hessian()
    swapped = ResidualKeys("energy_predicted", "energy")
    found = calibrate(record, valid.data(), CalibrateOptions(keys=swapped))
    np.testing.assert_array_equal(found.kinds["energy"].rows.residuals, -valid.of_kind("energy"))
