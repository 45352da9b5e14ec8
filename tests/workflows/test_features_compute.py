from __future__ import annotations

import gzip
import logging
import os
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from atoms_builder import count_atoms, structures_of, write_xyz

from prcli.data.digests import content_digest_of
from prcli.data.extxyz import index_frames
from prcli.data.store import open_store
from prcli.errors import (
    FeatureError,
    FormatError,
    InputFileError,
    MismatchError,
    OutputError,
    RequestError,
)
from prcli.workflows import compute_batches, features_compute, geometries
from prcli.workflows.compute_request import ComputeRequest
from prcli.workflows.features_compute import compute_features

SYMBOLS = ("H", "C", "O")
STRUCTURES = structures_of(9, seed=2, symbols=SYMBOLS)
COUNTS = count_atoms(STRUCTURES)
HERE = Path(__file__).stem

#: How many structures each call of `positions` got.
calls: list[int] = []


class StopError(Exception):
    """Whatever ends a run."""


def positions(structures, stop_at=None, spoil=None, width=3):
    """Features that are easy to check, by a function that can be made to fail."""
    calls.append(len(structures))
    if stop_at is not None and len(calls) > stop_at:
        raise StopError
    rows = [np.array(structure.positions[:, :width]) for structure in structures]
    if spoil is not None and len(calls) > 1:
        rows[-1][-1, 1] = spoil
    return rows


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    # Every structure is a batch of its own.
    monkeypatch.setattr(compute_batches, "BATCH_BYTES", 1)
    write_xyz(Path("s.xyz"), STRUCTURES)
    calls.clear()
    return tmp_path


REQUEST = ComputeRequest(f"python:{HERE}:positions", "s.xyz", "o.h5", with_provenance=False)
ROWS = np.concatenate([structure.positions for structure in STRUCTURES])
MEANS = np.array([structure.positions.mean(axis=0) for structure in STRUCTURES])


def interrupted(request: ComputeRequest, n_calls: int) -> None:
    """Stop a run when the function is called for the n-th time; the first call tells D."""
    calls.clear()
    with pytest.raises(StopError):
        compute_features(replace(request, hypers={"stop_at": n_calls}))
    calls.clear()


def content() -> list[str]:
    return sorted(os.listdir())


def test_store_holds_atoms_and_means():
    summary = compute_features(REQUEST)
    assert (summary.n_structures, summary.n_atoms, summary.n_features) == (9, COUNTS.sum(), 3)
    with open_store("o.h5") as store:
        np.testing.assert_array_equal(store.atoms.read(0, COUNTS.sum()), ROWS)
        np.testing.assert_allclose(store.structures.read(0, 9), MEANS, rtol=1e-15)
        np.testing.assert_array_equal(store.n_atoms, COUNTS)
        numbers = np.concatenate([structure.numbers for structure in STRUCTURES])
        np.testing.assert_array_equal(store.species, numbers)
        assert store.convention == "mean"
        assert store.content_digest == content_digest_of(store)
    assert content() == ["o.h5", "s.xyz"]


def test_store_knows_its_frames():
    compute_features(replace(REQUEST, structures="s.xyz@7:2:-2"))
    index = index_frames("s.xyz")
    with open_store("o.h5") as store:
        assert store.source.frame.tolist() == [7, 5, 3]
        np.testing.assert_array_equal(store.source.offset, index.offset[[7, 5, 3]])
        assert store.source.typed == ("s.xyz",)
        np.testing.assert_allclose(store.structures.read(0, 3), MEANS[[7, 5, 3]], rtol=1e-15)


def test_compressed_structures():
    Path("s.xyz.gz").write_bytes(gzip.compress(Path("s.xyz").read_bytes()))
    compute_features(replace(REQUEST, structures="s.xyz.gz"))
    with open_store("o.h5") as store:
        np.testing.assert_array_equal(store.atoms.read(0, COUNTS.sum()), ROWS)


