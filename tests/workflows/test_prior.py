from __future__ import annotations

import gc
import logging
from dataclasses import replace

import flint
import numpy as np
import pytest
from builders import features_of

from prcli.data.dataset import Dataset, Part
from prcli.data.features import Features
from prcli.data.hessian_record import HessianRecord
from prcli.errors import FormatError, MismatchError, RankError
from prcli.numerics.rigidity import rigidities
from prcli.records import Intercept
from prcli.workflows import prior as module
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions, override
from prcli.workflows.loss_options import LossOptions
from prcli.workflows.model import (
    effective_parameters,
    full_factor,
    posterior,
    prior_root,
    row_form,
)
from prcli.workflows.prior import load_prior, prior_files, root_of
from prcli.workflows.rows import EnergyRows, RowForm

N, D, SEED = 9, 3, 5
FORM = RowForm(D)
MATRIX = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, -0.2], [0.0, -0.2, 3.0]])


def dataset(of: Features | None = None) -> Dataset:
    of = features_of(N, D, SEED) if of is None else of
    return Dataset([Part(of, range(of.n_structures))], "train")


def build(of: Features | None = None, **options) -> HessianRecord:
    return sum_hessian([dataset(of)], [], HessianOptions(**options))


# --- reading and checking -------------------------------------------------------------------


@pytest.mark.parametrize("values", [MATRIX, np.array([1.0, 0.0, 2.0])])
def test_file_and_array_are_the_same_prior(tmp_path, values):
    np.save(tmp_path / "p.npy", values)
    for choice in (tmp_path / "p.npy", str(tmp_path / "p.npy"), values, values.tolist()):
        found = load_prior(np.array(choice) if isinstance(choice, list) else choice, FORM)
        np.testing.assert_array_equal(found, values)


def test_identity_and_nothing_are_no_arrays():
    assert load_prior("identity", FORM) == "identity"
    assert load_prior(None, FORM) is None
    assert prior_files(None) == prior_files("identity") == prior_files(MATRIX) == []
    assert prior_files("p.npy") == ["p.npy"]


def test_later_changes_of_an_array_do_not_matter():
    mine = MATRIX.copy()
    record = build(prior=mine, scale="none")
    before = full_factor(record).copy()
    mine[:] = 7.0
    np.testing.assert_array_equal(full_factor(record), before)


@pytest.mark.parametrize("n", [D, D + 1])
@pytest.mark.parametrize("n_dim", [1, 2])
def test_prior_may_include_the_intercept(n, n_dim):
    values = np.arange(1.0, n + 1)
    prior = values if n_dim == 1 else np.diag(values)
    record = build(prior=prior, intercept="atom")
    root = prior_root(record)
    root = np.diag(root) if root.ndim == 1 else root
    expected = np.diag(np.concatenate([values, np.zeros(D + 1 - n)]))
    np.testing.assert_allclose(root.T @ root, expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("shape", [(D + 1,), (D, D + 1), (D + 1, D + 1), (1, D), (D, 1), ()])
def test_misshaped_prior(shape):
    with pytest.raises(FormatError, match="prior has the wrong shape") as caught:
        load_prior(np.ones(shape), FORM)
    assert "n = 3" in str(caught.value)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (np.triu(np.ones((D, D))), "not symmetric"),
        (np.array([1.0, np.nan, 1.0]), "not finite"),
        (np.diag([1.0, 1.0, -1e-9]), "not positive semidefinite"),
        (np.array([1.0, 1.0, -1e-9]), "not positive semidefinite"),
        (-np.eye(D), "not positive semidefinite"),
    ],
)
def test_unfit_prior_is_named(tmp_path, prior, message):
    np.save(tmp_path / "p.npy", prior)
    with pytest.raises(FormatError, match=message) as caught:
        load_prior(tmp_path / "p.npy", FORM)
    assert "--prior" in str(caught.value)
    assert "p.npy" in str(caught.value)


def test_unfit_prior_is_found_before_the_data_are_read():
    told: list[str] = []
    options = HessianOptions(prior=np.ones(7))
    with pytest.raises(FormatError, match="wrong shape"):
        sum_hessian([dataset()], [], options, lambda task, *_: told.append(task))
    assert told == []


# --- roots ----------------------------------------------------------------------------------


def rotation(n: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(n).normal(size=(n, n)))[0]


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_root_of_a_definite_prior(n):
    values = np.logspace(0, -6, n)
    prior = (rotation(n) * values) @ rotation(n).T
    prior = 0.5 * (prior + prior.T)
    root = root_of(prior)
    np.testing.assert_array_equal(root, np.triu(root))
    np.testing.assert_allclose(root.T @ root, prior, atol=1e-15)


