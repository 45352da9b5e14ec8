"""The command's workflow with SOAP and LODE features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from atoms_builder import structures_of, write_xyz

from prcli.data.store import open_store
from prcli.errors import PrcliError, RequestError
from prcli.features.featurizer import FeaturizerOptions, make_featurizer
from prcli.features.soap import DEFAULTS
from prcli.workflows import compute_batches, features_compute
from prcli.workflows.compute_request import ComputeRequest
from prcli.workflows.features_compute import compute_features

featomic = pytest.importorskip("featomic")

SYMBOLS = ("H", "C", "O")
STRUCTURES = structures_of(9, seed=2, symbols=SYMBOLS)
CONFIGS = Path(__file__).parents[2] / "configs"
REQUEST = ComputeRequest("soap", "s.xyz", "o.h5", with_provenance=False)


class StopError(Exception):
    """Whatever ends a run."""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Every structure is a batch of its own.
    monkeypatch.setattr(compute_batches, "BATCH_BYTES", 1)
    write_xyz(Path("s.xyz"), STRUCTURES)
    return tmp_path


def test_rows_are_those_of_featomic():
    structures = structures_of(5, seed=4)
    write_xyz(Path("s.xyz"), structures)
    compute_features(REQUEST)
    block = featomic.SoapPowerSpectrum(**DEFAULTS).compute(structures).block()
    with open_store("o.h5") as store:
        found = store.atoms.read(0, store.atoms.shape[0])
        np.testing.assert_array_equal(found, np.asarray(block.values))
        assert [(b.name, b.width) for b in store.blocks] == [("C-C", 125)]


@pytest.mark.parametrize("gradients", ["force", "stress", "both"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradient_rows_stand_in_their_places(gradients, dtype):
    request = replace(REQUEST, gradients=gradients, dtype=dtype)
    summary = compute_features(request)
    kinds = {"both": ("force", "stress")}.get(gradients, (gradients,))
    soap = make_featurizer("soap", FeaturizerOptions((1, 6, 8), gradients=kinds))
    with h5py.File("o.h5") as file:
        rows, kind = file["gradients/rows"], file["gradients/kind"][...]
        owner = file["gradients/structure"][...]
        assert rows.dtype == dtype
        assert len(rows) == summary.n_gradient_rows
        for i, structure in enumerate(STRUCTURES):
            description = soap.describe([structure], kinds)
            for code, part in ((1, description.forces), (2, description.stress)):
                here = np.flatnonzero((owner == i) & (kind == code))
                if part is None:
                    assert here.size == 0
                else:
                    np.testing.assert_array_equal(rows[here], part.astype(dtype))


def test_batches_of_any_size_give_the_same_bytes(monkeypatch):
    request = replace(REQUEST, gradients="both", dtype="float32")
    compute_features(request)
    monkeypatch.setattr(compute_batches, "BATCH_BYTES", 1 << 30)
    compute_features(replace(request, output="p.h5"))
    assert Path("o.h5").read_bytes() == Path("p.h5").read_bytes()


def test_an_interrupted_run_goes_on(monkeypatch):
    request = replace(REQUEST, gradients="both")
    compute_features(request)
    write = features_compute._write_batch

    def fail_later(writer, batch, *others):
        if batch.start == 5:
            raise StopError
        write(writer, batch, *others)

    monkeypatch.setattr(features_compute, "_write_batch", fail_later)
    with pytest.raises(StopError):
        compute_features(replace(request, output="p.h5"))
    monkeypatch.setattr(features_compute, "_write_batch", write)
    assert compute_features(replace(request, output="p.h5")).n_resumed == 6
    assert Path("p.h5").read_bytes() == Path("o.h5").read_bytes()


def test_columns_of_sets_agree_by_species():
    listed = replace(REQUEST, species=SYMBOLS)
    compute_features(listed)
    write_xyz(Path("s.xyz"), structures_of(3, symbols=("C",)))
    compute_features(replace(listed, output="p.h5"))
    with open_store("o.h5") as one, open_store("p.h5") as other:
        assert one.blocks == other.blocks


def test_molecules_have_forces_and_no_stress():
    write_xyz(Path("s.xyz"), [*STRUCTURES, *structures_of(1, pbc=False)])
    with pytest.raises(RequestError, match=r"no stress\n.*s.xyz, frame 9"):
        compute_features(replace(REQUEST, gradients="both"))
    with pytest.raises(RequestError, match=r"no stress\n.*frame 9"):
        compute_features(replace(REQUEST, gradients="stress"))
    compute_features(replace(REQUEST, gradients="force"))


def test_store_is_that_of_the_sample_data():
    sample = Path(__file__).parents[2] / "sample_data"
    request = replace(REQUEST, structures=f"{sample / 'pool.xyz'}@:5", dtype="float32")
    compute_features(request)
    with open_store("o.h5") as ours, open_store(sample / "pool.h5") as theirs:
        n_atoms = ours.atoms.shape[0]
        expected = theirs.atoms.read(0, n_atoms)
        np.testing.assert_allclose(ours.atoms.read(0, n_atoms), expected, atol=1e-6)


def test_defaults_are_those_of_the_shipped_file():
    compute_features(REQUEST)
    compute_features(replace(REQUEST, output="p.h5", hypers=str(CONFIGS / "soap.toml")))
    assert Path("o.h5").read_bytes() == Path("p.h5").read_bytes()


def test_lode_of_the_shipped_file():
    hypers = str(CONFIGS / "lode.toml")
    compute_features(replace(REQUEST, featurizer="lode", hypers=hypers, gradients="force"))
    with open_store("o.h5") as store:
        assert [block.name for block in store.blocks] == ["short", "long"]
        assert store.gradients.has("force")


def test_lode_needs_periodic_structures():
    hypers = str(CONFIGS / "lode.toml")
    write_xyz(Path("s.xyz"), [*STRUCTURES, *structures_of(1, pbc=(True, True, False))])
    with pytest.raises(PrcliError, match=r"periodic in three directions\n.*frame 9"):
        compute_features(replace(REQUEST, featurizer="lode", hypers=hypers))
