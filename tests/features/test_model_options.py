from __future__ import annotations

import logging
import sys

import numpy as np
import pytest
from ase import Atoms

from prcli.errors import FeatureError, FormatError, InputFileError, RequestError
from prcli.features.featurizer import FeaturizerOptions, make_featurizer
from prcli.features.model_options import (
    ModelOptions,
    check_structure,
    choose_kind,
    count_edges,
    read_model_options,
)


def read(**hypers):
    return read_model_options("mace", FeaturizerOptions((6,), hypers=hypers, where="h.toml"))


def test_defaults():
    assert read(model="a.model") == ModelOptions("a.model")
    assert read(model="a.model", head=None).device == "cpu"


def test_a_misspelt_key_is_told_with_the_nearest():
    with pytest.raises(FormatError, match=r"'devise'(.*\n)+.*h\.toml(.*\n)+.*mean 'device'"):
        read(model="a.model", devise="cpu")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("feature_kind", "last", "last-layer or descriptor"),
        ("precision", "double", "float32 or float64"),
        ("device", 0, "text"),
    ],
)
def test_values_are_checked(key, value, expected):
    with pytest.raises(FormatError, match=rf"'{key}'(.*\n)+.*{expected}"):
        read(model="a.model", **{key: value})


def test_the_model_must_be_named():
    with pytest.raises(FormatError, match="no model file"):
        read(device="cpu")


@pytest.mark.parametrize("choice", [{"per_species": True}, {"distinct": True}])
def test_columns_are_the_model_s_own(choice):
    options = FeaturizerOptions((6,), hypers={"model": "a.model"}, **choice)
    with pytest.raises(RequestError, match="columns of mace are its own"):
        read_model_options("mace", options)


@pytest.mark.parametrize("name", ["mace", "metatomic"])
def test_a_missing_package_is_told_with_the_extra(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, {"metatomic": "metatomic.torch"}.get(name, name), None)
    path = tmp_path / "some.model"
    path.write_bytes(b"")
    options = FeaturizerOptions((6,), hypers={"model": str(path)})
    with pytest.raises(RequestError, match=rf'cannot be imported(.*\n)+.*"prcli\[{name}\]"'):
        make_featurizer(name, options)


@pytest.mark.parametrize("name", ["mace", "metatomic"])
def test_a_missing_model_is_told_first(name, tmp_path):
    options = FeaturizerOptions((6,), hypers={"model": str(tmp_path / "nowhere.model")})
    with pytest.raises(InputFileError, match=r"missing(.*\n)+.*nowhere\.model"):
        make_featurizer(name, options)


def test_descriptors_for_want_of_others_are_said(caplog):
    with caplog.at_level(logging.WARNING):
        assert choose_kind(ModelOptions("a.model"), True) == "last-layer"
        assert not caplog.records
        assert choose_kind(ModelOptions("a.model"), False, "odd readouts") == "descriptor"
    assert "a.model has no last-layer features (odd readouts)" in caplog.text


def test_descriptors_that_are_asked_for_need_no_warning(caplog):
    options = ModelOptions("a.model", feature_kind="descriptor")
    with caplog.at_level(logging.WARNING):
        assert choose_kind(options, True) == "descriptor"
    assert not caplog.records


def test_last_layer_features_that_are_not_there():
    options = ModelOptions("a.model", feature_kind="last-layer")
    with pytest.raises(RequestError, match=r"a\.model(.*\n)+.*odd readouts"):
        choose_kind(options, False, "odd readouts")


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (Atoms(), "no atoms"),
        (Atoms("CO", [[0, 0, 0], [0, 0, 1]]), r"all elements(.*\n)+.*got: +O"),
        (Atoms("C", pbc=True), "does not span"),
        (Atoms("C", pbc=(True, True, False), cell=[[1, 0, 0], [2, 0, 0], [0, 0, 3]]), "not span"),
    ],
)
def test_structures_that_a_model_cannot_be_run_on(structure, message):
    with pytest.raises(FeatureError, match=message) as refused:
        check_structure(structure, (1, 6))
    # Whoever knows the frame adds it.
    assert refused.value.where is None


def test_structures_that_it_can():
    check_structure(Atoms("CH", [[0, 0, 0], [0, 0, 1]]), (1, 6))
    check_structure(Atoms("C", pbc=(True, False, False), cell=[3.0, 0.0, 0.0]), (1, 6))


def test_neighbours_are_counted_by_density():
    crystal = Atoms("C", cell=np.eye(3) * 2.0, pbc=True)
    assert count_edges(crystal, 3.0) == pytest.approx(4 / 3 * np.pi * 27 / 8)
    assert count_edges(Atoms("C2", [[0, 0, 0], [0, 0, 1]]), 3.0) == 2.0
