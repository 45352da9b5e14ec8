from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from builders import (
    assert_same_hessian,
    atoms_for,
    counts_of,
    features_of,
    gradients_of,
    sums_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from prcli.data.dataset import Dataset, Part
from prcli.data.features import Features
from prcli.data.hessian_record import HessianRecord
from prcli.data.row_array import ArrayRows
from prcli.errors import FeatureError, MismatchError, RequestError
from prcli.records import Loss
from prcli.workflows import rows
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions, override
from prcli.workflows.loss_options import LossOptions
from prcli.workflows.model import data_factor, full_factor, kind_weight

N, D, SEED = 9, 3, 5
COUNTS = counts_of(N, SEED)
KINDS = ("energy", "force", "stress")
WEIGHTS = np.random.default_rng(1).uniform(0.1, 2.0, (2, N))
COLUMNS = {"w": WEIGHTS[0], "f": WEIGHTS[1]}


def table(*, forces=None, stresses=None, reduced=False, **parts) -> Features:
    """Features with gradient rows of some structures, by default of all."""
    gradients = gradients_of(COUNTS, D, SEED, forces=forces, stresses=stresses, reduced=reduced)
    return features_of(N, D, SEED, columns=COLUMNS, **gradients, **parts)


def energies_only() -> Features:
    return features_of(N, D, SEED, columns=COLUMNS)


def dataset(*positions: range, of: Features | None = None) -> Dataset:
    of = table() if of is None else of
    return Dataset([Part(of, each) for each in positions or (range(N),)], "train")


def build(*positions: range, of: Features | None = None, **options) -> HessianRecord:
    return sum_hessian([dataset(*positions, of=of)], [], HessianOptions(**options))


def products(record: HessianRecord) -> dict[str, np.ndarray]:
    return {kind: factor.T @ factor for kind, factor in record.R.items()}


def gradient_rows(kind: str, structures=range(N)) -> np.ndarray:
    """Rows of one kind and some structures, written out."""
    parts = gradients_of(COUNTS, D, SEED)
    mine = parts["gradient_kind"] == {"force": 1, "stress": 2}[kind]
    return parts["gradients"][mine & np.isin(parts["gradient_structure"], list(structures))]


def energy_rows() -> np.ndarray:
    return sums_of(atoms_for(COUNTS, D, SEED), COUNTS) / COUNTS[:, np.newaxis]


@pytest.mark.parametrize("intercept", ["none", "atom", "species"])
def test_each_kind_of_row_has_its_factor(intercept):
    record = build(intercept=intercept)
    assert record.n_rows == {"energy": N, "force": 3 * COUNTS.sum(), "stress": 6 * N}
    for kind in ("force", "stress"):
        expected = np.zeros((record.n_columns, record.n_columns))
        expected[:D, :D] = gradient_rows(kind).T @ gradient_rows(kind)
        np.testing.assert_allclose(products(record)[kind], expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(record.R[kind], np.triu(record.R[kind]))


def test_kinds_that_are_absent_have_no_factor():
    record = build(of=table(stresses=()))
    assert set(record.R) == {"energy", "force"}
    assert set(build(of=energies_only()).R) == {"energy"}


def test_structures_without_gradients_are_passed_over():
    record = build(of=table(forces=(1, 4), stresses=(4, 8)))
    assert record.n_rows == {"energy": N, "force": 3 * (COUNTS[1] + COUNTS[4]), "stress": 12}


@pytest.mark.parametrize("positions", [range(0, N, 2), range(N - 1, -1, -1), range(3, 4)])
def test_slices_take_the_gradients_of_their_structures(positions):
    of = table()
    record = build(positions, of=of)
    parts = gradients_of(COUNTS, D, SEED)
    for kind, code in (("force", 1), ("stress", 2)):
        chosen = np.isin(of.gradients.structure, list(positions)) & (of.gradients.kind == code)
        expected = parts["gradients"][chosen]
        np.testing.assert_allclose(products(record)[kind], expected.T @ expected, rtol=1e-11)
        assert record.n_rows[kind] == len(expected)


@pytest.mark.parametrize("n_bytes", [8, 8 * 3 * 70])
def test_size_of_the_blocks_does_not_matter(monkeypatch, n_bytes):
    # A structure of 300 atoms is taken in pieces.
    counts = np.array([2, 300, 1, 40])
    parts = gradients_of(counts, D, 3)
    large = Features(atoms=atoms_for(counts, D), n_atoms=counts, **parts)
    expected = sum_hessian([dataset(range(4), of=large)], [], HessianOptions())
    monkeypatch.setattr(rows, "BLOCK_BYTES", n_bytes)
    found = sum_hessian([dataset(range(4), of=large)], [], HessianOptions())
    assert_same_hessian(expected, found)


def test_reduced_rows_count_as_what_they_were():
    whole = gradients_of(COUNTS, D, SEED)
    blocks = [
        np.linalg.qr(whole["gradients"][mine], mode="r")
        for i in range(N)
        for code in (1, 2)
        if (mine := (whole["gradient_structure"] == i) & (whole["gradient_kind"] == code)).any()
    ]
    parts = gradients_of(COUNTS, D, SEED, reduced=True) | {"gradients": np.concatenate(blocks)}
    assert_same_hessian(build(), build(of=features_of(N, D, SEED, **parts)))


def test_gradients_do_not_change_the_scale():
    one, other = build(), build(of=energies_only())
    assert one.scale == other.scale
    assert one.scale_rule == other.scale_rule == "atom-rms"


def test_progress_is_told_to_the_last_row():
    told: dict[str, tuple[int, int | None]] = {}
    sum_hessian([dataset()], [], HessianOptions(), lambda task, *at: told.update({task: at}))
    assert told["gradients"] == (len(table().gradients.kind),) * 2
    assert told["hessian"] == (N, N)


# --- weights of the kinds -------------------------------------------------------------------


def stacked(weights: dict[str, float]) -> np.ndarray:
    """Sum over all rows with weights of their kinds."""
    parts = {"energy": energy_rows()} | {kind: gradient_rows(kind) for kind in KINDS[1:]}
    return sum(weights[kind] * parts[kind].T @ parts[kind] for kind in KINDS)


@pytest.mark.parametrize(
    "weights",
    [(1.0, 1.0, 1.0), (0.0, 2.0, 0.5), (3.0, 0.0, 0.0), (1e-3, 0.0, 1e3), (0.0, 1.0, 0.0)],
)
def test_weights_multiply_the_kinds(weights):
    names = dict(zip(KINDS, weights, strict=True))
    record = build(**{f"{kind}_weight": weight for kind, weight in names.items()})
    factor = data_factor(record)
    np.testing.assert_allclose(factor.T @ factor, stacked(names), rtol=1e-12)


def test_default_weights_are_said(caplog):
    with caplog.at_level(logging.INFO):
        record = build(of=table(stresses=()))
    assert (record.energy_weight, record.force_weight, record.stress_weight) == (1.0, 1.0, 0.0)
    assert "weights by default: --energy-weight 1, --force-weight 1" in caplog.text
    assert "stress" not in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        build(of=table(stresses=()), force_weight=3.0)
    assert "weights by default: --energy-weight 1\n" in caplog.text


def test_energies_alone_need_no_word_on_weights(caplog):
    with caplog.at_level(logging.INFO):
        record = build(of=energies_only())
    assert (record.energy_weight, record.force_weight, record.stress_weight) == (1.0, 0.0, 0.0)
    assert "weights" not in caplog.text


@pytest.mark.parametrize("kind", ["force", "stress"])
def test_weight_needs_rows(kind):
    with pytest.raises(RequestError, match=f"no {kind} rows") as caught:
        build(of=energies_only(), **{f"{kind}_weight": 2.0})
    assert f"--{kind}-weight" in str(caught.value)
    assert build(of=energies_only(), **{f"{kind}_weight": 0.0}).n_rows == {"energy": N}


def test_some_kind_must_have_weight():
    with pytest.raises(RequestError, match="no row has any weight") as caught:
        build(of=energies_only(), energy_weight=0.0)
    assert "--energy-weight" in str(caught.value)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_out_of_range(kind, weight):
    with pytest.raises(RequestError, match=f"weight of the {kind} rows is not valid") as caught:
        HessianOptions(**{f"{kind}_weight": weight})
    assert f"--{kind}-weight" in str(caught.value)


def test_unknown_reduction():
    with pytest.raises(RequestError, match="reduction is not known"):
        HessianOptions(reduction="median")


@pytest.mark.parametrize(
    "option",
    [
        {"force_weight": 10.0},
        {"energy_weight": 0.0},
        {"stress_weight": 0.0},
        {"reduction": "mean"},
        {"force_weight": 3.0, "reduction": "mean", "scale": 2.0, "regularizer": 1e-3},
    ],
)
def test_finished_hessian_is_weighed_anew_without_the_data(option):
    changed = override(build(), HessianOptions(**option))
    expected = build(**option)
    np.testing.assert_allclose(
        np.abs(full_factor(changed)), np.abs(full_factor(expected)), rtol=1e-12
    )
    merged = sum_hessian([], [build()], HessianOptions(**option))
    np.testing.assert_array_equal(full_factor(merged), full_factor(changed))


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"force_weight": 10.0}, "force_weight 1 of the Hessian file is overridden by 10"),
        ({"reduction": "mean"}, "reduction sum of the Hessian file is overridden by mean"),
    ],
)
def test_weighing_anew_is_said_and_ends_the_calibration(caplog, option, said):
    record = replace(build(), alpha_energy=0.1)
    with caplog.at_level(logging.WARNING):
        changed = override(record, HessianOptions(**option))
    assert changed.alpha_energy is None
    assert said in caplog.text
    assert "calibration no longer holds" in caplog.text