def test_root_keeps_the_digits_of_small_columns():
    scale = np.array([1.0, 1e-9, 1e9])
    root = root_of(MATRIX * np.outer(scale, scale))
    np.testing.assert_allclose(root, root_of(MATRIX) * scale, rtol=1e-14)


@pytest.mark.parametrize("share", [1e-16, 1e-13, 0.99e-10])
def test_negative_eigenvalues_by_rounding_are_taken_as_zero_and_reported(caplog, share):
    Q = rotation(4)
    values = np.array([5.0, 1.0, -share, -5.0 * share])
    prior = (Q * values) @ Q.T
    prior = 0.5 * (prior + prior.T)
    with caplog.at_level(logging.WARNING):
        root = root_of(prior)
    expected = (Q * np.maximum(values, 0.0)) @ Q.T
    np.testing.assert_allclose(root.T @ root, expected, atol=1e-14)
    if share > 1e-15:
        assert "2 of 4 eigenvalues of the prior are negative by rounding" in caplog.text
        assert f"{-5.0 * share:.2g} ({share:.0e} of the largest)" in caplog.text


def test_negative_entries_by_rounding_are_taken_as_zero_and_reported(caplog):
    with caplog.at_level(logging.WARNING):
        root = root_of(np.array([4.0, -1e-11, 0.0]))
    np.testing.assert_array_equal(root, [2.0, 0.0, 0.0])
    assert "1 of 3 entries of the prior are negative by rounding, down to -1e-11" in caplog.text


def test_rounding_is_reported_once_for_a_prior(caplog):
    with caplog.at_level(logging.WARNING):
        record = build(prior=np.array([1.0, 1.0, -1e-12]), scale="none")
        full_factor(record)
        posterior(replace(record, regularizer=1.0))
    assert caplog.text.count("negative by rounding") == 1


def test_rounding_of_a_stored_prior_is_reported_too(caplog):
    record = replace(build(), prior=np.array([1.0, 1.0, -1e-12]))
    with caplog.at_level(logging.WARNING):
        full_factor(record)
    assert "negative by rounding" in caplog.text


def test_roots_are_forgotten_with_their_priors():
    known_before = len(module._roots)
    prior = MATRIX.copy()
    assert root_of(prior) is root_of(prior)
    assert len(module._roots) == known_before + 1
    del prior
    gc.collect()
    assert len(module._roots) == known_before


def test_prior_of_zeros_leaves_everything_to_the_data():
    record = build(prior=np.zeros((D, D)), scale="none", regularizer=1.0)
    np.testing.assert_allclose(np.abs(full_factor(record)), np.abs(record.R["energy"]), rtol=1e-13)


# --- choosing -------------------------------------------------------------------------------


def halves(**options) -> list[HessianRecord]:
    table = features_of(N, D, SEED)
    parts = [Dataset([Part(table, each)], "train") for each in (range(4), range(4, N))]
    return [
        sum_hessian([part], [], HessianOptions(scale="none", prior=prior))
        for part, prior in zip(parts, (MATRIX, options.get("other", MATRIX)), strict=True)
    ]


def test_files_with_equal_priors_merge():
    merged = sum_hessian([], halves(), HessianOptions())
    np.testing.assert_array_equal(merged.prior, MATRIX)
    np.testing.assert_allclose(
        np.abs(full_factor(merged)),
        np.abs(full_factor(build(prior=MATRIX, scale="none"))),
        rtol=1e-12,
    )


@pytest.mark.parametrize("other", [None, 2.0 * MATRIX, np.ones(D)])
def test_files_that_differ_in_their_prior_need_the_option(other):
    records = halves(other=other)
    with pytest.raises(MismatchError, match="differ in their prior") as caught:
        sum_hessian([], records, HessianOptions())
    assert "--prior" in str(caught.value)
    assert sum_hessian([], records, HessianOptions(prior="identity")).prior is None
    merged = sum_hessian([], records, HessianOptions(prior=np.ones(D)))
    np.testing.assert_array_equal(merged.prior, np.ones(D))


def test_prior_of_a_file_holds_for_the_data_beside_it():
    merged = sum_hessian(
        [dataset()], [replace(halves()[0], digests=np.empty(0, np.uint64))], HessianOptions()
    )
    np.testing.assert_array_equal(merged.prior, MATRIX)


def test_finished_hessian_takes_another_prior(tmp_path, caplog):
    record = replace(build(prior=MATRIX, scale="none"), alpha_energy=0.1)
    np.save(tmp_path / "p.npy", 2.0 * MATRIX)
    with caplog.at_level(logging.WARNING):
        changed = override(record, HessianOptions(prior=tmp_path / "p.npy"))
    expected = build(prior=2.0 * MATRIX, scale="none")
    np.testing.assert_allclose(full_factor(changed), full_factor(expected), rtol=1e-14)
    assert changed.alpha_energy is None
    assert "prior full, 3 x 3 of the Hessian file is overridden by full, 3 x 3" in caplog.text


