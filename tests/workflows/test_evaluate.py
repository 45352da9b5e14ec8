from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import features_of
from validation_set import ValidationSet

from prcli import hessian, select
from prcli.data.features import Features
from prcli.errors import (
    ExpressionError,
    FeatureError,
    FormatError,
    InputFileError,
    MismatchError,
    RankError,
    RequestError,
)
from prcli.workflows.evaluate_options import EvaluateOptions, usual_counts
from prcli.workflows.evaluate_plots import evaluation_figures
from prcli.workflows.evaluate_request import EvaluateRequest
from prcli.workflows.evaluate_run import run_evaluation
from prcli.workflows.evaluate_table import evaluation_table
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.loss_options import LossOptions

D = 4
NONE = dict.fromkeys(("gradients", "gradient_kind", "gradient_structure"))
SIZES = {"train": 12, "target": 5, "pool": 9}
SEEDS = {"train": 1, "target": 2, "pool": 3}


class Sets:
    """Training set, targets and pool, each with a structure file that holds all references.

    `own` has options of single sets, by name.
    """

    def __init__(self, folder: Path, own=None, **parts):
        self.sets = {}
        for name in SIZES:
            given = {"label": name} | parts | (own or {}).get(name, {})
            self.sets[name] = ValidationSet(
                folder, SIZES[name], D, SEEDS[name], name=f"{name}.xyz", **given
            )

    def __getitem__(self, name) -> ValidationSet:
        return self.sets[name]

    def request(self, options, *, selections=(), **given) -> EvaluateRequest:
        features = {name: (each.features,) for name, each in self.sets.items()}
        own = {key: given.pop(key) for key in list(given) if key in EvaluateRequest.__annotations__}
        hessian_options = HessianOptions(**({"regularizer": 0.01} | given))
        return EvaluateRequest(
            **(features | own),
            selections=tuple(map(str, selections)),
            options=options,
            hessian_options=hessian_options,
        )

    def run(self, options=None, **given):
        options = options or EvaluateOptions(strategies=("pr",), n_to_select=3, baseline="none")
        return run_evaluation(self.request(options, **given))


@pytest.fixture
def energies_only(tmp_path):
    return Sets(tmp_path, **NONE)


@pytest.fixture
def with_gradients(tmp_path):
    return Sets(tmp_path)


# The oracle: everything written out.


def element_counts(each: ValidationSet, species) -> np.ndarray:
    """Atoms of each element of each structure, (S, k)."""
    owner = np.repeat(np.arange(len(each.counts)), each.counts)
    return np.array(
        [
            [np.count_nonzero(each.features.species[owner == i] == z) for z in species]
            for i in range(len(each.counts))
        ],
        dtype=float,
    )


def energy_rows(each: ValidationSet, energy="per-atom", intercept="none") -> np.ndarray:
    atoms = each.features.atoms.read(0, int(each.counts.sum()))
    owner = np.repeat(np.arange(len(each.counts)), each.counts)
    sums = np.array([atoms[owner == i].sum(axis=0) for i in range(len(each.counts))])
    free = {"none": (), "atom": (1, 6), "species": (1, 6)}[intercept]
    columns = element_counts(each, free)
    if intercept == "atom":
        columns = columns.sum(axis=1, keepdims=True)
    rows = np.hstack([sums, columns])
    return rows / each.counts[:, np.newaxis] if energy == "per-atom" else rows


def energy_values(each: ValidationSet, energy="per-atom") -> np.ndarray:
    values = each.reference["energy"]
    return values / each.counts if energy == "per-atom" else values


def gradient_rows(each: ValidationSet, kind: str, n_free: int = 0):
    """Rows, references and structures of all forces, or of all stresses."""
    table = each.features.gradients
    chosen = np.asarray(table.kind) == {"force": 1, "stress": 2}[kind]
    rows = table.rows.read(0, len(chosen))[chosen]
    values = each.reference["forces" if kind == "force" else "stress"].ravel()
    return np.pad(rows, ((0, 0), (0, n_free))), values, np.asarray(table.structure)[chosen]


