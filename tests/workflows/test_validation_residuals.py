from __future__ import annotations

import logging

import numpy as np
import pytest
from builders import counts_of, gradients_of
from validation_set import ValidationSet

from prcli.errors import ExpressionError, FeatureError, RequestError
from prcli.workflows.frames import Frames
from prcli.workflows.validation_residuals import ResidualKeys, read_residuals

KINDS = ("energy", "force", "stress")


def read(valid, keys=None, energy="per-atom", data=None):
    data = valid.data() if data is None else data
    return read_residuals(data, energy, keys or ResidualKeys(), lambda: Frames(data))


def no_frames():
    raise AssertionError("structure files must not be opened")


@pytest.mark.parametrize("energy", ["per-atom", "total"])
def test_all_kinds_come_from_the_structure_file(tmp_path, energy):
    valid = ValidationSet(tmp_path)
    found = read(valid, energy=energy)
    assert list(found) == list(KINDS)
    for kind in KINDS:
        np.testing.assert_array_equal(found[kind], valid.of_kind(kind, energy))


def test_order_is_that_of_the_set(tmp_path):
    valid = ValidationSet(tmp_path)
    found = read(valid, data=valid.data(range(8, 2, -3), range(0, 2)))
    order = [8, 5, 0, 1]
    np.testing.assert_array_equal(found["energy"], valid.of_kind("energy")[order])
    stops = 3 * np.cumsum(valid.counts)
    forces = [valid.of_kind("force")[stops[i] - 3 * valid.counts[i] : stops[i]] for i in order]
    np.testing.assert_array_equal(found["force"], np.concatenate(forces))
    stresses = valid.of_kind("stress").reshape(-1, 6)[order]
    np.testing.assert_array_equal(found["stress"], stresses.ravel())


def test_energies_in_columns_need_no_structure_file(tmp_path):
    nothing = dict.fromkeys(("gradients", "gradient_kind", "gradient_structure"))
    valid = ValidationSet(tmp_path, **nothing)
    valid = ValidationSet(tmp_path, columns=valid.columns(), **nothing)
    found = read_residuals(valid.data(), "total", ResidualKeys(), no_frames)
    assert list(found) == ["energy"]
    np.testing.assert_array_equal(found["energy"], valid.of_kind("energy", "total"))


def test_names_may_be_given(tmp_path):
    valid = ValidationSet(tmp_path)
    keys = ResidualKeys(
        "energy_predicted",
        "energy",
        "forces_predicted",
        "forces",
        "stress_predicted",
        "stress",
    )
    found = read(valid, keys)
    for kind in KINDS:
        np.testing.assert_array_equal(found[kind], -valid.of_kind(kind))


def test_one_name_may_be_given(tmp_path):
    keys = ResidualKeys(predicted="mine")
    assert keys.names("energy") == ("energy", "mine")
    assert keys.is_given("energy")
    assert not keys.is_given("force")


def test_what_some_frames_lack_is_left_out_and_said(tmp_path, caplog):
    lacks = {"energy_predicted": [1], "forces": [0, 2], "stress_predicted": [3]}
    valid = ValidationSet(tmp_path, without=lacks)
    found = read(valid)
    assert np.flatnonzero(np.isnan(found["energy"])).tolist() == [1]
    assert np.flatnonzero(np.isnan(found["stress"])).tolist() == list(range(18, 24))
    n_forces = 3 * int(valid.counts[0] + valid.counts[2])
    assert np.count_nonzero(np.isnan(found["force"])) == n_forces
    known = np.isfinite(found["force"])
    np.testing.assert_array_equal(found["force"][known], valid.of_kind("force")[known])
    assert "1 of 12 energy rows" in caplog.text
    assert f"{n_forces} of {known.size} force rows" in caplog.text
    assert "6 of 72 stress rows" in caplog.text


def test_kind_without_predictions_is_left_out_and_said(tmp_path, caplog):
    valid = ValidationSet(tmp_path, without={"forces_predicted": range(12)})
    assert list(read(valid)) == ["energy", "stress"]
    assert "forces are not calibrated: no frame has both forces and forces_predicted" in caplog.text
    assert "--force-predicted" in caplog.text


def test_forces_alone_will_do(tmp_path, caplog):
    everywhere = range(12)
    valid = ValidationSet(tmp_path, without={"energy_predicted": everywhere, "stress": everywhere})
    assert list(read(valid)) == ["force"]
    assert "energies are not calibrated: name 'energy_predicted' is not known" in caplog.text


@pytest.mark.parametrize(
    ("keys", "error", "message"),
    [
        ({"reference": "nothing"}, ExpressionError, "'nothing' is not known"),
        ({"force_predicted": "nothing"}, FeatureError, "no frame has both forces and nothing"),
        ({"stress_reference": "nothing"}, FeatureError, "no frame has both nothing and stress"),
    ],
)
def test_name_that_was_given_must_be_there(tmp_path, keys, error, message):
    with pytest.raises(error, match=message):
        read(ValidationSet(tmp_path), ResidualKeys(**keys))


def test_name_for_rows_that_are_not_there_is_refused(tmp_path):
    nothing = dict.fromkeys(("gradients", "gradient_kind", "gradient_structure"))
    valid = ValidationSet(tmp_path, **nothing)
    with pytest.raises(RequestError, match="the validation set has no force rows"):
        read(valid, ResidualKeys(force_reference="forces"))


def test_nothing_at_all_is_refused(tmp_path):
    everywhere = range(12)
    lacks = dict.fromkeys(("energy", "forces", "stress"), everywhere)
    with pytest.raises(RequestError, match="no residuals to calibrate with") as caught:
        read(ValidationSet(tmp_path, without=lacks))
    assert "'energy' is not known" in str(caught.value)
    assert "--reference and --predicted" in str(caught.value)


def test_reduced_rows_have_no_residuals(tmp_path, caplog):
    counts = counts_of(12, 7)
    parts = gradients_of(counts, 4, reduced=True)
    valid = ValidationSet(tmp_path, **parts)
    assert list(read(valid)) == ["energy"]
    assert "force rows were reduced" in caplog.text
    with pytest.raises(FeatureError, match="stress rows were reduced"):
        read(valid, ResidualKeys(stress_predicted="stress_predicted"))


def test_forces_without_structure_file_are_left_out_and_said(tmp_path, caplog):
    valid = ValidationSet(tmp_path, with_source=False)
    valid = ValidationSet(tmp_path, with_source=False, columns=valid.columns())
    assert list(read(valid)) == ["energy"]
    assert "forces are not calibrated" in caplog.text
    assert "--structures" in caplog.text
    with pytest.raises(RequestError, match="structures behind the features are not known"):
        read(valid, ResidualKeys(force_reference="forces"))


def test_complete_sets_cause_no_warning(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        read(ValidationSet(tmp_path))
    assert not caplog.records


def test_reference_is_not_its_own_prediction():
    with pytest.raises(RequestError, match="reference and prediction are the same"):
        ResidualKeys(reference="energy", predicted="energy")


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_left_out_one_by_one(tmp_path, caplog, wrong):
    forces = np.zeros((int(counts_of(12, 7).sum()), 3))
    stress = np.zeros((12, 6))
    forces[4, 1] = stress[2, 3] = wrong
    found = read(ValidationSet(tmp_path, residuals={"forces": forces, "stress": stress}))
    assert np.flatnonzero(np.isnan(found["force"])).tolist() == [13]
    assert np.flatnonzero(np.isnan(found["stress"])).tolist() == [15]
    assert f"1 of {forces.size} force rows have no finite forces" in caplog.text
