from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builders import counts_of, features_of

from prcli.data.dataset import Dataset, Part
from prcli.data.features import Features
from prcli.data.hessian_record import HessianRecord
from prcli.errors import ExpressionError, FeatureError, RequestError
from prcli.numerics.reweighting import BOLTZMANN, Averages
from prcli.workflows import rows
from prcli.workflows.averages import average
from prcli.workflows.ensemble import Sampler, ensemble
from prcli.workflows.ensemble_options import EnsembleOptions
from prcli.workflows.expressions import parse_expression
from prcli.workflows.frames import Frames
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions

D, S, T = 3, 40, 500.0
BETA = 1.0 / (BOLTZMANN * T)


def hessian(alpha: float = 0.01) -> HessianRecord:
    data = Dataset([Part(features_of(15, D, seed=1), range(15))], "train")
    return replace(sum_hessian([data], [], HessianOptions()), alpha_energy=alpha)


def trajectory(**columns: object) -> Dataset:
    g = np.random.default_rng(3)
    given = {"energy_predicted": g.normal(size=S), "height": g.normal(size=S)} | columns
    return Dataset([Part(features_of(S, D, 2, columns=given), range(S))], "predicted")


def averaged(
    *texts: str,
    data: Dataset | None = None,
    temperature: float = T,
    alpha: float = 0.01,
    **options: object,
) -> list[Averages]:
    data = data or trajectory()
    given = EnsembleOptions(**({"n_members": 6} | options))  # type: ignore[arg-type]
    observables = [parse_expression(text) for text in texts]
    sampler = Sampler(hessian(alpha), given)
    return average(sampler, data, observables, temperature, lambda: Frames(data))


def expected(values: np.ndarray, deviations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both forms, written out; `values` of shape (S, M)."""
    weights = np.exp(-BETA * deviations)
    direct = (weights * values).sum(axis=0) / weights.sum(axis=0)
    covariance = (values * deviations).mean(axis=0) - values.mean(axis=0) * deviations.mean(axis=0)
    return direct, values.mean(axis=0) - BETA * covariance


def deviations_of(data: Dataset) -> np.ndarray:
    return ensemble(hessian(), data, EnsembleOptions(n_members=6, deviations=True)).deviations


@pytest.mark.parametrize("text", ["height", "height**2 - 1", "height < 0", "n_atoms"])
def test_averages_of_columns(text):
    data = trajectory()
    (found,) = averaged(text, data=data)
    column = data.column("height")
    n_atoms = counts_of(S, 2)
    values = {
        "height": column,
        "height**2 - 1": column**2 - 1,
        "height < 0": column < 0,
        "n_atoms": n_atoms,
    }[text].astype(float)
    direct, cumulant = expected(np.tile(values, (6, 1)).T, deviations_of(data))
    np.testing.assert_allclose(found.direct, direct, rtol=1e-9)
    np.testing.assert_allclose(found.cumulant, cumulant, rtol=1e-9)
    assert found.plain == pytest.approx(values.mean())
    assert np.ptp(found.direct) > 0.0


@pytest.mark.parametrize("text", ["E", "E / n_atoms + height"])
def test_energies_are_those_of_each_member(text):
    data = trajectory()
    (found,) = averaged(text, data=data)
    deviations = deviations_of(data)
    energies = data.column("energy_predicted")
    values = energies[:, np.newaxis] + deviations
    plain = energies
    if text != "E":
        n_atoms, height = counts_of(S, 2), data.column("height")
        values = values / n_atoms[:, np.newaxis] + height[:, np.newaxis]
        plain = energies / n_atoms + height
    direct, cumulant = expected(values, deviations)
    np.testing.assert_allclose(found.direct, direct, rtol=1e-9)
    np.testing.assert_allclose(found.cumulant, cumulant, rtol=1e-9)
    assert found.plain == pytest.approx(plain.mean())


def test_energies_may_come_from_weights():
    weights = np.array([0.5, -1.0, 2.0])
    data = trajectory()
    predicted = ensemble(hessian(), data, EnsembleOptions(weights=weights)).predicted
    (found,) = averaged("E", data=data, weights=weights)
    (other,) = averaged("E", data=trajectory(energy_predicted=predicted))
    np.testing.assert_allclose(found.direct, other.direct, rtol=1e-9)


def test_predictions_are_needed_for_energies_alone():
    data = Dataset([Part(features_of(S, D, 2, columns={"height": np.ones(S)}), range(S))], "md")
    (found,) = averaged("height", data=data)
    assert found.direct == pytest.approx(np.ones(6))
    with pytest.raises(FeatureError, match="energy_predicted"):
        averaged("E", data=data)
    with pytest.raises(RequestError, match="needs predictions"):
        averaged("E", data=data, deviations=True)


def test_several_observables_share_the_members():
    both = averaged("height", "E")
    for text, found in zip(("height", "E"), both, strict=True):
        (alone,) = averaged(text)
        np.testing.assert_array_equal(found.direct, alone.direct)
        np.testing.assert_array_equal(found.n_effective, alone.n_effective)


def test_small_blocks_change_nothing(monkeypatch):
    expected_averages = averaged("height", "E")
    monkeypatch.setattr(rows, "BLOCK_BYTES", 8)
    monkeypatch.setattr("prcli.workflows.ensemble.BLOCK_BYTES", 7 * 8 * 6)
    for found, other in zip(averaged("height", "E"), expected_averages, strict=True):
        np.testing.assert_allclose(found.direct, other.direct, rtol=1e-9)
        np.testing.assert_allclose(found.cumulant, other.cumulant, rtol=1e-9)


def test_few_effective_frames_are_warned_of(caplog):
    averaged("height")
    assert "rest on" not in caplog.text
    averaged("height", alpha=5.0)
    assert "of 40 frames" in caplog.text
    assert "cumulant" in caplog.text


def test_cumulant_averages_that_frames_cannot_have_are_warned_of(caplog):
    (usual,) = averaged("height")
    assert usual.n_impossible == 0
    assert "leave the range" not in caplog.text
    (found,) = averaged("height", alpha=50.0)
    heights = trajectory().column("height")
    outside = (found.cumulant < heights.min()) | (found.cumulant > heights.max())
    assert found.n_impossible == np.count_nonzero(outside) > 0
    assert f"for {found.n_impossible} of 6 members" in caplog.text


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.inf, np.nan])
def test_temperature_must_be_positive(temperature):
    with pytest.raises(RequestError, match="--temperature"):
        averaged("height", temperature=temperature)


def test_observables_must_be_numbers():
    names = np.array(["a", "b"])[np.arange(S) % 2]
    with pytest.raises(RequestError, match="not a number"):
        averaged("kind", data=trajectory(kind=names))
    (found,) = averaged("kind == 'a'", data=trajectory(kind=names))
    assert found.plain == 0.5


def test_absent_values_are_named():
    height = np.where(np.arange(S) == 7, np.nan, 1.0)
    with pytest.raises(RequestError, match="absent or not finite") as caught:
        averaged("height", data=trajectory(height=height))
    assert "structure 7" in str(caught.value)


def test_unknown_columns_are_refused():
    with pytest.raises(ExpressionError, match="'hight' is not known"):
        averaged("hight")


def test_constants_are_refused():
    with pytest.raises(RequestError, match="constant"):
        averaged("2 + 3")


def test_frames_without_features_of_structures_are_summed():
    table = features_of(S, D, 2, columns={"height": np.arange(S)})
    assert isinstance(table, Features)
    assert table.structures is None
    (found,) = averaged("height", data=Dataset([Part(table, range(S))], "md"))
    assert found.n_frames == S
