from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builders import atoms_for, counts_of, frames_of, species_of, sums_of, write_frames

from prcli.data.store import open_store
from prcli.errors import FeatureError, OutputError, RequestError
from prcli.records import Block
from prcli.workflows import import_rows as module
from prcli.workflows.features_import import import_features
from prcli.workflows.import_request import ImportRequest

# One structure is larger than several blocks together.
COUNTS = np.array([2, 3, 200, 1, 1, 40, 5])
ATOMS = atoms_for(COUNTS, 4)
MEANS = sums_of(ATOMS, COUNTS) / COUNTS[:, np.newaxis]
FRAMES = frames_of(COUNTS, seed=1)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_frames(Path("s.xyz"), FRAMES)
    np.save("atoms.npy", ATOMS)
    np.save("means.npy", MEANS)
    write_frames(Path("f.xyz"), frames_of(COUNTS, seed=1, atoms=ATOMS))
    return tmp_path


REQUESTS = {
    "atoms": ImportRequest("s.xyz", "o.h5", "atoms.npy", convention="per-atom"),
    "means": ImportRequest("s.xyz", "o.h5", "means.npy", convention="mean"),
    "column": ImportRequest("f.xyz", "o.h5", feature_key="feats"),
}


@pytest.mark.parametrize("kind", sorted(REQUESTS))
@pytest.mark.parametrize("n_bytes", [1, 32 * 7, 32 * 50, 1 << 24])
def test_size_of_the_blocks_does_not_matter(monkeypatch, kind, n_bytes):
    monkeypatch.setattr(module, "_BLOCK_BYTES", n_bytes)
    seen = []
    summary = import_features(REQUESTS[kind], lambda *step: seen.append(step))
    assert (summary.n_structures, summary.n_atoms, summary.n_features) == (7, COUNTS.sum(), 4)
    assert seen[-1] == ("import", 7, 7)
    with open_store("o.h5") as store:
        np.testing.assert_allclose(store.structures.read(0, 7), MEANS, rtol=1e-13)
        np.testing.assert_array_equal(store.species, species_of(FRAMES))
        np.testing.assert_array_equal(store.n_atoms, COUNTS)
        if kind != "means":
            np.testing.assert_array_equal(store.atoms.read(0, len(ATOMS)), ATOMS)


@pytest.mark.parametrize("n_bytes", [1, 32 * 7, 1 << 24])
def test_structures_that_are_not_finite(monkeypatch, n_bytes):
    monkeypatch.setattr(module, "_BLOCK_BYTES", n_bytes)
    rows = ATOMS.copy()
    ends = np.cumsum(COUNTS)
    # The last atom of the large structure, and the last atom of all.
    rows[[ends[2] - 1, ends[6] - 1], 3] = np.nan
    np.save("atoms.npy", rows)
    with pytest.raises(FeatureError) as caught:
        import_features(REQUESTS["atoms"])
    assert "atoms.npy, column 3, for s.xyz, frame 2, atom 199" in str(caught.value)
    assert not Path("o.h5").exists()
    request = ImportRequest(
        "s.xyz@::-1", "o.h5", "atoms.npy", convention="per-atom", skip_invalid=True
    )
    np.save("atoms.npy", np.concatenate(np.split(rows, ends[:-1])[::-1]))
    summary = import_features(request)
    assert summary.skipped == (6, 2)
    with open_store("o.h5") as store:
        np.testing.assert_array_equal(store.n_atoms, COUNTS[[5, 4, 3, 1, 0]])
        np.testing.assert_array_equal(store.source.frame, [5, 4, 3, 1, 0])
        np.testing.assert_allclose(store.structures.read(0, 5), MEANS[[5, 4, 3, 1, 0]], rtol=1e-13)


def test_source_of_every_structure():
    import_features(ImportRequest("f.xyz@1:6:2", "o.h5", feature_key="feats"))
    offsets = np.cumsum([0, *map(len, frames_of(COUNTS, seed=1, atoms=ATOMS))])
    with open_store("o.h5") as store:
        source = store.source
        np.testing.assert_array_equal(source.frame, [1, 3, 5])
        np.testing.assert_array_equal(source.offset, offsets[[1, 3, 5]])
        assert source.typed == ("f.xyz",)
        assert source.files[0].size == Path("f.xyz").stat().st_size


@pytest.mark.parametrize("given", [{}, {"features": "atoms.npy", "feature_key": "feats"}])
def test_features_come_from_one_place(given):
    with pytest.raises(RequestError, match="features must come from one place"):
        import_features(ImportRequest("s.xyz", "o.h5", **given))


def test_convention_must_be_stated():
    with pytest.raises(RequestError, match="convention of the features is not stated"):
        import_features(ImportRequest("s.xyz", "o.h5", "atoms.npy"))


def test_output_is_checked_first():
    Path("o.h5").touch()
    with pytest.raises(OutputError, match="exists already"):
        import_features(ImportRequest("absent.xyz", "o.h5", "absent.npy"))


def test_blocks_are_stored():
    import_features(
        ImportRequest("s.xyz", "o.h5", "atoms.npy", convention="per-atom", blocks="a:1,b:3")
    )
    with open_store("o.h5") as store:
        assert store.blocks == (Block("a", 1), Block("b", 3))


def test_number_of_atoms_of_every_kind_of_frame():
    counts = counts_of(5)
    write_frames(Path("dos.xyz"), frames_of(counts, newline="\r\n", atoms=atoms_for(counts)))
    import_features(ImportRequest("dos.xyz", "o.h5", feature_key="feats"))
    with open_store("o.h5") as store:
        np.testing.assert_array_equal(store.atoms.read(0, counts.sum()), atoms_for(counts))


def test_one_number_per_structure_is_a_vector_of_one():
    write_frames(Path("v.xyz"), frames_of([1, 1], comments=["gap=0.5", "gap=2"]))
    import_features(ImportRequest("v.xyz", "o.h5", feature_key="gap", convention="mean"))
    with open_store("o.h5") as store:
        np.testing.assert_array_equal(store.structures.read(0, 2), [[0.5], [2.0]])


def test_true_and_false_are_no_numbers():
    write_frames(Path("v.xyz"), frames_of([1], comments=["flag=T"]))
    with pytest.raises(FeatureError, match="'flag' is not a vector of numbers") as caught:
        import_features(ImportRequest("v.xyz", "o.h5", feature_key="flag", convention="mean"))
    assert caught.value.where == "v.xyz, frame 0"