class ByHand:
    """Refits by numpy on stacked rows, without anything of the code under test."""

    def __init__(self, sets, *, energy="per-atom", intercept="none", weights=None, prior=None):
        self.sets, self.energy, self.intercept = sets, energy, intercept
        self.weights = {"energy": 1.0, "force": 0.0, "stress": 0.0} | (weights or {})
        self.n_free = {"none": 0, "atom": 1, "species": 2}[intercept]
        atoms = sets["train"].features.atoms.read(0, int(sets["train"].counts.sum()))
        self.scales = np.ones(D + self.n_free)
        self.scales[:D] = np.sqrt((atoms**2).sum(axis=1).mean())
        self.prior = np.diag(np.append(np.ones(D), np.zeros(self.n_free)))
        if prior is not None:
            self.prior[:D, :D] = prior
        self.baseline = {name: np.zeros(len(each.counts)) for name, each in sets.sets.items()}
        self.structure_weight = {name: np.ones(SIZES[name]) for name in SIZES}

    def rows(self, name, structures):
        """Weighted rows and values of some structures."""
        each = self.sets[name]
        own = self.structure_weight[name]
        energies = energy_values(each, self.energy) - self.baseline[name]
        rows = energy_rows(each, self.energy, self.intercept)
        root = np.sqrt(self.weights["energy"] * own[structures])
        found = [(rows[structures] * root[:, None], energies[structures] * root)]
        for kind in ("force", "stress"):
            if self.weights[kind]:
                rows, values, owner = gradient_rows(each, kind, self.n_free)
                chosen = np.isin(owner, structures)
                root = np.sqrt(self.weights[kind] * own[owner[chosen]])
                found.append((rows[chosen] * root[:, None], values[chosen] * root))
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]

    def system(self, picks, regularizer=0.01):
        base = self.rows("train", np.arange(SIZES["train"]))
        added = self.rows("pool", np.array(picks, dtype=int))
        G, y = (np.concatenate(pair) for pair in zip(base, added, strict=True))
        root = np.linalg.cholesky(self.prior[:D, :D]).T
        F = np.zeros_like(self.prior)
        F[:D, :D] = root
        lhs = np.concatenate([G / self.scales, np.sqrt(regularizer) * F])
        return lhs, np.concatenate([y, np.zeros(len(F))])

    def errors(self, picks, kind="energy"):
        lhs, rhs = self.system(picks)
        weights = np.linalg.lstsq(lhs, rhs, rcond=None)[0] / self.scales
        target = self.sets["target"]
        if kind == "force":
            rows, values, _ = gradient_rows(target, "force", self.n_free)
        else:
            rows = energy_rows(target, self.energy, self.intercept)
            values = energy_values(target, self.energy) - self.baseline["target"]
        return rows @ weights - values

    def rmse(self, picks, kind="energy"):
        return np.sqrt(np.mean(self.errors(picks, kind) ** 2))

    def target_pr(self, picks):
        lhs, _ = self.system(picks)
        rows = energy_rows(self.sets["target"], self.energy, self.intercept) / self.scales
        inverse = np.linalg.inv(lhs.T @ lhs)
        return np.mean(1.0 / np.einsum("ij,jk,ik->i", rows, inverse, rows))


def picked(sets, n=3, **options):
    """Picks of the same selection, made by the command beside this one."""
    features = {name: sets[name].features for name in SIZES}
    given = {"regularizer": 0.01} | options
    return select(
        features["pool"], n, train=features["train"], target=features["target"], **given
    ).indices.tolist()


def rmse_of(evaluation, kind="energy", curve=0):
    return evaluation.curves[curve].errors[kind].rmse[:, 0]


# Refits.


@pytest.mark.parametrize("energy", ["per-atom", "total"])
@pytest.mark.parametrize("intercept", ["none", "atom", "species"])
def test_errors_of_energies_are_those_of_refits_by_hand(energies_only, energy, intercept):
    sets = energies_only
    given = {"energy": energy, "intercept": intercept}
    evaluation = sets.run(**given)
    hand, picks = ByHand(sets, **given), picked(sets, **given)
    curve = evaluation.curves[0]
    assert curve.n_added.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(
        rmse_of(evaluation), [hand.rmse(picks[:n]) for n in range(4)], rtol=1e-9
    )
    mae = [np.abs(hand.errors(picks[:n])).mean() for n in range(4)]
    np.testing.assert_allclose(curve.errors["energy"].mae[:, 0], mae, rtol=1e-9)
    pr = [hand.target_pr(picks[:n]) for n in range(4)]
    np.testing.assert_allclose(curve.target_pr[:, 0], pr, rtol=1e-8)


@pytest.mark.parametrize(
    ("given", "weights"),
    [
        ({}, {"force": 1.0, "stress": 1.0}),
        ({"force_weight": 0.3, "stress_weight": 0.0}, {"force": 0.3}),
        (
            {"energy_weight": 0.0, "stress_weight": 2.0},
            {"energy": 0.0, "force": 1.0, "stress": 2.0},
        ),
        ({"force_weight": 0.0, "stress_weight": 0.0}, {}),
    ],
)
def test_forces_and_stresses_are_learned_as_the_loss_counts_them(with_gradients, given, weights):
    sets = with_gradients
    evaluation = sets.run(**given)
    hand, picks = ByHand(sets, weights=weights), picked(sets, **given)
    for kind in ("energy", "force"):
        expected = [hand.rmse(picks[:n], kind) for n in range(4)]
        np.testing.assert_allclose(rmse_of(evaluation, kind), expected, rtol=1e-9)


def test_mean_reduction_weighs_kinds_by_the_base_training_set(with_gradients):
    sets = with_gradients
    given = {"reduction": "mean", "stress_weight": 0.0}
    n_forces = 3 * int(sets["train"].counts.sum())
    hand = ByHand(sets, weights={"force": SIZES["train"] / n_forces})
    picks = picked(sets, **given)
    expected = [hand.rmse(picks[:n]) for n in range(4)]
    np.testing.assert_allclose(rmse_of(sets.run(**given)), expected, rtol=1e-9)


def test_prior_draws_weights_to_zero(energies_only):
    g = np.random.default_rng(0)
    root = g.normal(size=(D, D))
    prior = root @ root.T + np.eye(D)
    hand, picks = ByHand(energies_only, prior=prior), picked(energies_only, prior=prior)
    expected = [hand.rmse(picks[:n]) for n in range(4)]
    np.testing.assert_allclose(rmse_of(energies_only.run(prior=prior)), expected, rtol=1e-9)


