"""What has to hold of rigidities where rows are energies, forces and stresses with weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from builders import atoms_for, counts_of, gradients_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from prcli.data.dataset import Dataset, Part
from prcli.data.features import Features
from prcli.data.hessian_record import HessianRecord
from prcli.numerics.rigidity import inverse_rigidities, rigidities
from prcli.numerics.square_root import SquareRoot, condition_number, with_prior
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.loss_options import LossOptions
from prcli.workflows.model import (
    data_factor,
    effective_parameters,
    full_factor,
    kind_weight,
    row_form,
    scales,
    unscaled_prior_root,
)
from prcli.workflows.rows import EnergyRows

RTOL = 1e-9
LARGEST_CONDITION = 1e7
MODEST = settings(deadline=None, max_examples=50)


@dataclass(frozen=True, eq=False)
class Case:
    """A training set of S structures, some with forces and stresses, and how it is weighed."""

    n_structures: int
    n_features: int
    seed: int
    options: HessianOptions
    forces: tuple[int, ...]
    stresses: tuple[int, ...]
    feature_scale: float = 1.0

    @cached_property
    def table(self) -> Features:
        """Features whose columns differ in size, and weights of structures over four decades."""
        rng = np.random.default_rng(self.seed)
        counts = counts_of(self.n_structures, self.seed)
        sizes = self.feature_scale * 10.0 ** np.random.default_rng(self.seed).uniform(
            -1.5, 1.5, self.n_features
        )
        gradients = gradients_of(
            counts, self.n_features, self.seed, forces=self.forces, stresses=self.stresses
        )
        columns = {"w": 10.0 ** rng.uniform(-2, 2, self.n_structures)}
        columns["f"] = 10.0 ** rng.uniform(-2, 2, self.n_structures)
        return Features(
            atoms=sizes * atoms_for(counts, self.n_features, self.seed),
            n_atoms=counts,
            columns=columns,
            **gradients | {"gradients": sizes * gradients["gradients"]},
        )

    def dataset(self, positions: range) -> Dataset:
        return Dataset([Part(self.table, positions)], "train")

    def build(self, *parts: range, **changes) -> HessianRecord:
        data = [self.dataset(part) for part in parts or (range(self.n_structures),)]
        return sum_hessian(data, [], replace(self.options, **changes))

    def targets(self) -> np.ndarray:
        """Rows of every kind: a mean, a sum, and a gradient without intercept."""
        record = self.build()
        rows = np.random.default_rng(self.seed + 1).normal(size=(4, record.n_columns))
        rows *= scales(record)
        rows[3, record.n_features :] = 0.0
        return rows

    def weighted_rows(self, record: HessianRecord) -> tuple[np.ndarray, np.ndarray]:
        """All rows, and the weight c = λ ω of each, written out."""
        table = self.table
        energies = np.vstack(
            [
                b
                for _, b in EnergyRows(
                    self.dataset(range(self.n_structures)), row_form(record)
                ).blocks()
            ]
        )
        gradients = np.zeros((len(table.gradients.kind), record.n_columns))
        gradients[:, : record.n_features] = table.gradients.rows.read(0, len(gradients))
        owner, kind = table.gradients.structure, table.gradients.kind
        shear = np.ones(len(kind))
        if self.options.loss.stress_components == 9:
            place = np.arange(len(kind)) - np.searchsorted(owner * 4 + kind, owner * 4 + kind)
            shear[(kind == 2) & (place >= 3)] = 2.0
        w, f = table.column("w"), table.column("f")
        of_gradients = np.where(
            kind == 1,
            kind_weight(record, "force") * w[owner] * f[owner],
            kind_weight(record, "stress") * w[owner] * shear,
        )
        weights = np.concatenate([kind_weight(record, "energy") * w, of_gradients])
        return np.concatenate([energies, gradients]), weights


def factor_of(record: HessianRecord) -> np.ndarray:
    factor = full_factor(record)
    assume(condition_number(factor / scales(record)) <= LARGEST_CONDITION)
    # Rows are not scaled, so columns that differ in size would count as ill conditioned.
    assume(condition_number(factor) <= LARGEST_CONDITION)
    return factor


def some_prior(rng: np.random.Generator, kind: str, n: int) -> np.ndarray | str:
    if kind == "identity":
        return "identity"
    if kind == "diagonal":
        return rng.uniform(0.1, 3.0, n)
    root = np.triu(rng.normal(size=(n, n))) + 3.0 * np.eye(n)
    if kind == "semidefinite":
        root[-1] = 0.0
    return root.T @ root


@st.composite
def cases(draw) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_structures, n_features = draw(st.integers(2, 7)), draw(st.integers(2, 6))
    everywhere = range(n_structures)
    prior = draw(st.sampled_from(["identity", "diagonal", "matrix", "semidefinite"]))
    weights = dict(zip(("energy", "force", "stress"), 10.0 ** rng.uniform(-2, 2, 3), strict=True))
    options = HessianOptions(
        energy=draw(st.sampled_from(["per-atom", "total"])),
        intercept=draw(st.sampled_from(["none", "atom"])),
        scale=10.0 ** rng.uniform(-1, 1),
        regularizer=10.0 ** draw(st.floats(-10, 0)),
        reduction=draw(st.sampled_from(["sum", "mean"])),
        prior=some_prior(rng, prior, n_features),
        loss=LossOptions(
            weight_key="w",
            force_weight_key="f",
            stress_components=draw(st.sampled_from([6, 9])),
        ),
        **{f"{kind}_weight": weight for kind, weight in weights.items()},
    )
    return Case(
        n_structures,
        n_features,
        draw(st.integers(0, 10**6)),
        options,
        tuple(sorted({0, *draw(st.sets(st.sampled_from(everywhere)))})),
        tuple(sorted({0, *draw(st.sets(st.sampled_from(everywhere)))})),
    )


@MODEST
@given(cases(), st.floats(-5, 4))
def test_adding_a_row_raises_its_own_rigidity_by_its_weight(case, exponent):
    record = case.build()
    factor = factor_of(record)
    for target in case.targets():
        root = SquareRoot.from_factor(data_factor(record))
        weight = 10.0**exponent
        root.add_rows(target[np.newaxis], np.array([weight]))
        larger = with_prior(root.factor, unscaled_prior_root(record), record.regularizer)
        assume(condition_number(larger) <= LARGEST_CONDITION)
        before, after = (rigidities(target[np.newaxis], R)[0] for R in (factor, larger))
        np.testing.assert_allclose(after, before + weight, rtol=RTOL)


@MODEST
@given(cases())
def test_structure_of_one_energy_raises_its_rigidity_by_its_weight(case):
    case = replace(
        case,
        forces=case.forces[:-1] if case.n_structures - 1 in case.forces[1:] else case.forces,
        stresses=case.stresses[:-1]
        if case.n_structures - 1 in case.stresses[1:]
        else case.stresses,
        options=replace(case.options, reduction="sum"),
    )
    last = case.n_structures - 1
    before, after = case.build(range(last)), case.build()
    row = EnergyRows(case.dataset(range(last, last + 1)), row_form(after)).read_all()
    weight = after.energy_weight * case.table.column("w")[last]
    values = [rigidities(row, factor_of(record))[0] for record in (before, after)]
    np.testing.assert_allclose(values[1], values[0] + weight, rtol=RTOL)


@MODEST
@given(cases())
def test_adding_a_structure_lowers_no_rigidity(case):
    # With means every row's weight depends on how many there are.
    case = replace(case, options=replace(case.options, reduction="sum"))
    fewer, more = case.build(range(case.n_structures - 1)), case.build()
    before, after = (rigidities(case.targets(), factor_of(record)) for record in (fewer, more))
    assert np.all(after >= before * (1.0 - RTOL))


@MODEST
@given(cases())
def test_order_of_structures_does_not_matter(case):
    last = case.n_structures - 1
    backwards = case.build(range(last, -1, -1))
    np.testing.assert_allclose(
        rigidities(case.targets(), factor_of(backwards)),
        rigidities(case.targets(), factor_of(case.build())),
        rtol=RTOL,
    )


@MODEST
@given(cases(), st.lists(st.integers(1, 6), max_size=3), st.lists(st.booleans(), min_size=4))
def test_shards_do_not_matter(case, cuts, finished):
    n = case.n_structures
    edges = sorted({0, n, *(cut for cut in cuts if cut < n)})
    parts = [range(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    # What a shard lacks cannot have weight in it alone.
    neutral = {"force_weight": None, "stress_weight": None}
    records = [case.build(p, **neutral) for p, done in zip(parts, finished, strict=False) if done]
    data = [case.dataset(p) for p, done in zip(parts, finished, strict=False) if not done]
    options = case.options if data else replace(case.options, loss=None)
    merged = sum_hessian(data, records, options)
    union = case.build()
    np.testing.assert_allclose(
        rigidities(case.targets(), factor_of(merged)),
        rigidities(case.targets(), factor_of(union)),
        rtol=RTOL,
    )


@MODEST
@given(cases(), st.floats(-5, 5), st.sampled_from([-1.0, 1.0]))
def test_rigidity_of_a_multiple(case, exponent, sign):
    t = sign * 10.0**exponent
    factor = factor_of(case.build())
    np.testing.assert_allclose(
        rigidities(t * case.targets(), factor),
        rigidities(case.targets(), factor) / t**2,
        rtol=RTOL,
    )


@MODEST
@given(cases(), st.floats(-2, 2))
def test_units_of_features_do_not_matter(case, exponent):
    s = 10.0**exponent
    case = replace(case, options=replace(case.options, scale="none", intercept="none"))
    regularizer = case.options.regularizer * s**2
    other = replace(case, feature_scale=s, options=replace(case.options, regularizer=regularizer))
    targets = case.targets()
    np.testing.assert_allclose(
        rigidities(s * targets, factor_of(other.build())),
        rigidities(targets, factor_of(case.build())),
        rtol=RTOL,
    )


@MODEST
@given(cases(), st.floats(-2, 2))
def test_scale_and_regularizer_go_together(case, exponent):
    # Dividing features by s is the same as multiplying ς² by s², where the intercept is free.
    s = 10.0**exponent
    case = replace(case, options=replace(case.options, scale=s))
    other = replace(
        case,
        options=replace(case.options, scale="none", regularizer=case.options.regularizer * s**2),
    )
    np.testing.assert_allclose(
        rigidities(case.targets(), factor_of(other.build())),
        rigidities(case.targets(), factor_of(case.build())),
        rtol=RTOL,
    )


@MODEST
@given(cases())
def test_leverages_sum_to_the_effective_number_of_parameters(case):
    record = case.build()
    factor = factor_of(record)
    rows, weights = case.weighted_rows(record)
    leverages = weights * inverse_rigidities(rows, factor)
    np.testing.assert_allclose(leverages.sum(), effective_parameters(record), rtol=RTOL)
    F = unscaled_prior_root(record)
    F = np.diag(F) if F.ndim == 1 else F
    shrunk = record.regularizer * inverse_rigidities(F, factor).sum()
    np.testing.assert_allclose(leverages.sum() + shrunk, record.n_columns, rtol=RTOL)
    assert np.all(leverages >= 0.0)
    assert np.all(leverages <= 1.0 + RTOL)
