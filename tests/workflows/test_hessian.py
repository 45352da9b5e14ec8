from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from builders import assert_same_hessian, atoms_for, counts_of, features_of, sums_of
from hypothesis import given
from hypothesis import strategies as st

from prcli.data.dataset import Dataset, Part
from prcli.data.features import Features
from prcli.data.hessian_record import HessianRecord
from prcli.errors import DuplicateRowsError, FeatureError, MismatchError, RequestError
from prcli.records import Intercept
from prcli.workflows import rows, training_rows
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions, override

N, D, SEED = 9, 3, 5


def dataset(*positions: range, table: Features | None = None) -> Dataset:
    table = table or features_of(N, D, SEED)
    return Dataset([Part(table, p) for p in positions or (range(N),)], "train")


def build(*positions: range, **options: object) -> HessianRecord:
    return sum_hessian([dataset(*positions)], [], HessianOptions(**options))  # type: ignore[arg-type]


def rows_of(energy: str, intercept: str) -> np.ndarray:
    """Rows of the design matrix, written out."""
    counts = counts_of(N, SEED)
    table = features_of(N, D, SEED)
    columns = [sums_of(atoms_for(counts, D, SEED), counts)]
    if intercept == "atom":
        columns.append(counts[:, np.newaxis].astype(float))
    if intercept == "species":
        hits = np.asarray(table.species)[:, np.newaxis] == np.array([1, 6, 8])
        columns.append(sums_of(hits.astype(float), counts))
    total = np.hstack(columns)
    return total if energy == "total" else total / counts[:, np.newaxis]


@pytest.mark.parametrize("energy", ["per-atom", "total"])
@pytest.mark.parametrize("intercept", ["none", "atom", "species"])
def test_factor_is_the_root_of_the_rows(energy, intercept):
    record = build(energy=energy, intercept=intercept)
    factor, expected = record.R["energy"], rows_of(energy, intercept)
    np.testing.assert_allclose(factor.T @ factor, expected.T @ expected, rtol=1e-12)
    np.testing.assert_array_equal(factor, np.triu(factor))
    assert record.n_rows == {"energy": N}
    assert record.intercept.kind == intercept
    assert record.intercept.species == ((1, 6, 8) if intercept == "species" else ())


@pytest.mark.parametrize("energy", ["per-atom", "total"])
def test_sums_that_give_the_scale(energy):
    counts = counts_of(N, SEED)
    atoms = atoms_for(counts, D, SEED)
    means = sums_of(atoms, counts) / counts[:, np.newaxis]
    record = build(energy=energy)
    assert record.sum_sq_atoms == pytest.approx((atoms**2).sum(), rel=1e-12)
    assert record.n_atoms == len(atoms)
    assert record.sum_sq_structures == pytest.approx((means**2).sum(), rel=1e-12)
    assert record.n_structures == N
    assert record.scale == pytest.approx(np.sqrt((atoms**2).sum() / len(atoms)), rel=1e-12)


@pytest.mark.parametrize("convention", ["mean", "sum"])
@pytest.mark.parametrize("energy", ["per-atom", "total"])
def test_convention_of_the_features_does_not_matter(convention, energy):
    counts = counts_of(N, SEED)
    given = sums_of(atoms_for(counts, D, SEED), counts)
    if convention == "mean":
        given = given / counts[:, np.newaxis]
    table = Features(given, n_atoms=counts, convention=convention)
    record = sum_hessian([dataset(table=table)], [], HessianOptions(energy=energy))
    expected = build(energy=energy, scale="structure-rms")
    np.testing.assert_allclose(np.abs(record.R["energy"]), np.abs(expected.R["energy"]), rtol=1e-9)
    assert record.scale_rule == "structure-rms"
    assert record.scale == pytest.approx(expected.scale, rel=1e-12)