def test_weights_of_structures_count(tmp_path):
    g = np.random.default_rng(8)
    weights = {name: g.uniform(0.1, 4.0, SIZES[name]) for name in SIZES}
    weights["train"][3] = 0.0
    sets = Sets(tmp_path, {name: {"columns": {"importance": weights[name]}} for name in SIZES})
    given = {"loss": LossOptions(weight_key="importance"), "stress_weight": 0.0}
    hand, picks = ByHand(sets, weights={"force": 1.0}), picked(sets, **given)
    hand.structure_weight = weights
    expected = [hand.rmse(picks[:n]) for n in range(4)]
    np.testing.assert_allclose(rmse_of(sets.run(**given)), expected, rtol=1e-9)


def test_structures_of_no_weight_need_no_references(tmp_path):
    own = {name: {"columns": {"importance": np.ones(SIZES[name])}} for name in SIZES}
    own["train"]["columns"]["importance"][3] = 0.0
    own["train"]["without"] = {"energy": [3], "forces": [3]}
    sets = Sets(tmp_path, own)
    options = EvaluateOptions(strategies=("pr",), n_to_select=2, baseline="mean")
    given = {"loss": LossOptions(weight_key="importance"), "stress_weight": 0.0}
    assert np.isfinite(rmse_of(sets.run(options, **given))).all()
    with pytest.raises(FeatureError, match=r"structure 3, energy(.|\n)*1 of 12"):
        sets.run(options, stress_weight=0.0)


def test_robust_losses_count_rows_as_in_the_hessian(tmp_path):
    residuals = np.array([0.0, 9.0] * 6)
    sets = Sets(tmp_path, {"train": {"residuals": {"energy": residuals}}}, **NONE)
    loss = LossOptions(loss="huber", energy_delta=0.5)
    hand = ByHand(sets)
    small = np.abs(residuals / sets["train"].counts) <= 0.5
    hand.structure_weight["train"] = small.astype(float)
    picks = picked(sets, loss=loss)
    assert 0 < small.sum() < len(small)
    expected = [hand.rmse(picks[:n]) for n in range(4)]
    np.testing.assert_allclose(rmse_of(sets.run(loss=loss)), expected, rtol=1e-9)


def test_robust_losses_count_each_force_by_itself(tmp_path):
    # Of every force the first component is far off, and does not count.
    n_atoms = ValidationSet(tmp_path, SIZES["train"], D, SEEDS["train"]).counts.sum()
    residuals = np.tile([9.0, 0.0, 0.1], (n_atoms, 1))
    sets = Sets(tmp_path, {"train": {"residuals": {"forces": residuals}}})
    loss = LossOptions(loss="huber", energy_delta=1e6, force_delta=1.0)
    given = {"loss": loss, "stress_weight": 0.0}
    hand, picks = ByHand(sets, weights={"force": 1.0}), picked(sets, **given)
    rows, values = hand.rows("train", np.arange(SIZES["train"]))
    counted = np.ones(len(values), dtype=bool)
    counted[SIZES["train"] :: 3] = False
    pool = hand.rows("pool", np.array(picks))
    system = np.concatenate([rows[counted], pool[0], 0.1 * np.diag(hand.scales)])
    known = np.concatenate([values[counted], pool[1], np.zeros(D)])
    weights = np.linalg.lstsq(system, known, rcond=None)[0]
    errors = energy_rows(sets["target"]) @ weights - energy_values(sets["target"])
    expected = np.sqrt(np.mean(errors**2))
    np.testing.assert_allclose(rmse_of(sets.run(**given))[3], expected, rtol=1e-9)


def test_undetermined_weights_are_refused(energies_only):
    train = energies_only["train"].features
    atoms = np.array(train.atoms.read(0, int(train.n_atoms.sum())))
    atoms[:, 3] = atoms[:, 2]
    energies_only["train"].features = Features(
        atoms=atoms, n_atoms=train.n_atoms, columns=energies_only["train"].columns()
    )
    with pytest.raises(RankError, match="rank 3 of 4"):
        energies_only.run(regularizer=0.0)


# Baselines.


@pytest.mark.parametrize("energy", ["per-atom", "total"])
def test_composition_is_fitted_to_the_base_alone_and_the_default(energies_only, caplog, energy):
    sets = energies_only
    with caplog.at_level(logging.INFO, "prcli"):
        evaluation = sets.run(EvaluateOptions(strategies=("pr",), n_to_select=3), energy=energy)
    hand = ByHand(sets, energy=energy)
    counts = {name: element_counts(sets[name], (1, 6)) for name in SIZES}
    if energy == "per-atom":
        counts = {name: counts[name] / sets[name].counts[:, None] for name in SIZES}
    fitted = np.linalg.lstsq(counts["train"], energy_values(sets["train"], energy), rcond=None)[0]
    np.testing.assert_allclose(evaluation.baseline.energies, fitted, rtol=1e-9)
    hand.baseline = {name: counts[name] @ fitted for name in SIZES}
    picks = picked(sets, energy=energy)
    expected = [hand.rmse(picks[:n]) for n in range(4)]
    np.testing.assert_allclose(rmse_of(evaluation), expected, rtol=1e-9)
    assert f"baseline composition: H {fitted[0]:.6g} eV, C {fitted[1]:.6g} eV" in caplog.text


