"""``features compute`` with models; tiny ones, where the packages are installed."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pytest
from ase import Atoms
from atoms_builder import count_atoms, structures_of, write_xyz
from mace_models import build, save

STRUCTURES = structures_of(5, seed=2, symbols=("C", "Si"))
COUNTS = count_atoms(STRUCTURES)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_xyz(Path("s.xyz"), STRUCTURES)
    return tmp_path


@pytest.mark.parametrize("name", ["mace", "metatomic"])
def test_a_missing_package(fails, monkeypatch, name):
    monkeypatch.setitem(sys.modules, {"metatomic": "metatomic.torch"}.get(name, name), None)
    Path("some.model").write_bytes(b"")
    message = fails("features", "compute", name, "some.model", "s.xyz", "-o", "o.h5")
    assert f'pip install "prcli[{name}]"' in message
    assert not Path("o.h5").exists()


@pytest.mark.parametrize("name", ["mace", "metatomic"])
def test_help_says_what_a_model_is(prcli, name):
    outcome = prcli("features", "compute", name, "--help")
    assert outcome.code == 0
    for text in ("MODEL STRUCTURES", "--feature-kind", "--head", "--device", "--gradients"):
        assert text in outcome.text
    assert ("--extensions" in outcome.text) == (name == "metatomic")
    assert "--hypers" not in outcome.text


def test_the_model_is_not_replaced(fails):
    Path("some.model").write_bytes(b"weights")
    message = fails(
        "features", "compute", "mace", "some.model", "s.xyz", "-o", "some.model", "--overwrite"
    )
    assert "the output is one of the inputs" in message
    assert Path("some.model").read_bytes() == b"weights"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    place = tmp_path_factory.mktemp("models")
    return {
        name: save(build("ScaleShiftMACE", name), place / f"{name}.model")
        for name in ("float64", "float32")
    }


@pytest.mark.skipif(find_spec("mace") is None, reason="needs mace-torch")
class TestMace:
    def test_a_store_says_what_its_features_are(self, prcli, models):
        outcome = prcli("features", "compute", "mace", models["float64"], "s.xyz", "-o", "o.h5")
        assert outcome.code == 0, outcome.err
        assert outcome.out == b""
        assert "give its energies to" in outcome.err
        assert "--species" not in outcome.err
        with h5py.File("o.h5") as file:
            assert file.attrs["feature_kind"] == "last-layer"
            assert file.attrs["blocks"] == "layer_1:4,layer_2:3"
            assert file["atoms/features"].shape == (COUNTS.sum(), 7)
            provenance = json.loads(file.attrs["provenance"])
        assert models["float64"] in json.dumps(provenance["inputs"])
        assert "last-layer" in prcli("info", "o.h5").text

    def test_descriptors(self, prcli, models):
        prcli(
            *("features", "compute", "mace", models["float64"], "s.xyz", "-o", "o.h5"),
            *("--feature-kind", "descriptor", "--no-atoms"),
        )
        with h5py.File("o.h5") as file:
            assert file.attrs["feature_kind"] == "descriptor"
            assert file["structures/features"].shape == (5, 8)

    def test_gradients_of_a_float32_model(self, prcli, models):
        outcome = prcli(
            *("features", "compute", "mace", models["float32"], "s.xyz", "-o", "o.h5"),
            *("--gradients", "both", "--dtype", "float32"),
        )
        assert outcome.code == 0, outcome.err
        with h5py.File("o.h5") as file:
            assert file["gradients/rows"].shape == (3 * COUNTS.sum() + 30, 7)
            assert file["gradients/rows"].dtype == np.float32
        assert prcli("hessian", "o.h5", "-o", "h.hessian").code == 0

    def test_options_from_the_configuration(self, prcli, models):
        Path("run.toml").write_text(
            '[features.compute.mace]\nfeature-kind = "descriptor"\nprecision = "float32"\n'
        )
        outcome = prcli(
            *("features", "compute", "mace", models["float64"], "s.xyz", "-o", "o.h5"),
            *("--config", "run.toml", "-v"),
        )
        assert outcome.code == 0, outcome.err
        assert "feature_kind descriptor" in outcome.err
        assert "precision float32" in outcome.err

    def test_an_unknown_element_is_found_before_long_work(self, fails, models):
        write_xyz(Path("o.xyz"), [*STRUCTURES, Atoms("CO", [[0, 0, 0], [0, 0, 1.1]])])
        message = fails("features", "compute", "mace", models["float64"], "o.xyz", "-o", "o.h5")
        for text in ("all elements", "C, Si", "O"):
            assert text in message

    def test_atoms_on_top_of_each_other(self, fails, models):
        close = Atoms("C2", np.zeros((2, 3)), cell=np.eye(3) * 5.0, pbc=True)
        write_xyz(Path("o.xyz"), [*STRUCTURES, close])
        message = fails("features", "compute", "mace", models["float64"], "o.xyz", "-o", "o.h5")
        for text in ("not finite", "o.xyz, frame 5", "atom 0"):
            assert text in message
        assert not Path("o.h5").exists()