def test_the_same_prior_changes_nothing(caplog):
    record = replace(build(prior=MATRIX, scale="none"), alpha_energy=0.1)
    with caplog.at_level(logging.WARNING):
        assert override(record, HessianOptions(prior=MATRIX)).alpha_energy == 0.1
        assert override(build(), HessianOptions(prior="identity")).prior is None
    assert caplog.text == ""


def test_matrix_meets_a_scale_that_nobody_asked_for(caplog):
    with caplog.at_level(logging.WARNING):
        build(prior=MATRIX, scale="none")
        build(prior=MATRIX, scale="atom-rms")
        build(prior=np.ones(D))
    assert caplog.text == ""
    with caplog.at_level(logging.WARNING):
        build(prior=MATRIX)
    assert "a kernel matrix needs --scale none" in caplog.text


@pytest.mark.parametrize(("scale", "n_warnings"), [(None, 1), ("none", 0)])
def test_matrix_for_a_finished_hessian_meets_its_scale(caplog, scale, n_warnings):
    record = build(scale=scale)
    with caplog.at_level(logging.WARNING):
        changed = override(record, HessianOptions(prior=MATRIX))
        override(changed, HessianOptions(regularizer=1e-3))
    assert caplog.text.count("a kernel matrix needs --scale none") == n_warnings


def test_singular_hessian_names_the_prior():
    rows = np.array([[1.0, 1.0, 0.0]])
    record = build(Features(rows), prior=np.array([1.0, 1.0, 0.0]), scale="none")
    with pytest.raises(RankError, match="rank 2 of 3") as caught:
        full_factor(record)
    assert "with a prior diagonal, 3" in str(caught.value)


# --- against the formula --------------------------------------------------------------------


def exact(array: np.ndarray) -> flint.arb_mat:
    """Intervals of width zero, for arithmetic of 1000 bits."""
    flint.ctx.prec = 1000
    return flint.arb_mat(*array.shape, array.ravel().tolist())


def known(value: flint.arb) -> float:
    """Float64 of an interval, which must be narrow enough to have one."""
    assert value.rad() <= 1e-20 * abs(value.mid())
    return float(value.mid())


def exact_rigidities(
    rows: np.ndarray,
    weights: np.ndarray,
    prior: np.ndarray,
    regularizer: float,
    targets: np.ndarray,
) -> np.ndarray:
    """PR = 1/(gᵀ (Gᵀ Λ G + ς² P)⁻¹ g)."""
    G, T = exact(rows), exact(targets)
    H = G.transpose() * exact(np.diag(weights)) * G + exact(prior) * flint.arb(regularizer)
    solved = H.solve(T.transpose())
    n = prior.shape[0]
    return np.array(
        [
            1.0 / known(sum((T[t, i] * solved[i, t] for i in range(n)), flint.arb(0)))
            for t in range(len(targets))
        ]
    )


