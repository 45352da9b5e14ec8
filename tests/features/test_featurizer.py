from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints

import numpy as np
import pytest
from atoms_builder import count_atoms, structures_of

from prcli.errors import FeatureError, RequestError
from prcli.features import featurizer
from prcli.features.featurizer import FeaturizerOptions, find_factory, make_featurizer

STRUCTURES = structures_of(3)
OPTIONS = FeaturizerOptions((6,), example=STRUCTURES[0])


@pytest.fixture(autouse=True)
def paths(monkeypatch):
    """Keep what looking for functions adds to the path."""
    monkeypatch.setattr(sys, "path", [*sys.path])


def positions(structures, power=1):
    """Features that are easy to check."""
    return [structure.positions**power for structure in structures]


def all_rows(structures):
    return np.concatenate(positions(structures))


def no_rows(structures):
    return [np.zeros((1, 2))] * len(structures)


def one_number(structures):
    return np.zeros(len(structures))


def words(structures):
    return np.full((sum(map(len, structures)), 2), "a")


def named(function) -> str:
    return f"python:{__name__}:{function.__name__}"


@pytest.mark.parametrize("function", [positions, all_rows])
def test_a_python_function_is_a_featurizer(function):
    made = make_featurizer(named(function), OPTIONS)
    assert made.n_features == 3
    description = made.describe(STRUCTURES)
    np.testing.assert_array_equal(description.features, all_rows(STRUCTURES))
    assert description.forces is None


def test_its_settings_are_arguments():
    options = FeaturizerOptions((6,), hypers={"power": 2}, example=STRUCTURES[0])
    made = make_featurizer(named(positions), options)
    np.testing.assert_array_equal(made.describe(STRUCTURES).features, all_rows(STRUCTURES) ** 2)
    assert made.settings["hypers"] == {"power": 2}


@pytest.mark.parametrize("function", [no_rows, one_number, words])
def test_what_a_python_function_gives_is_checked(function):
    n_atoms = count_atoms(STRUCTURES)[0]
    with pytest.raises(FeatureError, match=rf"did not give one row(.*\n)+.*{n_atoms}"):
        make_featurizer(named(function), OPTIONS)


@pytest.mark.parametrize("name", ["python:", "python:numpy", "python:numpy:", "python::f"])
def test_a_python_function_needs_module_and_name(name):
    with pytest.raises(RequestError, match="python:MODULE:FUNCTION"):
        find_factory(name)


@pytest.mark.parametrize("name", ["python:no_such_module:f", "python:numpy:no_such_function"])
def test_a_python_function_that_is_not_there(name):
    with pytest.raises(RequestError, match="cannot be found"):
        find_factory(name)


def test_a_python_function_has_no_gradients():
    options = FeaturizerOptions((6,), gradients=("force",), example=STRUCTURES[0])
    with pytest.raises(RequestError, match="has no force rows"):
        make_featurizer(named(positions), options)


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(RequestError, match=r"'sop' is not known(.*\n)+.*did you mean 'soap'"):
        find_factory("sop")


def test_installed_packages_add_featurizers(monkeypatch):
    point = EntryPoint("mine", f"{__name__}:make_mine", featurizer.ENTRY_POINT_GROUP)

    def entry_points(**wanted):
        return EntryPoints([point]).select(**wanted)

    monkeypatch.setattr(featurizer, "entry_points", entry_points)
    assert featurizer.featurizer_names()[-1] == "mine"
    assert make_featurizer("mine", OPTIONS) == ("mine", OPTIONS)


def make_mine(options):
    return "mine", options


def test_without_featomic_the_remedy_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "featomic", None)
    with pytest.raises(RequestError, match=r'pip install "prcli\[soap\]"'):
        make_featurizer("soap", OPTIONS)
