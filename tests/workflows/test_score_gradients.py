from __future__ import annotations

import logging
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from builders import counts_of, features_of, gradients_of
from hypothesis import given, settings
from hypothesis import strategies as st

from prcli.data.dataset import Dataset, Part
from prcli.data.features import Features
from prcli.data.gradients import GRADIENT_KINDS
from prcli.data.hessian_record import HessianRecord
from prcli.errors import FeatureError, MismatchError, RequestError
from prcli.numerics.rows import column_scales
from prcli.workflows import rows, score_table
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.model import prior_root, row_form
from prcli.workflows.rows import EnergyRows
from prcli.workflows.score import score
from prcli.workflows.score_run import ScoreRequest, ScoreRun
from prcli.workflows.scores import Scores

D = 4
WEIGHTS = {"energy": 2.0, "force": 0.75, "stress": 0.25}


def with_gradients(n_structures: int, seed: int, **which: object) -> Features:
    gradients = gradients_of(counts_of(n_structures, seed), D, seed, **which)
    return features_of(n_structures, D, seed, **gradients)


def part_of(table: Features, positions: range | None = None) -> Part:
    return Part(table, range(table.n_structures) if positions is None else positions)


def scored(*tables: Features) -> Dataset:
    return Dataset([part_of(table) for table in tables], "scored")


def rows_of(table: Features, kind: str, structure: int | None = None) -> np.ndarray:
    """Gradient rows of one kind, of one structure or of all."""
    gradients = table.gradients
    mine = gradients.kind == GRADIENT_KINDS[kind]
    if structure is not None:
        mine &= gradients.structure == structure
    return gradients.rows.read(0, len(mine))[mine]


def hessian(table: Features | None = None, **options: object) -> HessianRecord:
    table = with_gradients(9, seed=1) if table is None else table
    weights = {f"{kind}_weight": WEIGHTS[kind] for kind in ("energy", "force", "stress")}
    given = {"scale": "none", "regularizer": 0.01} | weights | options
    return sum_hessian([Dataset([part_of(table)], "train")], [], HessianOptions(**given))  # type: ignore[arg-type]


def padded(array: np.ndarray, record: HessianRecord) -> np.ndarray:
    """Gradient rows with columns of zeros for the intercept, scaled."""
    wide = np.pad(array, ((0, 0), (0, record.n_columns - array.shape[1])))
    return wide / column_scales(record.n_features, record.intercept, record.scale)


def training_rows(table: Features, record: HessianRecord) -> tuple[np.ndarray, np.ndarray]:
    """All rows of a training set, scaled, and their weights."""
    energies = EnergyRows(Dataset([part_of(table)], "train"), row_form(record)).read_all()
    energies = energies / column_scales(record.n_features, record.intercept, record.scale)
    parts = {"energy": energies}
    for kind in ("force", "stress"):
        if record.n_rows.get(kind):
            parts[kind] = padded(rows_of(table, kind), record)
    weights = [np.full(len(each), WEIGHTS[kind]) for kind, each in parts.items()]
    return np.concatenate(list(parts.values())), np.concatenate(weights)


def covariance(table: Features, record: HessianRecord, g: np.ndarray) -> np.ndarray:
    """G H⁻¹ Gᵀ with H written out."""
    array, weights = training_rows(table, record)
    prior = np.diag(prior_root(record) ** 2)
    matrix = (array.T * weights) @ array + record.regularizer * prior
    scaled = padded(g, record)
    return scaled @ np.linalg.solve(matrix, scaled.T)


def exact_rigidities(
    array: np.ndarray, weights: np.ndarray, prior: np.ndarray, targets: np.ndarray
) -> np.ndarray:
    """PR in rational numbers, rounded once; H = Σ c g gᵀ + the diagonal `prior`."""
    rational = np.vectorize(Fraction, otypes=[object])
    G, T = rational(array), rational(targets)
    H = (G.T * rational(weights)) @ G + np.diag(rational(prior))
    # Gauss-Jordan elimination of [H, Tᵀ] leaves H⁻¹ Tᵀ.
    work = np.concatenate([H, T.T], axis=1)
    for i in range(len(H)):
        work[i] /= work[i, i]
        for j in set(range(len(H))) - {i}:
            work[j] -= work[j, i] * work[i]
    solved = work[:, len(H) :]
    return np.array([float(1 / value) for value in np.sum(T.T * solved, axis=0)])