@given(st.lists(st.integers(1, N - 1), max_size=4), st.lists(st.booleans(), min_size=5, max_size=5))
def test_any_partition_in_any_mix_is_the_union(cuts, finished):
    edges = sorted({0, N, *cuts})
    parts = [range(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    flags = finished[: len(parts)]
    records = [build(part) for part, done in zip(parts, flags, strict=True) if done]
    data = [dataset(part) for part, done in zip(parts, flags, strict=True) if not done]
    assert_same_hessian(build(), sum_hessian(data, records, HessianOptions()))


@pytest.mark.parametrize("n_bytes", [8, 8 * 3 * 7, 1 << 20])
@pytest.mark.parametrize("step", [1, 2, -1])
def test_size_of_the_blocks_does_not_matter(monkeypatch, n_bytes, step):
    # A structure of 500 atoms reaches across the borders of small blocks.
    counts = np.array([3, 500, 1, 1, 200, 2])
    table = Features(atoms=atoms_for(counts, D), n_atoms=counts)
    expected = sum_hessian([dataset(range(6)[::step], table=table)], [], HessianOptions())
    monkeypatch.setattr(rows, "BLOCK_BYTES", n_bytes)
    monkeypatch.setattr(training_rows, "BLOCK_BYTES", n_bytes)
    found = sum_hessian([dataset(range(6)[::step], table=table)], [], HessianOptions())
    assert_same_hessian(expected, found)


def test_nothing_to_sum():
    with pytest.raises(RequestError, match="nothing to build"):
        sum_hessian([], [], HessianOptions())


def halves(**changes: object) -> list[HessianRecord]:
    return [build(range(4)), replace(build(range(4, N)), **changes)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"regularizer": 1e-3}, "regularizer"),
        ({"scale_rule": "none"}, "scale"),
        ({"energy": "total"}, "energy"),
        ({"intercept": Intercept("atom")}, "intercept"),
        ({"energy_weight": 2.0}, "energy_weight"),
        ({"reduction": "mean"}, "reduction"),
        ({"prior": np.ones(D)}, "prior"),
    ],
)
def test_files_that_disagree_are_refused(changes, name):
    with pytest.raises(MismatchError, match=f"differ in (their )?{name}"):
        sum_hessian([], halves(**changes), HessianOptions())


def test_files_with_the_same_prior_merge():
    records = [replace(record, prior=np.ones(D)) for record in halves()]
    merged = sum_hessian([], records, HessianOptions())
    np.testing.assert_array_equal(merged.prior, np.ones(D))


def test_fixed_scales_that_differ_need_the_option():
    records = [build(range(4), scale=2.0), build(range(4, N), scale=3.0)]
    with pytest.raises(MismatchError, match="scale"):
        sum_hessian([], records, HessianOptions())
    assert sum_hessian([], records, HessianOptions(scale=3.0)).scale == 3.0
    same = [build(range(4), scale=2.0), build(range(4, N), scale=2.0)]
    merged = sum_hessian([], same, HessianOptions())
    assert (merged.scale_rule, merged.scale) == ("value", 2.0)


def test_scale_of_the_atoms_needs_atoms_everywhere():
    counts = counts_of(4, 8)
    means = Features(np.arange(4.0 * D).reshape(4, D), n_atoms=counts)
    record = build()
    with pytest.raises(FeatureError, match="atom-rms needs features of atoms"):
        sum_hessian([dataset(range(4), table=means)], [record], HessianOptions())
    options = HessianOptions(scale="structure-rms")
    merged = sum_hessian([dataset(range(4), table=means)], [record], options)
    assert merged.n_atoms == 0
    assert merged.sum_sq_atoms == 0.0


def test_calibration_is_dropped_with_a_message(caplog):
    records = [replace(record, alpha_energy=0.1, alpha_force=0.2) for record in halves()]
    with caplog.at_level(logging.WARNING):
        merged = sum_hessian([], records, HessianOptions())
    assert merged.alpha_energy is merged.alpha_force is None
    assert "calibration no longer holds" in caplog.text


def test_one_calibrated_file_stays_calibrated(caplog):
    record = replace(build(), alpha_energy=0.1)
    assert sum_hessian([], [record], HessianOptions()).alpha_energy == 0.1
    same = HessianOptions(regularizer=record.regularizer, scale=record.scale_rule)
    assert sum_hessian([], [record], same).alpha_energy == 0.1
    assert caplog.text == ""


