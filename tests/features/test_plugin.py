"""Functions of the user's and featurizers of installed packages, as the command meets them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from atoms_builder import structures_of

from prcli.errors import FeatureError, RequestError
from prcli.features.featurizer import FeaturizerOptions, featurizer_names, make_featurizer

STRUCTURES = structures_of(3)
OPTIONS = FeaturizerOptions((6,), example=STRUCTURES[0])

SOURCE = """
import numpy as np

def heights(structures, power=1):
    return [each.positions[:, 2:] ** power for each in structures]

def ragged(structures):
    return [np.zeros((len(each), 2 + i)) for i, each in enumerate(structures)]

def nothing(structures):
    return None

class Plain:
    name, n_features, blocks, settings = "plain", 1, None, {}

    def check(self, structure):
        pass

    def n_bytes(self, structure, gradients=()):
        return 8 * len(structure)

    def describe(self, structures, gradients=()):
        from prcli.features.featurizer import Description

        return Description(np.concatenate(heights(structures)))

def make_plain(options):
    return Plain()
"""

ENTRIES = """[prcli.featurizers]
plain = their_features:make_plain
broken = no_such_package:make
"""


@pytest.fixture(autouse=True)
def site(tmp_path, monkeypatch):
    """A folder on the path with a module and the metadata of an installed package."""
    (tmp_path / "their_features.py").write_text(SOURCE)
    metadata = tmp_path / "their_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "their_features", raising=False)
    importlib.invalidate_caches()
    yield tmp_path
    sys.modules.pop("their_features", None)


def test_featurizers_of_installed_packages_are_listed():
    assert featurizer_names()[-2:] == ["broken", "plain"]


def test_a_featurizer_of_an_installed_package():
    made = make_featurizer("plain", OPTIONS)
    expected = np.concatenate([each.positions[:, 2:] for each in STRUCTURES])
    np.testing.assert_array_equal(made.describe(STRUCTURES).features, expected)


def test_a_package_that_lacks_something():
    with pytest.raises(
        RequestError, match=r"'broken' of package their-package(.*\n)+.*No module(.*\n)+.*remedy"
    ):
        make_featurizer("broken", OPTIONS)


def test_settings_that_a_function_does_not_take():
    options = FeaturizerOptions((6,), hypers={"powr": 2}, example=STRUCTURES[0], where="h.toml")
    with pytest.raises(RequestError, match=r"these settings(.*\n)+.*h\.toml(.*\n)+.*powr"):
        make_featurizer("python:their_features:heights", options)


def test_structures_of_different_widths():
    made = make_featurizer("python:their_features:ragged", OPTIONS)
    with pytest.raises(FeatureError, match=r"as many features(.*\n)+.*, 2\), .*, 3\), "):
        made.describe(STRUCTURES)


def test_a_function_that_gives_nothing():
    with pytest.raises(FeatureError, match=r"rows of features(.*\n)+.*NoneType"):
        make_featurizer("python:their_features:nothing", OPTIONS)


def test_settings_tell_versions_of_a_function_apart(site: Path):
    name = "python:their_features:heights"
    first = make_featurizer(name, OPTIONS).settings
    assert make_featurizer(name, OPTIONS).settings == first
    (site / "their_features.py").write_text(SOURCE.replace("2:]", ":1]"))
    assert make_featurizer(name, OPTIONS).settings["source"] != first["source"]