def test_mean_is_the_default_for_one_element(tmp_path):
    sets = Sets(tmp_path, **NONE)
    for name in SIZES:
        each = sets[name]
        parts = {"species": np.full(int(each.counts.sum()), 6), "n_atoms": each.counts}
        each.features = Features(
            atoms=each.features.atoms.read(0, int(each.counts.sum())),
            columns={"energy": each.reference["energy"]},
            **parts,
        )
    evaluation = sets.run(EvaluateOptions(strategies=("pr",), n_to_select=3))
    assert evaluation.baseline.kind == "mean"
    mean = energy_values(sets["train"]).mean()
    np.testing.assert_allclose(evaluation.baseline.energies, [mean], rtol=1e-12)
    hand, picks = ByHand(sets), picked(sets)
    hand.baseline = {name: np.full(SIZES[name], mean) for name in SIZES}
    np.testing.assert_allclose(rmse_of(evaluation)[3], hand.rmse(picks), rtol=1e-9)


def test_the_baseline_weighs_structures_as_the_loss_does(tmp_path):
    weights = np.random.default_rng(8).uniform(0.1, 4.0, SIZES["train"])
    own = {name: {"columns": {"importance": np.ones(SIZES[name])}} for name in SIZES}
    own["train"] = {"columns": {"importance": weights}}
    sets = Sets(tmp_path, own, **NONE)
    options = EvaluateOptions(strategies=("pr",), n_to_select=1, baseline="mean")
    evaluation = sets.run(options, loss=LossOptions(weight_key="importance"))
    expected = np.average(energy_values(sets["train"]), weights=weights)
    np.testing.assert_allclose(evaluation.baseline.energies, [expected], rtol=1e-12)


def test_mean_may_be_asked_for(energies_only):
    options = EvaluateOptions(strategies=("pr",), n_to_select=1, baseline="mean")
    assert energies_only.run(options).baseline.kind == "mean"


def test_compositions_that_determine_too_little_are_reported(tmp_path, caplog):
    sets = Sets(tmp_path, **NONE)
    for name in SIZES:
        n = SIZES[name]
        sets[name].counts = np.full(n, 3)
        sets[name].features = features_of(
            n, D, SEEDS[name], columns={"energy": np.arange(n, dtype=float)}
        )
        rows = np.random.default_rng(SEEDS[name]).normal(size=(3 * n, D))
        sets[name].features = Features(
            atoms=rows,
            n_atoms=np.full(n, 3),
            species=np.tile([1, 1, 8], n),
            columns={"energy": np.arange(n, dtype=float)},
        )
    evaluation = sets.run(EvaluateOptions(strategies=("pr",), n_to_select=1))
    assert evaluation.baseline.kind == "composition"
    assert "determine only 1 of 2 energies of atoms" in caplog.text
    # Of all pairs with 2 H + O right, the smallest.
    mean = np.arange(SIZES["train"]).mean() / 3
    np.testing.assert_allclose(evaluation.baseline.energies, mean * 3 * np.array([2, 1]) / 5)


def test_elements_that_the_base_lacks_are_refused(energies_only):
    target = energies_only["target"].features
    numbers = np.array(target.species)
    numbers[-1] = 79
    other = Features(
        atoms=target.atoms.read(0, len(numbers)),
        n_atoms=target.n_atoms,
        species=numbers,
        columns={"energy": np.zeros(SIZES["target"])},
        label="gilded",
    )
    energies_only["target"].features = other
    options = EvaluateOptions(strategies=("pr",), n_to_select=1)
    with pytest.raises(MismatchError, match=r"gilded, structure 4(.|\n)*only H, C(.|\n)*mean"):
        energies_only.run(options)
    assert energies_only.run(replace(options, baseline="mean")).baseline.kind == "mean"


def test_composition_needs_elements(energies_only):
    train = energies_only["train"].features
    energies_only["train"].features = Features(
        atoms=train.atoms.read(0, int(train.n_atoms.sum())),
        n_atoms=train.n_atoms,
        columns={"energy": np.zeros(SIZES["train"])},
        label="anonymous",
    )
    options = EvaluateOptions(strategies=("pr",), n_to_select=1, baseline="composition")
    with pytest.raises(FeatureError, match=r"not known(.|\n)*anonymous(.|\n)*--baseline mean"):
        energies_only.run(options)


# References.


def test_references_may_have_another_name(energies_only):
    sets = energies_only
    loss = LossOptions(reference="energy_predicted", predicted="energy")
    evaluation = sets.run(loss=loss)
    for name in SIZES:
        sets[name].reference["energy"] = sets[name].predicted["energy"]
    hand, picks = ByHand(sets), picked(sets)
    np.testing.assert_allclose(rmse_of(evaluation)[3], hand.rmse(picks), rtol=1e-9)


def test_an_unknown_name_is_refused_with_what_there_is(energies_only):
    with pytest.raises(ExpressionError, match=r"'enrgy' is not known(.|\n)*did you mean 'energy'"):
        energies_only.run(loss=LossOptions(reference="enrgy"))


