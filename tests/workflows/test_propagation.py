from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builders import counts_of, features_of, source_of, write_frames
from scipy.stats import chi2

from prcli.data.dataset import Dataset, Part
from prcli.data.features import Features
from prcli.data.hessian_record import HessianRecord
from prcli.errors import ExpressionError, FeatureError, RequestError
from prcli.workflows import propagation as module
from prcli.workflows.ensemble import Sampler, ensemble
from prcli.workflows.ensemble_options import EnsembleOptions, PredictedKeys
from prcli.workflows.frames import Frames
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.model import full_factor, row_form
from prcli.workflows.propagation import Derived, propagate
from prcli.workflows.quantities import parse_quantity
from prcli.workflows.rows import EnergyRows

D, S, ALPHA = 4, 6, 0.2
NAMES = np.array(["bulk", "slab", "md", "md", "slab2", "md"])
ENERGIES = np.array([-4.0, -7.5, -2.0, -2.25, -8.0, -2.5])


def hessian() -> HessianRecord:
    data = Dataset([Part(features_of(15, D, seed=1), range(15))], "train")
    return replace(sum_hessian([data], [], HessianOptions()), alpha_energy=ALPHA)


def table_of(**columns: object) -> Features:
    given = {"energy_predicted": ENERGIES, "name": NAMES} | columns
    return features_of(S, D, seed=2, columns=given)


def whole(table: Features) -> Dataset:
    return Dataset([Part(table, range(table.n_structures))], "predicted")


def derive(
    *texts: str,
    table: Features | None = None,
    name_key: str | None = None,
    **options: object,
) -> list[Derived]:
    data = whole(table or table_of())
    given = EnsembleOptions(**({"n_members": 8} | options))  # type: ignore[arg-type]
    quantities = [parse_quantity(text) for text in texts]
    return propagate(Sampler(hessian(), given), data, quantities, lambda: Frames(data), name_key)


def members(n_members: int = 8) -> np.ndarray:
    return ensemble(hessian(), whole(table_of()), EnsembleOptions(n_members=n_members)).members


def test_differences_of_members_are_members_of_the_difference():
    (found,) = derive("E['slab'] - 2*E['bulk']")
    assert found.value.tolist() == [0.5]
    table = members()
    np.testing.assert_allclose(found.members, [table[1] - 2.0 * table[0]], rtol=1e-12)


def test_spread_of_a_difference_is_its_closed_form():
    n_members = 4000
    (found,) = derive("E['slab'] - 2*E['bulk']", n_members=n_members)
    record, data = hessian(), whole(table_of())
    g = EnergyRows(data, replace(row_form(record), energy="total")).read_all()
    difference = np.linalg.solve(full_factor(record).T, g[1] - 2.0 * g[0])
    variance = ALPHA**2 * difference @ difference
    ratio = np.sum((found.members - found.value[:, np.newaxis]) ** 2) / variance
    assert chi2.ppf(1e-6, n_members) < ratio < chi2.isf(1e-6, n_members)
    # Had rows been independent, it would be another number.
    apart = ensemble(record, data, EnsembleOptions()).sigma
    assert abs(variance / (apart[1] ** 2 + 4.0 * apart[0] ** 2) - 1.0) > 0.2