@pytest.mark.parametrize("option", [{"regularizer": 1e-3}, {"scale": 3.0}, {"scale": "none"}])
@pytest.mark.parametrize("apply", [override, lambda r, o: sum_hessian([], [r], o)])
def test_option_overrides_a_file_and_ends_its_calibration(caplog, option, apply):
    record = replace(build(), alpha_force=0.1)
    with caplog.at_level(logging.WARNING):
        changed = apply(record, HessianOptions(**option))
    assert changed.alpha_force is None
    name = next(iter(option))
    assert f"{name} {getattr(record, name):.6g} of the Hessian file is overridden" in caplog.text
    assert "calibration no longer holds" in caplog.text


@pytest.mark.parametrize("option", [{"energy": "total"}, {"intercept": "atom"}])
def test_option_cannot_change_rows(option):
    name = next(iter(option))
    with pytest.raises(MismatchError, match=f"--{name} contradicts"):
        sum_hessian([], [build()], HessianOptions(**option))


def test_rows_of_a_file_decide_those_of_the_data():
    merged = sum_hessian(
        [dataset(range(4, N))], [build(range(4), energy="total")], HessianOptions()
    )
    assert_same_hessian(merged, build(energy="total"))


def test_duplicates_are_refused_with_an_example():
    with pytest.raises(DuplicateRowsError, match="2 of 11") as caught:
        build(range(N), range(3, 5))
    assert "features 5, structure 3 and features 5, structure 3" in str(caught.value)
    assert "--allow-duplicates" in str(caught.value)
    assert build(range(N), range(3, 5), allow_duplicates=True).n_structures == 11


@pytest.mark.parametrize(
    "option",
    [{"regularizer": -1e-9}, {"regularizer": float("nan")}, {"regularizer": "some"}]
    + [{"scale": 0.0}, {"scale": -1.0}, {"scale": float("inf")}, {"scale": "rms"}],
)
def test_numbers_out_of_range(option):
    with pytest.raises(RequestError, match="is not valid"):
        HessianOptions(**option)


def test_zero_features_have_no_scale():
    table = Features(np.zeros((2, 3)), n_atoms=[1, 2])
    with pytest.raises(FeatureError, match="all training features are zero"):
        sum_hessian([dataset(range(2), table=table)], [], HessianOptions())


def test_rounding_of_float32_is_warned_of(caplog):
    rows32 = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    data = dataset(range(50), table=Features(rows32))
    with caplog.at_level(logging.WARNING):
        sum_hessian([data], [], HessianOptions(regularizer=1e-5))
        assert caplog.text == ""
        sum_hessian([data], [], HessianOptions(regularizer=1e-14))
    assert "rounding of float32 features" in caplog.text


def test_species_need_elements():
    table = Features(atoms=np.ones((3, 2)), n_atoms=[1, 2])
    with pytest.raises(FeatureError, match="elements of the atoms are not known"):
        sum_hessian([dataset(range(2), table=table)], [], HessianOptions(intercept="species"))


def test_element_that_no_training_structure_holds():
    record = build(intercept="species")
    other = features_of(2, D, 8, species=[14] * int(counts_of(2, 8).sum()))
    data = dataset(range(2), table=other)
    with pytest.raises(MismatchError, match="Si") as caught:
        sum_hessian([data], [record], HessianOptions())
    assert "H, C, O" in str(caught.value)


def test_duplicate_of_a_row_in_a_file_is_placed():
    with pytest.raises(DuplicateRowsError) as caught:
        sum_hessian([dataset(range(6, N), range(2, 4))], [build(range(4))], HessianOptions())
    assert "structure 2 of Hessian file 0 and features 5, structure 2" in str(caught.value)


@pytest.mark.parametrize(("kind", "said"), [("descriptor", True), ("last-layer", False)])
def test_descriptors_of_a_network_are_told_from_its_last_layer(kind, said, caplog):
    sum_hessian([dataset(range(6), table=features_of(6, feature_kind=kind))], [], HessianOptions())
    assert ("descriptors of a network" in caplog.text) == said