def test_candidates_without_energies_are_refused_unless_filtered_out(tmp_path):
    sets = Sets(tmp_path, {"pool": {"without": {"energy": [4]}}}, **NONE)
    with pytest.raises(FeatureError, match=r"structure 4, energy(.|\n)*1 of 9 structures"):
        sets.run()
    assert np.isfinite(rmse_of(sets.run(where="config_type == 'b'"))).all()


def test_targets_without_energies_are_left_out_and_said(tmp_path, caplog):
    sets = Sets(tmp_path, {"target": {"without": {"energy": [0]}}}, **NONE)
    evaluation = sets.run()
    assert "1 of 5 targets have no finite energy" in caplog.text
    hand, picks = ByHand(sets), picked(sets)
    expected = np.sqrt(np.mean(hand.errors(picks)[1:] ** 2))
    np.testing.assert_allclose(rmse_of(evaluation)[3], expected, rtol=1e-9)


def test_targets_without_any_energy_are_refused(energies_only):
    values = np.full(SIZES["target"], np.nan)
    target = energies_only["target"].features
    energies_only["target"].features = Features(
        atoms=target.atoms.read(0, int(target.n_atoms.sum())),
        n_atoms=target.n_atoms,
        columns={"energy": values},
    )
    with pytest.raises(RequestError, match=r"no target has a reference energy(.|\n)*--reference"):
        energies_only.run()


def test_forces_that_the_loss_counts_must_be_there(tmp_path):
    sets = Sets(tmp_path, {"pool": {"without": {"forces": [6]}}})
    message = r"frame 6, forces(.|\n)*1 of 9 structures(.|\n)*--force-weight 0"
    with pytest.raises(FeatureError, match=message):
        sets.run()
    assert np.isfinite(rmse_of(sets.run(force_weight=0.0))).all()
    assert np.isfinite(rmse_of(sets.run(where="config_type == 'b'"))).all()


def test_forces_of_some_targets_are_enough(tmp_path, caplog):
    sets = Sets(tmp_path, {"target": {"without": {"forces": [1, 2]}}})
    evaluation = sets.run(stress_weight=0.0)
    assert "2 targets have no forces" in caplog.text
    hand, picks = ByHand(sets, weights={"force": 1.0}), picked(sets, stress_weight=0.0)
    kept = ~np.isin(gradient_rows(sets["target"], "force")[2], [1, 2])
    expected = np.sqrt(np.mean(hand.errors(picks, "force")[kept] ** 2))
    np.testing.assert_allclose(rmse_of(evaluation, "force")[3], expected, rtol=1e-9)


def test_forces_are_measured_even_if_they_are_not_learned(with_gradients):
    evaluation = with_gradients.run(force_weight=0.0, stress_weight=0.0)
    assert list(evaluation.curves[0].errors) == ["energy", "force"]


def test_targets_without_forces_are_measured_by_energies(tmp_path, caplog):
    sets = Sets(tmp_path, {"target": {"without": {"forces": range(SIZES["target"])}}})
    evaluation = sets.run()
    assert list(evaluation.curves[0].errors) == ["energy"]
    assert "errors of forces are not measured: no target has forces 'forces'" in caplog.text


def test_forces_that_were_named_must_be_there(with_gradients):
    loss = LossOptions(force_reference="f_dft")
    with pytest.raises(FeatureError, match=r"no target has forces 'f_dft'"):
        with_gradients.run(loss=loss, force_weight=0.0, stress_weight=0.0)


def test_reduced_rows_have_no_references(tmp_path):
    from builders import counts_of, gradients_of

    reduced = gradients_of(counts_of(SIZES["train"], SEEDS["train"]), D, reduced=True)
    sets = Sets(tmp_path, {"train": reduced})
    with pytest.raises(FeatureError, match=r"force rows of a structure were reduced"):
        sets.run(stress_weight=0.0)


# Strategies and draws.


def test_draws_are_averaged_with_their_spread(energies_only):
    sets = energies_only
    options = EvaluateOptions(
        strategies=("random",), n_to_select=4, n_seeds=3, seed=5, counts=(4, 0), baseline="none"
    )
    evaluation = sets.run(options)
    hand = ByHand(sets)
    draws = [picked(sets, 4, strategy="random", seed=seed) for seed in (5, 6, 7)]
    expected = np.array([hand.rmse(picks) for picks in draws])
    table = evaluation_table(evaluation)
    assert table["n_added"].tolist() == [0, 4]
    assert table["n_runs"].tolist() == [3, 3]
    np.testing.assert_allclose(table["rmse_energy"][1], expected.mean(), rtol=1e-9)
    np.testing.assert_allclose(table["rmse_energy_std"], [0.0, expected.std(ddof=1)], rtol=1e-9)
    atoms = np.mean([sets["pool"].counts[picks].sum() for picks in draws])
    np.testing.assert_allclose(table["n_atoms_added"], [0.0, atoms])


def test_every_strategy_is_a_curve(energies_only):
    options = EvaluateOptions(
        strategies=("pr", "random", "fps", "leverage"), n_to_select=2, n_seeds=2
    )
    evaluation = energies_only.run(options)
    assert [curve.name for curve in evaluation.curves] == ["pr", "random", "fps", "leverage"]
    assert evaluation.random is evaluation.curves[1]
    assert [curve.target_pr.shape[1] for curve in evaluation.curves] == [1, 2, 1, 1]
    first = {float(curve.errors["energy"].rmse[0, 0]) for curve in evaluation.curves}
    assert len(first) == 1