@pytest.mark.parametrize("n_bytes", [2000, 1 << 20])
@pytest.mark.parametrize("with_atoms", [True, False])
def test_batches_of_any_size_give_the_same_bytes(monkeypatch, n_bytes, with_atoms):
    request = replace(REQUEST, with_atoms=with_atoms)
    compute_features(request)
    assert calls == [1] * 10
    calls.clear()
    monkeypatch.setattr(compute_batches, "BATCH_BYTES", n_bytes)
    compute_features(replace(request, output="p.h5"))
    assert max(calls) > 1
    assert Path("o.h5").read_bytes() == Path("p.h5").read_bytes()


def test_without_atoms_there_are_only_means():
    compute_features(replace(REQUEST, with_atoms=False))
    with open_store("o.h5") as store:
        assert store.atoms is None
        np.testing.assert_allclose(store.structures.read(0, 9), MEANS, rtol=1e-15)
        assert store.species is not None


def test_float32_is_rounded_once():
    compute_features(replace(REQUEST, dtype="float32"))
    compute_features(replace(REQUEST, dtype="float32", with_atoms=False, output="p.h5"))
    with h5py.File("o.h5") as file:
        assert file["atoms/features"].dtype == np.float32
        np.testing.assert_array_equal(file["atoms/features"][...], ROWS.astype(np.float32))
        # The means of what is stored, with the digits that means have.
        assert file["structures/features"].dtype == np.float64
        np.testing.assert_allclose(file["structures/features"][...], MEANS, rtol=1e-6)
    with h5py.File("p.h5") as file:
        assert file["structures/features"].dtype == np.float32
        np.testing.assert_allclose(file["structures/features"][...], MEANS, rtol=6.1e-8)


def test_float32_overflow_is_refused():
    write_xyz(Path("s.xyz"), structures_of(1))
    text = Path("s.xyz").read_text().splitlines()
    text[3] = "C 1e300 0 0"
    Path("s.xyz").write_text("\n".join(text) + "\n")
    with pytest.raises(FeatureError, match=r"not finite\n.*frame 0, atom 1, column 0"):
        compute_features(replace(REQUEST, dtype="float32"))
    assert content() == ["s.xyz"]


def test_provenance_tells_settings():
    compute_features(replace(REQUEST, with_provenance=True, hypers={"width": 2}))
    with open_store("o.h5") as store:
        settings = store.provenance["settings"]
        assert settings["featurizer"] == REQUEST.featurizer
        assert settings["hypers"] == {"width": 2}
        assert store.provenance["inputs"][0]["path"].endswith("s.xyz")


def test_progress_is_told():
    seen = []
    compute_features(REQUEST, lambda *step: seen.append(step))
    assert ("check", 9, 9) in seen
    assert [step for step in seen if step[0] == "compute"] == [
        ("compute", i, 9) for i in range(1, 10)
    ]


def test_an_interrupted_run_goes_on_where_it_was(caplog):
    compute_features(REQUEST)
    expected = Path("o.h5").read_bytes()
    Path("o.h5").unlink()
    # The setting that stops the run is no part of what it is asked for here.
    calls.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features_compute, "_journal_request", lambda *parts: {"same": True})
        with pytest.raises(StopError):
            compute_features(replace(REQUEST, hypers={"stop_at": 5}))
        assert content() == ["o.h5.checkpoint", "s.xyz"]
        calls.clear()
        with caplog.at_level(logging.INFO, logger="prcli"):
            summary = compute_features(REQUEST)
    # The function fails in its sixth call, for structure 4, after one for D.
    assert summary.n_resumed == 4
    assert calls == [1] * 6
    assert "4 of 9 structures were computed by an earlier run" in caplog.text
    assert Path("o.h5").read_bytes() == expected
    assert content() == ["o.h5", "s.xyz"]


def test_structures_of_large_sets_are_read_twice(monkeypatch):
    compute_features(REQUEST)
    monkeypatch.setattr(geometries, "_KEPT_ATOMS", 0)
    compute_features(replace(REQUEST, output="p.h5"))
    assert Path("o.h5").read_bytes() == Path("p.h5").read_bytes()
    monkeypatch.setattr(features_compute, "_journal_request", lambda *parts: {"same": True})
    interrupted(replace(REQUEST, output="q.h5"), 4)
    compute_features(replace(REQUEST, output="q.h5"))
    assert Path("o.h5").read_bytes() == Path("q.h5").read_bytes()