@pytest.mark.parametrize("per", ["force", "stress"])
@pytest.mark.parametrize("intercept", ["none", "atom", "species"])
@pytest.mark.parametrize("scale", ["none", 4.0])
def test_rigidities_are_exact(per, intercept, scale):
    train, table = with_gradients(9, seed=1), with_gradients(5, seed=2)
    record = hessian(train, intercept=intercept, scale=scale)
    array, weights = training_rows(train, record)
    targets = padded(rows_of(table, per), record)
    expected = exact_rigidities(array, weights, 0.01 * prior_root(record), targets)
    np.testing.assert_allclose(score(record, scored(table), per).rigidity, expected, rtol=1e-11)


@pytest.mark.parametrize("per", ["force", "stress"])
def test_hessian_of_energies_alone_knows_forces(per):
    train, table = features_of(9, D, seed=1), with_gradients(5, seed=2)
    record = hessian(train, force_weight=None, stress_weight=None)
    assert list(record.R) == ["energy"]
    array, weights = training_rows(train, record)
    expected = exact_rigidities(array, weights, np.full(D, 0.01), rows_of(table, per))
    np.testing.assert_allclose(score(record, scored(table), per).rigidity, expected, rtol=1e-11)


@pytest.mark.parametrize(("per", "n_components"), [("force", 3), ("stress", 6)])
def test_trace_is_that_of_the_covariance(per, n_components):
    train, table = with_gradients(9, seed=1), with_gradients(5, seed=2)
    record = hessian(train, intercept="atom", scale=4.0)
    found = score(record, scored(table), per)
    groups = rows_of(table, per).reshape(-1, n_components, D)
    expected = [np.trace(covariance(train, record, g)) for g in groups]
    assert found.n_components == n_components
    np.testing.assert_allclose(found.trace, expected, rtol=1e-10)


@settings(max_examples=20)
@given(st.floats(1e-3, 1e3), st.integers(0, 99), st.sampled_from(["force", "stress"]))
def test_adding_a_row_raises_its_rigidity_by_its_weight(weight, seed, kind):
    # The energy row of the added structure is zero, and so are its other gradient rows.
    n_rows = {"force": 3, "stress": 6}[kind]
    place = seed % n_rows
    gradients = np.zeros((n_rows, D))
    gradients[place] = np.random.default_rng(seed).normal(size=D)
    added = Features(
        np.zeros((1, D)),
        n_atoms=[1],
        gradients=gradients,
        gradient_kind=np.full(n_rows, GRADIENT_KINDS[kind]),
        gradient_structure=np.zeros(n_rows, dtype=int),
    )
    base = Dataset([part_of(features_of(9, D, seed))], "train")
    more = Dataset([part_of(added)], "train")
    numbers = {"scale": "none", "regularizer": 0.01}
    before = sum_hessian([base], [], HessianOptions(**numbers))
    options = HessianOptions(**numbers, **{f"{kind}_weight": weight})
    after = sum_hessian([base, more], [], options)
    old = score(before, scored(added), kind).rigidity[place]
    new = score(after, scored(added), kind).rigidity[place]
    assert new == pytest.approx(old + weight, rel=1e-9)


def test_weighted_inverse_rigidities_sum_to_the_effective_parameters():
    train = with_gradients(9, seed=1)
    record = hessian(train)
    data = scored(train)
    found = sum(
        WEIGHTS[kind] * np.sum(1.0 / score(record, data, per).rigidity)
        for kind, per in (("energy", "structure"), ("force", "force"), ("stress", "stress"))
    )
    left = 0.01 * np.trace(covariance(train, record, np.eye(D)))
    assert found == pytest.approx(D - left, rel=1e-9)