def test_random_among_those_that_pass_a_filter(energies_only):
    sets = energies_only
    options = EvaluateOptions(
        random_where=("config_type == 'a'",), n_to_select=5, n_seeds=1, baseline="none"
    )
    evaluation = sets.run(options)
    # All five candidates of even number, in any order.
    hand = ByHand(sets)
    expected = hand.rmse(range(0, SIZES["pool"], 2))
    np.testing.assert_allclose(rmse_of(evaluation)[-1], expected, rtol=1e-9)
    assert evaluation.curves[0].name == "random[config_type == 'a']"
    assert evaluation.random is None


def test_a_filter_that_leaves_too_few_is_refused_before_the_work(energies_only):
    options = EvaluateOptions(strategies=("random",), n_to_select=6)
    with pytest.raises(RequestError, match=r"at least 6 candidates(.|\n)*5 candidates of 9"):
        energies_only.run(options, where="config_type == 'a'")


def test_warnings_of_repeated_selections_are_said_once(energies_only, caplog):
    sets = energies_only
    sets.sets["pool"] = sets["train"]
    options = EvaluateOptions(strategies=("random", "fps"), n_to_select=2, n_seeds=3)
    sets.run(options)
    said = [r.getMessage() for r in caplog.records if "pool's structures are in" in r.getMessage()]
    assert said == [
        "12 of the pool's structures are in the training set; --exclude-train leaves them out"
    ]


def test_what_holds_of_single_selections_is_not_said(energies_only, caplog):
    options = EvaluateOptions(strategies=("random",), n_to_select=2, n_seeds=3)
    with caplog.at_level(logging.INFO):
        energies_only.run(options, regularizer=1e6)
    assert "held in place" not in caplog.text


def test_candidates_that_are_targets_are_reported(energies_only, caplog):
    energies_only.sets["pool"] = energies_only["target"]
    energies_only.run()
    assert "5 candidates are targets" in caplog.text


@pytest.mark.parametrize(
    ("longest", "expected"),
    [
        (1, [0, 1]),
        (4, [0, 1, 2, 4]),
        (20, [0, 1, 2, 5, 10, 20]),
        (60, [0, 1, 2, 5, 10, 20, 50, 60]),
    ],
)
def test_usual_numbers_of_structures(longest, expected):
    assert list(usual_counts(longest)) == expected


# Selections that were made before.


@pytest.fixture
def results(energies_only, tmp_path):
    """Result directories: by rigidity, and three random draws."""
    sets = energies_only
    features = {name: sets[name].features for name in SIZES}
    for name, strategy, seed in (("pr", "pr", 0), ("r0", "random", 0), ("r1", "random", 1)):
        select(
            features["pool"],
            4 if name != "r1" else 3,
            train=features["train"],
            target=features["target"],
            regularizer=0.01,
            strategy=strategy,
            seed=seed,
            output=str(tmp_path / name),
        )
    return tmp_path


NO_BASELINE = EvaluateOptions(baseline="none")


def test_selections_give_the_errors_of_their_picks(energies_only, results):
    evaluation = energies_only.run(NO_BASELINE, selections=[results / "pr"])
    hand, picks = ByHand(energies_only), picked(energies_only, 4)
    curve = evaluation.curves[0]
    assert curve.name == "pr"
    assert curve.n_added.tolist() == [0, 1, 2, 4]
    expected = [hand.rmse(picks[:n]) for n in (0, 1, 2, 4)]
    np.testing.assert_allclose(rmse_of(evaluation), expected, rtol=1e-9)


def test_selections_of_one_name_are_averaged_as_far_as_they_go(energies_only, results):
    arguments = [f"random={results / 'r0'}", results / "pr", f"random={results / 'r1'}"]
    evaluation = energies_only.run(NO_BASELINE, selections=arguments)
    table = evaluation_table(evaluation)
    assert [curve.name for curve in evaluation.curves] == ["random", "pr"]
    assert table["n_added"][:5].tolist() == [0, 1, 2, 3, 4]
    assert table["n_runs"][:5].tolist() == [2, 2, 2, 2, 1]
    assert evaluation.random is evaluation.curves[0]


def test_the_shorter_of_two_selections_is_measured_to_its_end(energies_only, results):
    evaluation = energies_only.run(NO_BASELINE, selections=[results / "pr", results / "r1"])
    assert [curve.n_added.tolist() for curve in evaluation.curves] == [
        [0, 1, 2, 3, 4],
        [0, 1, 2, 3],
    ]


def test_selections_and_strategies_go_together(energies_only, results):
    options = replace(NO_BASELINE, strategies=("random",), n_to_select=3, n_seeds=2)
    evaluation = energies_only.run(options, selections=[results / "pr", results / "r0"])
    assert [curve.name for curve in evaluation.curves] == ["random", "pr", "r0"]
    assert evaluation.random is evaluation.curves[0]
    assert evaluation.curves[0].n_added.tolist() == [0, 1, 2, 3]
    with pytest.raises(RequestError, match=r"same name(.|\n)*random(.|\n)*NAME=DIR"):
        energies_only.run(options, selections=[f"random={results / 'r0'}"])


