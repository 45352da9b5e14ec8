from __future__ import annotations

import copy
from typing import Any

import pytest

from prcli.errors import FormatError
from prcli.features.hypers import BASIS, CUTOFF, DENSITY, POWER_LAW, Table, check_hypers
from prcli.features.soap import DEFAULTS, HYPERS


def changed(path: str, value: Any) -> dict[str, Any]:
    """The defaults with one value changed, or removed if it is None."""
    hypers = copy.deepcopy(DEFAULTS)
    *parents, key = path.split(".")
    table = hypers
    for name in parents:
        table = table[name]
    table[key] = value
    if value is None:
        del table[key]
    return hypers


def test_defaults_are_accepted_as_they_are():
    assert check_hypers(DEFAULTS, HYPERS, "f") == DEFAULTS


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("density.center_atom_weight", 0.0),
        ("density.scaling", {"type": "Willatt2018", "exponent": 4, "rate": 1, "scale": 2.0}),
        ("cutoff.smoothing", {"type": "Step"}),
        ("cutoff.radius", 5),
        ("basis.spline_accuracy", 1e-6),
        ("basis.radial.radius", 4.5),
        ("basis", {"type": "Explicit", "by_angular": {"0": {"type": "Gto", "max_radial": 3}}}),
        ("density", {"type": "DiracDelta"}),
    ],
)
def test_what_featomic_knows_is_accepted(path, value):
    hypers = changed(path, value)
    assert check_hypers(hypers, HYPERS, "f") == hypers


def test_angular_momenta_may_be_integers():
    basis = {"type": "Explicit", "by_angular": {2: {"type": "Gto", "max_radial": 1}}}
    assert list(check_hypers(basis, BASIS, "f")["by_angular"]) == ["2"]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("cutof", {}, r"key 'cutof' is not known\n  where: +f.toml\n.*\n.*did you mean 'cutoff'"),
        ("density.widht", 0.2, r"'widht' is not known\n.*f.toml, density\n.*\n.*'width'"),
        ("basis.radial.max_radal", 3, r"basis, radial\n.*\n.*did you mean 'max_radial'"),
        ("basis.max_angular", None, r"key 'max_angular' is missing\n.*f.toml, basis"),
        ("density", None, "key 'density' is missing"),
        ("density.type", None, r"key 'type' is missing\n.*density\n.*Gaussian"),
        ("density.type", "Gausian", r"type 'Gausian' is not known\n.*\n.*\n.*'Gaussian'"),
        ("cutoff.smoothing", "Step", r"a table is needed\n.*cutoff, smoothing"),
        ("cutoff.radius", -4.0, r"cutoff, radius\n  expected: +a number above 0\n  got: +-4.0"),
        ("cutoff.radius", float("nan"), "a number above 0"),
        ("cutoff.radius", "4", "a number above 0"),
        ("cutoff.radius", True, "a number above 0"),
        ("basis.max_angular", 4.0, "an integer of at least 0"),
        ("basis.max_angular", -1, "an integer of at least 0"),
        ("density.center_atom_weight", "x", "expected: +a number\n"),
        ("basis.radial", {"type": "Tabulated", "points": 3}, "expected: +a list"),
        ("basis", {"type": "Explicit", "by_angular": {"s": {}}}, "not an angular momentum"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(path, value, message):
    with pytest.raises(FormatError, match=message):
        check_hypers(changed(path, value), HYPERS, "f.toml")


def test_a_step_has_no_width():
    smoothing = {"type": "Step", "width": 0.5}
    with pytest.raises(FormatError, match="no key but type"):
        check_hypers({"radius": 4.0, "smoothing": smoothing}, CUTOFF, "f")


def test_kinds_of_density_are_not_mixed():
    power_law = {"type": "SmearedPowerLaw", "smearing": 1.0, "exponent": 3}
    assert check_hypers(power_law, POWER_LAW, "f") == power_law
    with pytest.raises(FormatError, match="SmearedPowerLaw"):
        check_hypers(power_law, DENSITY, "f")


def test_a_copy_is_given():
    given = {"a": {"type": "Step"}}
    table = Table({"a": CUTOFF.required["smoothing"]})
    checked = check_hypers(given, table, "f")
    checked["a"]["type"] = "other"
    assert given["a"]["type"] == "Step"