def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared exponential of unit width."""
    return np.exp(-0.5 * (x[:, np.newaxis] - y) ** 2)


def sparse_model(basis: np.ndarray, matrix: np.ndarray, regularizer: float):
    """A sparse Gaussian process: K_NM as features, K_MM as prior, weights as a column.

    Gives rigidities as they are found, and by the formula.
    """
    rng = np.random.default_rng(2)
    train, targets = rng.uniform(0.0, 6.0, 200), rng.uniform(-0.5, 6.5, 8)
    weights = rng.uniform(0.5, 3.0, len(train))
    record = build(
        Features(kernel(train, basis), columns={"w": weights}),
        prior=matrix,
        scale="none",
        regularizer=regularizer,
        loss=LossOptions(weight_key="w"),
    )
    found = rigidities(kernel(targets, basis), full_factor(record))
    values, vectors = np.linalg.eigh(matrix)
    negative = vectors[:, values < 0.0]
    clipped = matrix - (negative * values[values < 0.0]) @ negative.T
    expected = exact_rigidities(
        kernel(train, basis), weights, clipped, regularizer, kernel(targets, basis)
    )
    return found, expected


@pytest.mark.parametrize("regularizer", [1.0, 1e-3, 1e-6])
def test_kernel_model_agrees_with_the_formula(regularizer):
    basis = np.linspace(0.0, 6.0, 7)
    found, expected = sparse_model(basis, kernel(basis, basis), regularizer)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("regularizer", [1e-5, 1e-8])
def test_kernel_model_with_a_numerically_indefinite_matrix(caplog, regularizer):
    # Two points have a neighbour 1e-6 apart, whose kernel some normalization has rounded to more
    # than 1: K_MM has eigenvalues of -1e-13. K_NM still tells the points apart, to 1e-10 of what
    # differs; what rounding leaves of the clipped eigenvalues, 1e-16, weighs nothing beside it.
    basis = np.linspace(0.0, 6.0, 7)
    basis = np.sort(np.concatenate([basis, basis[[1, 5]] + 1e-6]))
    matrix = kernel(basis, basis)
    for i, j in ((1, 2), (6, 7)):
        matrix[i, j] = matrix[j, i] = 1.0 + 1e-13
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.cholesky(matrix)
    with caplog.at_level(logging.WARNING):
        found, expected = sparse_model(basis, matrix, regularizer)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert "2 of 9 eigenvalues of the prior are negative by rounding" in caplog.text


def test_kernel_model_with_dependent_points_is_refused():
    # Nothing is added to the diagonal to hide that a point is there twice.
    basis = np.linspace(0.0, 6.0, 40)
    with pytest.raises(RankError, match="of 40") as caught:
        sparse_model(basis, kernel(basis, basis), 1e-5)
    assert "basis points of a kernel" in str(caught.value)


def test_kernel_model_with_all_points_is_the_full_one():
    # With every training point as basis point, PR of a row is that of Gaussian process
    # regression: 1/PR = ς⁻² (k** − k*ᵀ (K + ς² Λ⁻¹)⁻¹ k*) within the span of the basis.
    basis = np.linspace(0.0, 6.0, 6)
    targets = np.array([0.3, 2.2])
    regularizer = 1e-3
    record = build(
        Features(kernel(basis, basis)),
        prior=kernel(basis, basis),
        scale="none",
        regularizer=regularizer,
    )
    K, k = kernel(basis, basis), kernel(targets, basis)
    spanned = np.einsum("ti,ti->t", k, np.linalg.solve(K, k.T).T)
    reduced = np.linalg.solve(K + regularizer * np.eye(len(basis)), k.T).T
    variance = (spanned - np.einsum("ti,ti->t", k, reduced)) / regularizer
    found = rigidities(kernel(targets, basis), full_factor(record))
    np.testing.assert_allclose(found, 1.0 / variance, rtol=1e-8)


@pytest.mark.parametrize("intercept", ["none", "atom"])
@pytest.mark.parametrize("scale", ["none", 0.3])
def test_smoothness_prior_agrees_with_the_formula(intercept, scale):
    # A diagonal that grows with the degree of a descriptor; it refers to scaled features.
    prior = np.array([0.0, 1.0, 16.0])
    record = build(prior=prior, scale=scale, regularizer=1e-4, intercept=intercept)
    n_free = record.n_columns - D
    s = 1.0 if scale == "none" else scale
    divisors = np.concatenate([np.full(D, s), np.ones(n_free)])
    rows = np.vstack([block for _, block in _energy_rows(record)])
    targets = np.random.default_rng(0).normal(size=(5, record.n_columns))
    full = np.diag(np.concatenate([prior, np.zeros(n_free)]))
    expected = exact_rigidities(
        rows / divisors, np.ones(N), full, record.regularizer, targets / divisors
    )
    np.testing.assert_allclose(rigidities(targets, full_factor(record)), expected, rtol=1e-11)


def _energy_rows(record: HessianRecord):
    return EnergyRows(dataset(), row_form(record)).blocks()


def exact_effective(rows: np.ndarray, prior: np.ndarray, regularizer: float) -> float:
    """D' − ς² tr(H⁻¹ P)."""
    G, P = exact(rows), exact(prior) * flint.arb(regularizer)
    solved = (G.transpose() * G + P).solve(P)
    n = prior.shape[0]
    return known(flint.arb(n) - sum((solved[i, i] for i in range(n)), flint.arb(0)))


@pytest.mark.parametrize("regularizer", [1e-12, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize("prior", [None, MATRIX])
def test_effective_number_of_parameters(regularizer, prior):
    record = build(prior=prior, scale="none", regularizer=regularizer)
    rows = np.vstack([block for _, block in _energy_rows(record)])
    expected = exact_effective(rows, np.eye(D) if prior is None else prior, regularizer)
    assert effective_parameters(record) == pytest.approx(expected, rel=1e-12)


def test_intercept_that_is_free_counts_as_a_whole_parameter():
    rows = np.random.default_rng(0).normal(size=(20, D))
    record = build(Features(rows), scale="none", regularizer=1e12, intercept="atom")
    assert record.intercept == Intercept("atom")
    assert effective_parameters(record) == pytest.approx(1.0, abs=1e-8)