@pytest.mark.parametrize("with_atoms", [True, False])
def test_a_run_can_be_interrupted_again_and_again(monkeypatch, with_atoms):
    request = replace(REQUEST, with_atoms=with_atoms)
    compute_features(request)
    monkeypatch.setattr(features_compute, "_journal_request", lambda *parts: {"same": True})
    again = replace(request, output="p.h5")
    for n_calls in (3, 1, 4):
        interrupted(again, n_calls)
    assert compute_features(again).n_resumed == 5
    assert Path("p.h5").read_bytes() == Path("o.h5").read_bytes()


def test_a_checkpoint_cut_short_is_used_as_far_as_it_goes(monkeypatch):
    monkeypatch.setattr(features_compute, "_journal_request", lambda *parts: {"same": True})
    interrupted(REQUEST, 6)
    path = Path("o.h5.checkpoint")
    path.write_bytes(path.read_bytes()[:-3])
    assert compute_features(REQUEST).n_resumed == 4
    with open_store("o.h5") as store:
        np.testing.assert_array_equal(store.atoms.read(0, COUNTS.sum()), ROWS)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"dtype": "float32"}, "dtype"),
        ({"with_atoms": False}, "atoms"),
        ({"structures": "s.xyz@:8"}, "frames"),
        ({"hypers": {"width": 2}}, "hypers"),
    ],
)
def test_another_request_does_not_go_on(change, name):
    interrupted(REQUEST, 3)
    before = Path("o.h5.checkpoint").read_bytes()
    with pytest.raises(MismatchError, match=f"belongs to another request(.*\n)+.*{name}"):
        compute_features(replace(REQUEST, **change))
    assert Path("o.h5.checkpoint").read_bytes() == before


def test_structures_that_have_changed_are_not_gone_on_with():
    interrupted(REQUEST, 3)
    write_xyz(Path("s.xyz"), structures_of(9, seed=3, symbols=SYMBOLS))
    with pytest.raises(MismatchError, match="structures"):
        compute_features(replace(REQUEST, hypers={"stop_at": 3}))


def test_the_checkpoint_may_be_elsewhere_or_nowhere():
    Path("scratch").mkdir()
    interrupted(replace(REQUEST, checkpoint="scratch/c"), 3)
    assert os.listdir("scratch") == ["c"]
    interrupted(replace(REQUEST, with_checkpoint=False, output="p.h5"), 3)
    assert content() == ["s.xyz", "scratch"]


