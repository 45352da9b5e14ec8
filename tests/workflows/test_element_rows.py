"""Columns of elements of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builders import atoms_for, counts_of, frames_of, species_of, sums_of, write_frames

from prcli.data.row_offsets import structure_runs
from prcli.data.store import open_store
from prcli.errors import FeatureError, RequestError
from prcli.records import Block
from prcli.workflows import import_rows
from prcli.workflows.features_import import import_features
from prcli.workflows.import_request import ImportRequest

COUNTS = counts_of(9, 2)
ATOMS = atoms_for(COUNTS, 4)
FRAMES = frames_of(COUNTS, seed=2)
NUMBERS = species_of(FRAMES)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_frames(Path("s.xyz"), FRAMES)
    np.save("f.npy", ATOMS)
    np.save("means.npy", sums_of(ATOMS, COUNTS) / COUNTS[:, np.newaxis])


def spread(elements: tuple[int, ...]) -> np.ndarray:
    return np.hstack([np.where((NUMBERS == z)[:, np.newaxis], ATOMS, 0.0) for z in elements])


def request(**given: object) -> ImportRequest:
    settings = {"features": "f.npy", "convention": "per-atom", "per_species": True} | given
    return ImportRequest("s.xyz", "o.h5", **settings)


@pytest.mark.parametrize("n_bytes", [1, 32 * 7, 1 << 24])
def test_rows_are_spread_over_elements(monkeypatch, n_bytes):
    monkeypatch.setattr(import_rows, "_BLOCK_BYTES", n_bytes)
    import_features(request())
    with open_store("o.h5") as store:
        assert store.blocks == (Block("H", 4), Block("C", 4), Block("O", 4))
        np.testing.assert_array_equal(store.atoms.read(0, len(ATOMS)), spread((1, 6, 8)))
        expected = sums_of(spread((1, 6, 8)), COUNTS) / COUNTS[:, np.newaxis]
        np.testing.assert_allclose(store.structures.read(0, 9), expected, rtol=1e-13)


def test_memory_counts_the_columns_of_all_elements(monkeypatch):
    monkeypatch.setattr(import_rows, "_BLOCK_BYTES", 2 * 12 * 8)
    seen = []
    import_features(request(), lambda task, done, total: seen.append(done))
    offsets = np.concatenate([[0], np.cumsum(COUNTS)])
    assert seen == [stop for _, stop in structure_runs(offsets, 2)]


def test_listed_elements_and_components():
    import_features(request(species=("N", "O", "C", "H"), blocks="a:1,b:3"))
    with open_store("o.h5") as store:
        np.testing.assert_array_equal(store.atoms.read(0, len(ATOMS)), spread((1, 6, 7, 8)))
        names = [f"{symbol}/{name}" for symbol in "HCNO" for name in "ab"]
        assert [block.name for block in store.blocks] == names


def test_type_is_kept():
    np.save("f.npy", ATOMS.astype(np.float32))
    import_features(request())
    with open_store("o.h5") as store:
        assert store.atoms.dtype == np.float32


def test_element_without_columns():
    with pytest.raises(FeatureError, match="an element has no columns") as caught:
        import_features(request(species=("C", "H")))
    assert caught.value.got == "O"
    first = int(np.searchsorted(np.cumsum(COUNTS), np.argmax(NUMBERS == 8), side="right"))
    assert caught.value.where == f"s.xyz, frame {first}"
    assert not Path("o.h5").exists()


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"features": "means.npy", "convention": "mean"}, "cannot be taken apart"),
        ({"species": ("C", "Hh")}, "element 'Hh' is not known"),
        ({"per_species": False, "species": ("C",)}, "option of --per-species"),
        ({"gradients": True}, "gradients cannot be taken apart"),
    ],
)
def test_requests_that_cannot_be_satisfied(given, match):
    with pytest.raises(RequestError, match=match):
        import_features(request(**given))
    assert not Path("o.h5").exists()
