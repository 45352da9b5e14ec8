from __future__ import annotations

import dataclasses

import pytest

from prcli.errors import RequestError
from prcli.records import Loss
from prcli.workflows.loss_options import LossOptions, loss_of, weight_names

KINDS = ("energy", "force", "stress")


def test_squared_errors_of_six_components_by_default():
    assert loss_of(None) == loss_of(LossOptions()) == Loss("squared", stress_components=6)


def test_record_keeps_what_is_inside_the_rows():
    options = LossOptions("huber", 0.01, 0.02, 0.03, stress_components=9, weight_key="w")
    assert loss_of(options) == Loss("huber", 0.01, 0.02, 0.03, 9)


@pytest.mark.parametrize("name", ["mse", "Huber", "", None])
def test_unknown_loss(name):
    with pytest.raises(RequestError, match="--loss is not known") as caught:
        LossOptions(name)
    assert "squared, huber, log-cosh, mace-universal" in str(caught.value)


@pytest.mark.parametrize("number", [0, 3, 7, "9"])
def test_stress_has_six_or_nine_components(number):
    with pytest.raises(RequestError, match="--stress-components is not known"):
        LossOptions(stress_components=number)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("delta", [0.0, -1.0, float("nan"), float("inf"), "0.1", True])
def test_widths_are_positive_numbers(kind, delta):
    with pytest.raises(RequestError, match="a width of the loss is not valid") as caught:
        LossOptions("huber", **{f"{kind}_delta": delta})
    assert f"--{kind}-delta" in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_squared_errors_have_no_width(kind):
    with pytest.raises(RequestError, match="squared errors have no width") as caught:
        LossOptions(**{f"{kind}_delta": 0.1})
    assert f"--{kind}-delta" in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [f.name for f in dataclasses.fields(LossOptions) if "refer" in f.name or "key" in f.name],
)
@pytest.mark.parametrize("value", ["", 3])
def test_names_are_texts(name, value):
    with pytest.raises(RequestError, match="a name of a column or key is not valid"):
        LossOptions(**{name: value})


@pytest.mark.parametrize(
    ("names", "where"),
    [
        ({"reference": "energy_predicted"}, "--reference and --predicted"),
        ({"force_predicted": "forces"}, "--force-reference and --force-predicted"),
        ({"stress_predicted": "stress"}, "--stress-reference and --stress-predicted"),
    ],
)
def test_prediction_differs_from_reference(names, where):
    with pytest.raises(RequestError, match="reference and prediction are the same") as caught:
        LossOptions("huber", 0.1, 0.1, 0.1, **names)
    assert where in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_width_names_its_option(kind):
    with pytest.raises(RequestError, match=f"needs a width for {kind} rows") as caught:
        LossOptions("log-cosh").require_delta(kind)
    assert f"--{kind}-delta" in str(caught.value)


def test_weight_keys_of_a_kind_begin_with_that_of_all():
    options = LossOptions(weight_key="w", force_weight_key="f")
    assert options.weight_keys("force") == ("w", "f")
    assert options.weight_keys("stress") == ("w",)
    assert LossOptions(force_weight_key="f").weight_keys("force") == ("f",)


def test_names_of_weights_for_the_record():
    options = LossOptions(weight_key="w", energy_weight_key="e", force_weight_key="f")
    assert weight_names(options, {"energy", "force"}) == ("w", "energy:e", "force:f")
    assert weight_names(options, {"energy"}) == ("w", "energy:e")
    assert weight_names(LossOptions(stress_weight_key="s"), {"stress"}) == ("stress:s",)
    assert weight_names(None, {"energy"}) == ()