def test_only_picks_need_energies(energies_only, results, tmp_path):
    picks = picked(energies_only, 4)
    others = [i for i in range(SIZES["pool"]) if i not in picks]
    pool = energies_only["pool"].features
    values = np.array(energies_only["pool"].reference["energy"])
    values[others] = np.nan
    energies_only["pool"].features = Features(
        atoms=pool.atoms.read(0, int(pool.n_atoms.sum())),
        n_atoms=pool.n_atoms,
        species=pool.species,
        columns={"energy": values},
    )
    energies_only["pool"].features.source = pool.source
    evaluation = energies_only.run(NO_BASELINE, selections=[results / "pr"])
    assert np.isfinite(rmse_of(evaluation)).all()


def test_the_random_selection_is_the_one_of_that_name_or_the_first(energies_only, results):
    pr, first, second = (results / name for name in ("pr", "r0", "r1"))
    for selections, expected in (
        ([pr, first, second], 1),
        ([pr, first, f"random={second}"], 2),
        ([f"random={pr}", second], 1),
    ):
        evaluation = energies_only.run(NO_BASELINE, selections=selections)
        assert evaluation.random is evaluation.curves[expected]
    mixed = [f"random={pr}", f"random={first}"]
    assert energies_only.run(NO_BASELINE, selections=mixed).random is None


def test_the_same_file_in_another_order_is_refused(energies_only, results):
    table = results / "pr" / "selection.tsv"
    lines = [line.split("\t") for line in table.read_text().splitlines()]
    lines[2][3] = str((int(lines[2][3]) + 1) % SIZES["pool"])
    table.write_text("".join("\t".join(line) + "\n" for line in lines))
    with pytest.raises(MismatchError, match=r"another pool(.|\n)*pick 2(.|\n)*as it was given"):
        energies_only.run(NO_BASELINE, selections=[results / "pr"])


def test_picks_that_are_training_structures_are_reported(energies_only, results, caplog):
    energies_only.sets["train"] = energies_only["pool"]
    energies_only.run(NO_BASELINE, selections=[results / "pr"])
    assert "4 picks are training structures, and count twice" in caplog.text


def test_what_was_chosen_on_top_of_others_is_said(energies_only, results, caplog):
    path = results / "pr" / "report.json"
    report = json.loads(path.read_text()) | {"included": [{"index": 0}, {"index": 1}]}
    path.write_text(json.dumps(report))
    energies_only.run(NO_BASELINE, selections=[results / "pr"])
    assert "on top of 2 structures chosen before (--include)" in caplog.text


def test_another_pool_is_refused(energies_only, results):
    energies_only.sets["pool"] = energies_only["train"]
    with pytest.raises(MismatchError, match=r"another pool(.|\n)*pick 1(.|\n)*of .*pool.xyz"):
        energies_only.run(NO_BASELINE, selections=[results / "pr"])


def test_what_is_no_result_is_refused(energies_only, tmp_path):
    with pytest.raises(InputFileError, match=r"selection.tsv"):
        energies_only.run(NO_BASELINE, selections=[tmp_path])


@pytest.mark.parametrize("content", ["{}", "[]", "not json", json.dumps({"request": None})])
def test_a_report_that_says_nothing_is_refused(energies_only, results, content):
    (results / "pr" / "report.json").write_text(content)
    with pytest.raises(FormatError, match="cannot be understood"):
        energies_only.run(NO_BASELINE, selections=[results / "pr"])


def test_a_table_without_picks_is_refused(energies_only, results):
    path = results / "pr" / "selection.tsv"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(RequestError, match="holds no pick"):
        energies_only.run(NO_BASELINE, selections=[results / "pr"])


def test_more_than_was_selected_is_refused(energies_only, results):
    options = replace(NO_BASELINE, counts=(0, 5))
    with pytest.raises(RequestError, match=r"--counts(.|\n)*at most 4"):
        energies_only.run(options, selections=[results / "pr"])


# Comparison with random selections.


def compared(sets, **options):
    options = EvaluateOptions(
        **({"strategies": ("random", "pr"), "n_to_select": 3, "n_seeds": 4} | options)
    )
    return sets.run(options)


def test_the_table_says_whether_random_is_beaten(energies_only):
    evaluation = compared(energies_only)
    table = evaluation_table(evaluation)
    random, pr = (curve.errors["energy"].rmse for curve in evaluation.curves)
    n = len(random)
    assert table["beats_random"][: n + 1].tolist() == [None] * (n + 1)
    expected = [bool(pr[g, 0] < random[g].mean()) for g in range(1, n)]
    assert table["beats_random"][n + 1 :].tolist() == expected
    share = [np.mean(random[g] > pr[g, 0]) for g in range(1, n)]
    np.testing.assert_allclose(table["random_beaten"][n + 1 :].astype(float), share)