def test_a_run_that_fails_at_once_leaves_nothing():
    interrupted(REQUEST, 1)
    assert content() == ["s.xyz"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_value_that_is_not_finite(monkeypatch, value):
    monkeypatch.setattr(compute_batches, "BATCH_BYTES", 1 << 20)
    with pytest.raises(FeatureError, match=rf"s.xyz, frame 8, atom {COUNTS[8] - 1}, column 1\n"):
        compute_features(replace(REQUEST, hypers={"spoil": value}))
    assert content() == ["s.xyz"]


def narrow_later(structures):
    calls.append(1)
    return [np.zeros((len(structure), 2 if len(calls) > 3 else 3)) for structure in structures]


def test_width_that_changes():
    featurizer = f"python:{HERE}:narrow_later"
    shapes = rf"expected: +\({COUNTS[2]}, 3\)\n  got: +\({COUNTS[2]}, 2\)"
    with pytest.raises(FeatureError, match=rf"s.xyz, frame 2\n  {shapes}"):
        compute_features(replace(REQUEST, featurizer=featurizer))


def test_species_are_those_that_are_listed():
    compute_features(replace(REQUEST, species=("O", "C", "H", "N")))
    with pytest.raises(
        RequestError, match=r"s.xyz, frame 0\n.*one of --species C,O\n  got: +H\n(.*\n)*.*add"
    ):
        compute_features(replace(REQUEST, output="p.h5", species=("O", "C")))


@pytest.mark.parametrize(
    ("species", "message"),
    [
        (("C", "c"), r"element 'c' is not known(.*\n)+.*did you mean 'C'"),
        (("C", "Xx"), r"element 'Xx' is not known\n.*\n.*C,H,O$"),
        (("X",), "element 'X' is not known"),
        (("C", "H", "C"), r"element 'C' is listed twice(.*\n)+.*got: +C,H,C"),
        ((), "no element"),
    ],
)
def test_species_that_are_none(species, message):
    with pytest.raises(RequestError, match=message):
        compute_features(replace(REQUEST, species=species))


@pytest.mark.parametrize(
    ("lines", "error", "message"),
    [
        ("2\n\nC 0 0 0\nC nan 0 0\n", InputFileError, "position is not finite\n.*frame 9, atom 1"),
        ("1\npbc=T\nC 0 0 0\n", FormatError, "span no cell\n.*frame 9"),
        ("1\n\nQq 0 0 0\n", FormatError, "unknown element\n.*frame 9, atom 0"),
        ("0\n\n", FeatureError, "number of atoms is out of range\n.*structure 9"),
        ("1\nProperties=species:S:1\nC\n", FeatureError, "'pos' is absent\n.*frame 9"),
        ("3\n\nC 0 0 0\n", InputFileError, "truncated"),
    ],
)
def test_bad_structures_are_found_before_any_is_described(lines, error, message):
    with open("s.xyz", "a") as file:
        file.write(lines)
    with pytest.raises(error, match=message):
        compute_features(REQUEST)
    assert calls == []
    assert content() == ["s.xyz"]


def test_a_lattice_without_pbc_is_told(caplog):
    text = Path("s.xyz").read_text().replace(' pbc="T T T"', "", 2)
    Path("s.xyz").write_text(text)
    with caplog.at_level(logging.INFO, logger="prcli"):
        compute_features(REQUEST)
    assert "2 of 9 structures have a Lattice and no pbc" in caplog.text


def test_hyperparameters_come_from_a_file():
    Path("h.toml").write_text("width = 2\n")
    assert compute_features(replace(REQUEST, hypers="h.toml")).n_features == 2


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("width = \n", FormatError, "not valid TOML\n.*h.toml"),
        (None, InputFileError, "cannot be read\n.*h.toml"),
    ],
)
def test_hyperparameters_that_cannot_be_read(text, error, message):
    if text is not None:
        Path("h.toml").write_text(text)
    with pytest.raises(error, match=message):
        compute_features(replace(REQUEST, hypers="h.toml"))


def test_outputs_are_checked_first():
    Path("o.h5").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        compute_features(REQUEST)
    with pytest.raises(OutputError, match="one of the inputs"):
        compute_features(replace(REQUEST, output="s.xyz", overwrite=True))
    with pytest.raises(OutputError, match="one of the inputs"):
        compute_features(replace(REQUEST, output="p.h5", checkpoint="s.xyz"))
    with pytest.raises(OutputError, match="folder does not exist"):
        compute_features(replace(REQUEST, output="p.h5", checkpoint="no/c"))
    compute_features(replace(REQUEST, overwrite=True))
    assert calls == [1] * 10


def test_space_for_the_checkpoint_is_asked_for(monkeypatch):
    # 24 bytes for an atom and for a structure: enough for the store alone.
    free = 24 * (COUNTS.sum() + 9) + 100
    stat = os.statvfs(".")
    fields = list(stat)
    fields[1], fields[4] = 1, free
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(fields))
    with pytest.raises(OutputError, match=r"its checkpoint(.*\n)+.*--no-checkpoint"):
        compute_features(REQUEST)
    compute_features(replace(REQUEST, with_checkpoint=False))


def test_an_unknown_featurizer_is_told_before_anything_is_read():
    with pytest.raises(RequestError, match="did you mean 'lode'"):
        compute_features(replace(REQUEST, featurizer="lod", structures="missing.xyz"))