def test_the_same_weights_change_nothing(caplog):
    record = replace(build(), alpha_energy=0.1)
    same = HessianOptions(energy_weight=1.0, force_weight=1.0, stress_weight=1.0, reduction="sum")
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert override(record, same).alpha_energy == 0.1
    assert caplog.text == ""


def test_finished_hessian_without_forces_gets_no_weight_for_them():
    with pytest.raises(RequestError, match="no force rows"):
        override(build(of=energies_only()), HessianOptions(force_weight=1.0))


def test_mean_averages_each_kind_over_its_rows():
    record = build(reduction="mean", energy_weight=2.0, force_weight=100.0, stress_weight=5.0)
    n_forces, n_stresses = 3 * int(COUNTS.sum()), 6 * N
    assert kind_weight(record, "energy") == 2.0
    assert kind_weight(record, "force") == 100.0 * N / n_forces
    # N times the sum of the means over each kind.
    factor = data_factor(record)
    means = {"energy": 2.0 / N, "force": 100.0 / n_forces, "stress": 5.0 / n_stresses}
    np.testing.assert_allclose(factor.T @ factor, N * stacked(means), rtol=1e-12)


def without_energies() -> HessianRecord:
    record = build()
    return replace(
        record,
        R={kind: record.R[kind] for kind in ("force", "stress")},
        n_rows={kind: record.n_rows[kind] for kind in ("force", "stress")},
    )