def test_the_same_structures_in_another_order_beat_nothing(energies_only):
    options = {"strategies": ("random", "pr", "fps", "leverage"), "n_to_select": SIZES["pool"]}
    table = evaluation_table(compared(energies_only, n_seeds=20, **options))
    all_of_them = (table["n_added"] == SIZES["pool"]) & (table["strategy"] != "random")
    assert table["beats_random"][all_of_them].tolist() == [False] * 3
    assert table["random_beaten"][all_of_them].tolist() == [0.0] * 3


def set_curve(evaluation, values):
    """The same evaluation in which the second curve has other errors of energies."""
    first, second = evaluation.curves
    rmse = np.array(values)[:, np.newaxis] * first.errors["energy"].rmse.mean(axis=1)[:, np.newaxis]
    errors = {"energy": replace(second.errors["energy"], rmse=rmse)}
    return replace(evaluation, curves=(first, replace(second, errors=errors)))


def test_what_does_not_beat_random_is_a_warning(energies_only, caplog):
    from prcli.workflows.evaluate_table import say_comparison

    evaluation = set_curve(compared(energies_only), [1.0, 0.5, 1.5, 1.0])
    caplog.clear()
    say_comparison(evaluation)
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    text = record.getMessage()
    assert text.startswith(
        "pr does not beat random in errors of energies at 2 of 3 numbers of structures added: RMSE "
    )
    assert text.count("against") == 2
    assert " at 2; " in text
    assert text.endswith(" at 3")


def test_what_beats_random_everywhere_is_said(energies_only, caplog):
    from prcli.workflows.evaluate_table import say_comparison

    evaluation = set_curve(compared(energies_only), [1.0, 1e-3, 1e-3, 1e-3])
    caplog.clear()
    with caplog.at_level(logging.INFO, "prcli"):
        say_comparison(evaluation)
    assert "pr beats the mean of random in errors of energies at every number" in caplog.text
    assert "every one of its draws" in caplog.text
    assert not [r for r in caplog.records if r.levelno == logging.WARNING]


def test_without_random_that_is_said(energies_only, caplog):
    with caplog.at_level(logging.INFO, "prcli"):
        energies_only.run()
    assert "there is no random selection to compare with" in caplog.text


def test_columns_of_the_table_are_stable(with_gradients, energies_only):
    options = EvaluateOptions(strategies=("random", "pr"), n_to_select=1, n_seeds=2)
    common = ("target_pr_mean", "target_pr_mean_std", "beats_random", "random_beaten")
    last = ("n_runs", "n_atoms_added", "energy_unit")
    energies = ("rmse_energy", "rmse_energy_std", "mae_energy", "mae_energy_std")
    forces = tuple(name.replace("energy", "force") for name in energies)
    table = evaluation_table(energies_only.run(options, force_weight=0.0, stress_weight=0.0))
    assert tuple(table)[:2] == ("strategy", "n_added")
    found = evaluation_table(with_gradients.run(options))
    assert tuple(found) == (
        "strategy",
        "n_added",
        *energies,
        *forces,
        *common,
        "beats_random_force",
        "random_beaten_force",
        *last,
    )
    assert set(found["energy_unit"]) == {"eV/atom"}


# Options, requests and the figure.


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"strategies": ("best",)}, r"--strategy(.|\n)*pr,random,fps,leverage(.|\n)*best"),
        ({"strategies": ("pr",)}, r"-n/--n-to-select"),
        ({"n_seeds": 0}, r"--seeds"),
        ({"counts": (1, -2)}, r"--counts"),
    ],
)
def test_options_are_checked(given, message):
    with pytest.raises(RequestError, match=message):
        EvaluateOptions(**given)


def test_an_unknown_baseline_is_refused(energies_only):
    with pytest.raises(RequestError, match=r"--baseline(.|\n)*'median'"):
        energies_only.run(EvaluateOptions(strategies=("pr",), n_to_select=1, baseline="median"))


def test_nothing_to_evaluate_is_refused(energies_only):
    with pytest.raises(RequestError, match=r"--selection, or --strategy"):
        energies_only.run(EvaluateOptions())


def test_hessian_files_are_refused(energies_only, tmp_path):
    from prcli.data.hessian_file import write_hessian

    write_hessian(tmp_path / "h.h5", hessian(energies_only["train"].features), None)
    with pytest.raises(RequestError, match=r"holds no references(.|\n)*h.h5"):
        energies_only.run(train=(str(tmp_path / "h.h5"),))


def test_the_figure_has_rigidities_above_errors(with_gradients):
    pytest.importorskip("matplotlib")
    options = EvaluateOptions(strategies=("random", "pr"), n_to_select=2, n_seeds=2)
    evaluation = with_gradients.run(options)
    (figure,) = (draw() for draw in evaluation_figures(evaluation).values())
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == [
        "mean PR of the targets",
        "RMSE of energies, eV/atom",
        "RMSE of forces, eV/Å",
    ]
    drawn = figure.axes[1].get_lines()[1].get_xydata()
    np.testing.assert_array_equal(drawn[:, 0], [0, 1, 2])
    np.testing.assert_allclose(drawn[:, 1], rmse_of(evaluation, curve=1))


def test_plots_are_written(energies_only, tmp_path):
    pytest.importorskip("matplotlib")
    energies_only.run(plots=str(tmp_path / "plots"))
    names = {path.name for path in (tmp_path / "plots").iterdir()}
    assert names == {"learning_curves.png", "learning_curves.svg"}