@pytest.mark.parametrize(("per", "n_components"), [("force", 3), ("stress", 6)])
def test_rows_of_slices_are_those_of_the_whole(per, n_components):
    one = with_gradients(9, seed=2, forces=[0, 1, 4, 5, 6, 8], stresses=[1, 2, 4, 8])
    two = with_gradients(4, seed=3)
    record = hessian()
    slices = [(one, range(1, 9, 3)), (two, range(4)), (one, range(8, -1, -2)), (two, range(2, 4))]
    data = Dataset([part_of(*each) for each in slices], "scored")
    found = score(record, data, per)
    structures = [(table, i) for table, positions in slices for i in positions]
    expected = [rows_of(table, per, i) for table, i in structures]
    at_once = score(record, scored(of_rows(np.concatenate(expected), per)), per)
    np.testing.assert_allclose(found.rigidity, at_once.rigidity, rtol=1e-12)
    counts = [len(each) for each in expected]
    assert 0 in counts
    np.testing.assert_array_equal(found.structure, np.repeat(np.arange(len(counts)), counts))
    np.testing.assert_array_equal(found.component, np.arange(sum(counts)) % n_components)
    if per == "force":
        atoms = np.concatenate([np.arange(n) // 3 for n in counts])
        np.testing.assert_array_equal(found.atom, atoms)
    else:
        assert found.atom is None


def of_rows(array: np.ndarray, kind: str) -> Features:
    """One structure for each force or stress."""
    n_rows = {"force": 3, "stress": 6}[kind]
    n_structures = len(array) // n_rows
    return Features(
        np.random.default_rng(5).normal(size=(n_structures, D)),
        n_atoms=np.ones(n_structures, dtype=int),
        gradients=array,
        gradient_kind=np.full(len(array), GRADIENT_KINDS[kind]),
        gradient_structure=np.repeat(np.arange(n_structures), n_rows),
    )


@pytest.mark.parametrize("per", ["force", "stress"])
def test_size_of_the_blocks_does_not_matter(monkeypatch, per):
    # The smallest block has 64 rows; one structure has more.
    counts = np.array([2, 40, 1, 3, 30, 1])
    gradients = gradients_of(counts, D, 7)
    rng = np.random.default_rng(0)
    data = scored(Features(rng.normal(size=(6, D)), n_atoms=counts, **gradients))
    record = hessian()
    expected = score(record, data, per)
    monkeypatch.setattr(rows, "BLOCK_BYTES", 8)
    steps = []
    found = score(record, data, per, lambda *step: steps.append(step))
    assert len(steps) > 1
    assert steps[-1] == ("score", len(expected.rank), len(expected.rank))
    np.testing.assert_allclose(found.rigidity, expected.rigidity, rtol=1e-12)
    np.testing.assert_array_equal(found.rank, expected.rank)


def test_rows_of_single_precision_are_widened():
    gradients = gradients_of(counts_of(5, 2), D, 2)
    gradients["gradients"] = gradients["gradients"].astype(np.float32)
    table = features_of(5, D, 2, **gradients)
    train = with_gradients(9, seed=1)
    record = hessian(train)
    exact = covariance(train, record, rows_of(table, "force").astype(np.float64))
    np.testing.assert_allclose(
        score(record, scored(table), "force").rigidity, 1.0 / np.diag(exact), rtol=1e-10
    )


@pytest.mark.parametrize(
    ("per", "name", "unit"),
    [("force", "alpha_force", "sigma_eV_per_A"), ("stress", "alpha_stress", "sigma_eV_per_A3")],
)
def test_sigma_comes_from_the_calibration_of_the_kind(per, name, unit):
    data = scored(with_gradients(5, seed=2))
    record = replace(hessian(), alpha_energy=9.0)
    plain = score(record, data, per)
    assert plain.sigma is None
    assert score_table.score_columns(plain, record)[-1] == "trace"
    calibrated = replace(record, **{name: 0.25})
    found = score(calibrated, data, per)
    np.testing.assert_allclose(found.sigma, 0.25 / np.sqrt(plain.rigidity), rtol=1e-15)
    columns = score_table.score_columns(found, calibrated)
    assert columns[-1] == unit
    (batch,) = score_table.score_table(found, data, columns, score_table.chosen_rows(found, "file"))
    np.testing.assert_array_equal(batch[unit], found.sigma)


def test_rows_of_zeros_are_infinitely_rigid_and_without_variance():
    gradients = gradients_of(np.array([2]), D, 0, stresses=[])
    gradients["gradients"][[1, 3, 4, 5]] = 0.0
    table = Features(np.ones((1, D)), n_atoms=[2], **gradients)
    scores = score(hessian(), scored(table), "force")
    assert np.isinf(scores.rigidity).tolist() == [False, True, False, True, True, True]
    assert scores.n_infinite == 4
    first = scores.rigidity
    assert scores.trace.tolist() == [1 / first[0] + 1 / first[2], 0.0]


@pytest.mark.parametrize(
    ("per", "present", "text"),
    [("force", [0, 2], "3 of 5 structures have no force rows"), ("stress", [1], "4 of 5")],
)
def test_structures_without_rows_are_counted_and_left_out(caplog, per, present, text):
    data = scored(with_gradients(5, seed=2, forces=[0, 2], stresses=[1]))
    with caplog.at_level(logging.WARNING):
        found = score(hessian(), data, per)
    assert text in caplog.text
    assert np.unique(found.structure).tolist() == present
    assert len(found.rigidity) == data.gradient_counts(per).sum()


def test_nothing_is_said_where_every_structure_has_rows(caplog):
    with caplog.at_level(logging.WARNING):
        score(hessian(), scored(with_gradients(5, seed=2)), "force")
    assert caplog.text == ""


@pytest.mark.parametrize("per", ["force", "stress"])
def test_sets_without_rows_are_refused_before_work(per):
    other = {"force": "forces", "stress": "stresses"}[per]
    for table in (features_of(5, D, 2), with_gradients(5, 2, **{other: []})):
        with pytest.raises(FeatureError, match=f"no {per} rows(.|\n)*--per structure"):
            score(hessian(), scored(table), per)
        with (
            pytest.raises(FeatureError, match="features import"),
            ScoreRun(ScoreRequest(hessian(), (table,), per=per)),
        ):
            pytest.fail("must not get here")


def test_rows_outside_the_slice_do_not_count():
    table = with_gradients(5, seed=2, forces=[0, 1])
    data = Dataset([part_of(table, range(2, 5))], "scored")
    with pytest.raises(FeatureError, match="no force rows"):
        score(hessian(), data, "force")


def test_reduced_rows_are_refused():
    counts = np.array([1, 1, 3])
    table = Features(np.ones((3, D)), n_atoms=counts, **gradients_of(counts, D, reduced=True))
    data = scored(table)
    with pytest.raises(FeatureError, match=r"structure 2\n(.|\n)*9 force rows\n +got: +4 rows"):
        score(hessian(), data, "force")
    with pytest.raises(FeatureError, match="structure 0(.|\n)*--reduce-gradients"):
        score(hessian(), data, "stress")


def test_rows_that_a_reduction_left_alone_are_scored():
    # Two blocks of three rows are not taller than D; stresses were reduced.
    counts = np.array([1, 1])
    gradients = gradients_of(counts, D, reduced=True)
    table = Features(np.ones((2, D)), n_atoms=counts, **gradients)
    train = with_gradients(9, seed=1)
    found = score(hessian(train), scored(table), "force")
    expected = covariance(train, hessian(train), rows_of(table, "force"))
    np.testing.assert_allclose(found.rigidity, 1.0 / np.diag(expected), rtol=1e-10)


def test_other_width_is_refused():
    counts = counts_of(3, 2)
    table = features_of(3, D + 1, 2, **gradients_of(counts, D + 1, 2))
    with pytest.raises(MismatchError, match="does not fit the Hessian"):
        score(hessian(), scored(table), "force")


@pytest.mark.parametrize("order", ["rank", "file"])
@pytest.mark.parametrize("per", ["force", "stress"])
def test_table_says_where_every_row_belongs(monkeypatch, per, order):
    table = with_gradients(6, seed=2, forces=[0, 1, 3, 5], stresses=[1, 5])
    data = Dataset([part_of(table, range(5, -1, -1))], "scored")
    record = hessian()
    scores = score(record, data, per)
    monkeypatch.setattr(score_table, "_TABLE_ROWS", 5)
    columns = score_table.score_columns(scores, record)
    found = batches_of(scores, data, columns, order)
    expected = expected_rows(table, scores, per)
    if order == "rank":
        expected.sort(key=lambda row: row[columns.index("rank")])
    assert list(zip(*(found[name] for name in columns), strict=True)) == expected


def batches_of(
    scores: Scores, data: Dataset, columns: tuple[str, ...], order: str
) -> dict[str, list[object]]:
    """The table at once."""
    chosen = score_table.chosen_rows(scores, order)  # type: ignore[arg-type]
    batches = list(score_table.score_table(scores, data, columns, chosen))
    assert max(len(batch["index"]) for batch in batches) == 5
    return {name: np.concatenate([batch[name] for batch in batches]).tolist() for name in columns}


def expected_rows(table: Features, scores: Scores, per: str) -> list[tuple[object, ...]]:
    """Rows of the table of a reversed set, one by one."""
    letters = {"force": "x y z", "stress": "xx yy zz yz xz xy"}[per].split()
    lines: list[tuple[object, ...]] = []
    for index in range(table.n_structures):
        frame = table.n_structures - 1 - index
        for place in range(len(rows_of(table, per, frame))):
            group, component = divmod(place, len(letters))
            here = len(lines)
            trace = scores.trace[here // len(letters)]
            place_columns = (group,) if per == "force" else ()
            numbers = (scores.rigidity[here], scores.rank[here], trace)
            label = (index, table.label, frame)
            lines.append((*label, *place_columns, letters[component], *numbers))
    return lines


def test_stresses_are_not_written_into_frames():
    request = ScoreRequest(hessian(), (), per="stress", write="w.xyz")
    with pytest.raises(RequestError, match="stresses cannot be written"), ScoreRun(request):
        pytest.fail("must not get here")