def test_mean_needs_energies():
    with pytest.raises(RequestError, match="relates weights to the number of energies") as caught:
        override(without_energies(), HessianOptions(reduction="mean"))
    assert "--reduction" in str(caught.value)


def test_hessian_without_energies_can_be_used():
    record = override(without_energies(), HessianOptions(stress_weight=0.0))
    factor = data_factor(record)
    rows_ = gradient_rows("force")
    np.testing.assert_allclose(factor.T @ factor, rows_.T @ rows_, rtol=1e-12)


# --- merging --------------------------------------------------------------------------------

WEIGHED = LossOptions(weight_key="w", force_weight_key="f", stress_components=9)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(1, N - 1), max_size=4),
    st.lists(st.booleans(), min_size=5, max_size=5),
    st.sampled_from(["none", "atom"]),
)
def test_any_partition_in_any_mix_is_the_union(cuts, finished, intercept):
    of = table(forces=(0, 1, 5, 6, 8), stresses=(2, 3, 5))
    options = {"loss": WEIGHED, "intercept": intercept}
    edges = sorted({0, N, *cuts})
    parts = [range(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    flags = finished[: len(parts)]
    records = [build(p, of=of, **options) for p, done in zip(parts, flags, strict=True) if done]
    data = [dataset(p, of=of) for p, done in zip(parts, flags, strict=True) if not done]
    # Files alone need not be told how their rows were weighed; indeed they cannot be.
    given_ = HessianOptions(**options) if data else HessianOptions()
    merged = sum_hessian(data, records, given_)
    union = build(of=of, **options)
    assert_same_hessian(union, merged)
    assert merged.loss == union.loss
    assert set(merged.weights) <= set(union.weights)
    for name in ("energy_weight", "force_weight", "stress_weight"):
        assert getattr(merged, name) == getattr(union, name)


def test_files_need_not_agree_on_weights_of_rows_that_they_have_not():
    energies = build(range(4), of=energies_only())
    forces = build(range(4, N), force_weight=7.0, stress_weight=3.0)
    for order in ([energies, forces], [forces, energies]):
        merged = sum_hessian([], order, HessianOptions())
        assert (merged.force_weight, merged.stress_weight) == (7.0, 3.0)
        assert merged.n_rows["force"] == forces.n_rows["force"]


@pytest.mark.parametrize("kind", KINDS)
def test_files_that_disagree_on_weights_need_the_option(kind):
    name = f"{kind}_weight"
    records = [build(range(4)), build(range(4, N), **{name: 2.0})]
    with pytest.raises(MismatchError, match=f"differ in {name}") as caught:
        sum_hessian([], records, HessianOptions())
    assert f"--{kind}-weight" in str(caught.value)
    merged = sum_hessian([], records, HessianOptions(**{name: 5.0}))
    assert_same_hessian(merged, build(**{name: 5.0}))
    assert getattr(merged, name) == 5.0


def test_files_that_disagree_on_the_reduction_need_the_option():
    records = [build(range(4)), build(range(4, N), reduction="mean")]
    with pytest.raises(MismatchError, match="differ in reduction"):
        sum_hessian([], records, HessianOptions())
    assert sum_hessian([], records, HessianOptions(reduction="mean")).reduction == "mean"


def test_disagreement_is_found_before_the_data_are_read():
    told: list[str] = []
    records = [build(range(2)), build(range(2, 4), regularizer=1e-3)]
    with pytest.raises(MismatchError, match="regularizer"):
        sum_hessian(
            [dataset(range(4, N))], records, HessianOptions(), lambda task, *_: told.append(task)
        )
    assert told == []


def test_weights_of_a_file_hold_for_the_data_beside_it():
    merged = sum_hessian(
        [dataset(range(4, N))], [build(range(4), force_weight=6.0)], HessianOptions()
    )
    assert merged.force_weight == 6.0
    assert_same_hessian(merged, build())


def test_data_bring_forces_to_a_file_of_energies():
    merged = sum_hessian(
        [dataset(range(4, N))], [build(range(4), of=energies_only())], HessianOptions()
    )
    assert merged.force_weight == 1.0
    assert merged.n_rows["force"] == 3 * COUNTS[4:].sum()


# --- what is inside the rows ----------------------------------------------------------------


def weighed_products() -> dict[str, np.ndarray]:
    """Sums over rows with weights of structures, and shears counted twice."""
    parts = gradients_of(COUNTS, D, SEED)
    owner, kind = parts["gradient_structure"], parts["gradient_kind"]
    forces, stresses = (parts["gradients"][kind == code] for code in (1, 2))
    of_forces = (WEIGHTS[0] * WEIGHTS[1])[owner[kind == 1]]
    of_stresses = WEIGHTS[0][owner[kind == 2]] * np.tile([1.0, 1, 1, 2, 2, 2], N)
    return {
        "energy": energy_rows().T @ (WEIGHTS[0][:, np.newaxis] * energy_rows()),
        "force": forces.T @ (of_forces[:, np.newaxis] * forces),
        "stress": stresses.T @ (of_stresses[:, np.newaxis] * stresses),
    }


def test_weights_of_structures_are_inside_the_factors():
    record = build(loss=WEIGHED)
    for kind, expected in weighed_products().items():
        np.testing.assert_allclose(products(record)[kind], expected, rtol=1e-12)
    assert record.weights == ("w", "force:f")
    assert record.loss == Loss(stress_components=9)
    assert record.n_rows == build().n_rows


def test_weights_of_structures_leave_the_scale_alone():
    assert build(loss=WEIGHED).scale == build().scale


def test_structure_without_weight_is_as_good_as_absent():
    columns = {"w": np.where(np.arange(N) < 4, 1.0, 0.0)}
    parts = gradients_of(COUNTS, D, SEED)
    of = features_of(N, D, SEED, columns=columns, **parts)
    one = build(of=of, loss=LossOptions(weight_key="w"))
    other = build(range(4), of=of)
    for kind in KINDS:
        np.testing.assert_allclose(products(one)[kind], products(other)[kind], atol=1e-12)


def test_files_built_with_different_losses_do_not_merge():
    records = [build(range(4)), build(range(4, N), loss=LossOptions(stress_components=9))]
    with pytest.raises(MismatchError, match="differ in stress_components"):
        sum_hessian([], records, HessianOptions())
    with pytest.raises(MismatchError, match="differ in stress_components"):
        sum_hessian([dataset(range(1))], records, HessianOptions())
    huber = Loss("huber", *(1.0,) * 3)
    with pytest.raises(MismatchError, match="differ in loss"):
        sum_hessian([], [records[0], replace(records[0], loss=huber)], HessianOptions())
    parts = [replace(records[0], loss=loss) for loss in (huber, replace(huber, force_delta=2.0))]
    with pytest.raises(MismatchError, match="differ in force_delta"):
        sum_hessian([], parts, HessianOptions())


def test_components_of_the_stress_matter_only_where_there_is_one():
    loss = LossOptions(stress_components=9)
    energies = build(range(4), of=energies_only())
    merged = sum_hessian([], [energies, build(range(4, N), loss=loss)], HessianOptions())
    assert merged.loss.stress_components == 9


def test_names_of_weights_are_united_in_order():
    records = [
        build(range(2), loss=LossOptions(weight_key="w")),
        build(range(2, 4)),
        build(range(4, 6), loss=LossOptions(weight_key="f", force_weight_key="w")),
        build(range(6, N), loss=LossOptions(weight_key="w")),
    ]
    assert sum_hessian([], records, HessianOptions()).weights == ("w", "f", "force:w")


def test_rows_of_a_file_decide_the_loss_of_the_data():
    loss = LossOptions(stress_components=9)
    merged = sum_hessian([dataset(range(4, N))], [build(range(4), loss=loss)], HessianOptions())
    assert merged.loss == Loss(stress_components=9)
    assert_same_hessian(merged, build(loss=loss))


@pytest.mark.parametrize(
    ("loss", "option"),
    [
        (LossOptions(loss="huber", energy_delta=1.0), "--loss"),
        (LossOptions(stress_components=9), "--stress-components"),
    ],
)
@pytest.mark.parametrize(
    "apply",
    [
        override,
        lambda record, options: sum_hessian([], [record], options),
        lambda record, options: sum_hessian([dataset(range(4, N))], [record], options),
    ],
)
def test_option_cannot_change_the_loss_of_finished_rows(loss, option, apply):
    with pytest.raises(MismatchError, match=f"{option} contradicts the Hessian file"):
        apply(build(range(4)), HessianOptions(loss=loss))


def test_default_that_contradicts_finished_rows_is_called_so():
    records = [build(range(4), loss=LossOptions(stress_components=9))]
    options = HessianOptions(loss=LossOptions(weight_key="w"))
    with pytest.raises(MismatchError) as caught:
        sum_hessian([dataset(range(4, N))], records, options)
    assert "6, the default" in str(caught.value.got)
    assert "--stress-components 9" in str(caught.value.remedy)


@pytest.mark.parametrize("apply", [override, lambda r, o: sum_hessian([], [r], o)])
def test_finished_rows_cannot_be_weighed_by_structure(apply):
    with pytest.raises(RequestError, match="cannot be weighed anew") as caught:
        apply(build(), HessianOptions(loss=LossOptions(force_weight_key="w")))
    assert "--force-weight-key" in str(caught.value)


def spoiled(row: int, column: int | slice, value: float) -> Features:
    """Features of another program, whose values nobody has checked."""
    of = table()
    bad = gradients_of(COUNTS, D, SEED)["gradients"]
    bad[row, column] = value
    of.gradients = replace(of.gradients, rows=ArrayRows(bad))
    return of


def test_gradient_that_is_not_finite_is_named():
    with pytest.raises(FeatureError, match="not finite") as caught:
        build(of=spoiled(-2, 1, np.inf))
    assert "stress row 4, structure 8, column 1" in str(caught.value)
    with pytest.raises(FeatureError, match="force row 4, structure 0, column 0"):
        build(of=spoiled(4, 0, np.nan))


def test_gradients_whose_squares_overflow_are_refused():
    with pytest.raises(FeatureError, match="squares overflow"):
        build(of=spoiled(7, slice(None), 1e200))


def test_rounding_of_float32_gradients_is_warned_of(caplog):
    parts = gradients_of(COUNTS, D, SEED)
    parts["gradients"] = parts["gradients"].astype(np.float32)
    of = features_of(N, D, SEED, **parts)
    with caplog.at_level(logging.WARNING):
        build(of=of, regularizer=1e-14)
    assert "rounding of float32" in caplog.text


# --- robust losses --------------------------------------------------------------------------

ENERGIES = {"energy": np.zeros(N), "energy_predicted": COUNTS * np.where(np.arange(N) < 6, 0.1, 9)}


def robust(**options) -> HessianRecord:
    of = features_of(N, D, SEED, columns=ENERGIES, **gradients_of(COUNTS, D, SEED))
    return build(of=of, **options)


def test_kind_without_weight_and_width_is_left_out(caplog):
    loss = LossOptions(loss="huber", energy_delta=1.0)
    with caplog.at_level(logging.INFO):
        record = robust(loss=loss, force_weight=0.0, stress_weight=0.0)
    assert record.n_rows == {"energy": N}
    assert record.loss == Loss("huber", energy_delta=1.0)
    assert "force rows have no weight and no --force-delta: left out" in caplog.text
    kept = energy_rows()[:6]
    np.testing.assert_allclose(products(record)["energy"], kept.T @ kept, rtol=1e-12)


def test_kind_with_weight_needs_a_width():
    with pytest.raises(RequestError, match="needs a width for force rows") as caught:
        robust(loss=LossOptions(loss="huber", energy_delta=1.0), stress_weight=0.0)
    assert "--force-delta" in str(caught.value)


def test_set_of_which_nothing_is_needed_is_refused():
    parts = {"force": build(of=table()).R["force"]}
    forces = replace(build(), R=parts, n_rows={"force": 3}, loss=Loss("huber", force_delta=1.0))
    options = HessianOptions(energy_weight=0.0)
    with pytest.raises(RequestError, match="needs a width for energy rows"):
        sum_hessian([dataset(of=energies_only())], [forces], options)


def test_robust_loss_of_a_file_holds_for_the_data_beside_it():
    of = features_of(N, D, SEED, columns=ENERGIES)
    loss = LossOptions(loss="huber", energy_delta=1.0)
    merged = sum_hessian(
        [dataset(range(4, N), of=of)], [build(range(4), of=of, loss=loss)], HessianOptions()
    )
    assert_same_hessian(merged, build(of=of, loss=loss))
    assert merged.loss == Loss("huber", energy_delta=1.0)