def test_names_may_stand_for_several_rows():
    mean, lowest, each = derive("mean(E['md'])", "min(E['md'])", "E['md'] - E['bulk']")
    table = members()[[2, 3, 5]]
    np.testing.assert_allclose(mean.members[0], table.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(lowest.members[0], table.min(axis=0), rtol=1e-12)
    assert lowest.value.tolist() == [-2.5]
    assert each.value.tolist() == [2.0, 1.75, 1.5]
    assert each.members.shape == (3, 8)


def test_rows_may_be_numbers():
    found, twin = derive("E[1] - E[0]", "E['slab'] - E['bulk']")
    np.testing.assert_array_equal(found.members, twin.members)
    (found,) = derive(
        "E[5] - E[4]", table=features_of(S, D, 2, columns={"energy_predicted": ENERGIES})
    )
    assert found.value.tolist() == [5.5]


def test_all_rows_have_no_brackets():
    (found,) = derive("sum(E)")
    assert found.value[0] == pytest.approx(ENERGIES.sum())


def test_other_columns_have_the_same_rows():
    n_atoms = counts_of(S, 2).astype(float)
    charge = np.linspace(0.0, 1.0, S)
    (found,) = derive(
        "E['slab'] - n_atoms['slab']/n_atoms['bulk'] * E['bulk'] + charge[2]",
        table=table_of(charge=charge),
    )
    expected = ENERGIES[1] - n_atoms[1] / n_atoms[0] * ENERGIES[0] + charge[2]
    assert found.value[0] == pytest.approx(expected)


def test_another_key_may_name_rows():
    table = table_of(facet=np.array([110.0, 111.0, 100.0, 100.0, 111.0, 2.5]))
    found = derive("mean(E['111'])", "E['2.5']", "E['1.1e2']", table=table, name_key="facet")
    assert [each.value[0] for each in found] == [-7.75, -2.5, -4.0]


def test_keys_of_structure_files_name_rows(tmp_path):
    counts = counts_of(3, 2)
    frames = [
        f"{n}\nProperties=species:S:1:pos:R:3 energy_predicted={e} config_type={c}\n".encode()
        + b"C 0 0 0\n" * n
        for n, e, c in zip(counts, (-1.0, -2.0, -4.0), ("a", "7", "b"), strict=True)
    ]
    table = features_of(3, D, seed=2)
    table.source = source_of(write_frames(tmp_path / "f.xyz", frames))
    found = derive("E['b'] - E['a']", "E['7']", table=table, name_key="config_type")
    assert [each.value.tolist() for each in found] == [[-3.0], [-2.0]]


def test_vectors_and_truth_values_are_no_names(tmp_path):
    counts = counts_of(3, 2)
    frames = [
        f"{n}\nProperties=species:S:1:pos:R:3 energy_predicted=-1 tag={tag}\n".encode()
        + b"C 0 0 0\n" * n
        for n, tag in zip(counts, ('"1 2"', "T", "1"), strict=True)
    ]
    table = features_of(3, D, seed=2)
    table.source = source_of(write_frames(tmp_path / "f.xyz", frames))
    (found,) = derive("E['1']", table=table, name_key="tag")
    assert found.members.shape == (1, 8)


def test_members_in_portions_are_the_same(monkeypatch):
    texts = ("E['slab'] - 2*E['bulk']", "mean(E['md'])", "n_atoms[0] + 0*E[0]")
    expected = derive(*texts)
    monkeypatch.setattr(module, "_MOST_ENERGIES", 9)
    for one, other in zip(derive(*texts), expected, strict=True):
        np.testing.assert_allclose(one.members, other.members, rtol=1e-12)
        assert one.value.tolist() == other.value.tolist()
        assert one.members.shape == (1, 8)


def test_weights_predict_too():
    weights = np.arange(1.0, D + 1.0)
    (found,) = derive("E[1] - E[0]", table=features_of(S, D, 2), weights=weights)
    options = EnsembleOptions(n_members=8, weights=weights)
    table = ensemble(hessian(), whole(features_of(S, D, 2)), options)
    np.testing.assert_allclose(found.value, [table.predicted[1] - table.predicted[0]])
    np.testing.assert_allclose(found.members, [table.members[1] - table.members[0]], rtol=1e-12)


def test_unknown_names_are_told_from_known_ones():
    with pytest.raises(ExpressionError, match="no row is named 'slap'") as caught:
        derive("E['slap']")
    message = str(caught.value)
    assert "did you mean 'slab'?" in message
    assert "bulk, slab, md, slab2" in message


def test_rows_without_names_need_a_key():
    table = features_of(S, D, 2, columns={"energy_predicted": ENERGIES, "facet": NAMES})
    with pytest.raises(ExpressionError, match="rows have no names") as caught:
        derive("E['slab']", table=table)
    assert "--name-key" in str(caught.value)
    assert derive("E['slab']", table=table, name_key="facet")[0].value.tolist() == [-7.5]


def test_row_numbers_must_exist():
    with pytest.raises(ExpressionError, match="no such row") as caught:
        derive("E[6]")
    assert "0 to 5" in str(caught.value)


def test_unknown_columns_are_refused():
    with pytest.raises(ExpressionError, match="'charge' is not known"):
        derive("E[0] + charge[0]")


def test_absent_values_are_refused():
    charge = np.array([1.0, np.nan, 1.0, 1.0, 1.0, 1.0])
    assert derive("E[0] + charge[0]", table=table_of(charge=charge))
    with pytest.raises(RequestError, match="'charge' is absent"):
        derive("E[0] + charge['slab']", table=table_of(charge=charge))


def test_texts_are_no_numbers():
    with pytest.raises(RequestError, match="'name' is not a number"):
        derive("E[0] + name[0]")


def test_energies_are_needed():
    with pytest.raises(ExpressionError, match="no energy is used"):
        derive("n_atoms[0] + 1")


def test_absent_predictions_are_named():
    with pytest.raises(FeatureError, match="'other' are not found") as caught:
        derive("E[0]", keys=PredictedKeys(predicted="other"))
    assert "--predicted" in str(caught.value)
