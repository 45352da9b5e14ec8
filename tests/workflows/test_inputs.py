from __future__ import annotations

import io
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from builders import (
    atoms_for,
    counts_of,
    features_of,
    frames_of,
    split_frames,
    write_store,
)

from prcli.errors import FeatureError, FormatError, InputFileError, MismatchError, RequestError
from prcli.workflows.frames import Frames
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.hessian_run import HessianRequest, build_hessian
from prcli.workflows.inputs import (
    InputOptions,
    load_hessian,
    open_input,
    split_hessians,
    stamps_of,
)

COUNTS = counts_of(5, 2)
ATOMS = atoms_for(COUNTS, 3, 2)
CONTENT = b"".join(frames_of(COUNTS, seed=2, atoms=ATOMS))
KEY = InputOptions(feature_key="feats")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    Path("f.xyz").write_bytes(CONTENT)
    write_store(Path("s.h5"), 5, seed=2, xyz=Path("s.xyz"))
    return tmp_path


def rows_of(data) -> np.ndarray:
    return np.concatenate([block[2] for block in data.atom_blocks(100)])


@pytest.mark.parametrize("name", ["s.h5", "f.xyz", "renamed.dat", "packed.xyz"])
def test_kind_is_told_from_the_content(name):
    Path("renamed.dat").write_bytes(Path("s.h5").read_bytes())
    import gzip

    Path("packed.xyz").write_bytes(gzip.compress(CONTENT))
    with open_input([name], "pool", KEY) as data:
        np.testing.assert_array_equal(rows_of(data), ATOMS)
        np.testing.assert_array_equal(data.n_atoms, COUNTS)


@pytest.mark.parametrize("argument", [Path("s.h5"), "s.h5@:", "s.h5@0:5"])
def test_paths_and_whole_slices(argument):
    with open_input([argument], "pool") as data:
        np.testing.assert_array_equal(rows_of(data), ATOMS)


def test_arrays_and_features_in_memory():
    with open_input([np.ones((2, 3)), features_of(2, label="mine")], "pool") as data:
        assert data.n_structures == 4
        assert data.label == "pool array, mine"


def test_mix_follows_the_order_of_the_arguments():
    arguments = ["f.xyz@::-1", features_of(2, seed=9), "s.h5@1"]
    with open_input(arguments, "pool", KEY) as data:
        expected = [*COUNTS[::-1], *features_of(2, seed=9).n_atoms, COUNTS[1]]
        assert data.n_atoms.tolist() == expected
        sources, source, frame = data.frames()
    assert [sources[i] for i in source] == ["f.xyz"] * 5 + ["features 9"] * 2 + ["s.xyz"]
    assert frame.tolist() == [4, 3, 2, 1, 0, 0, 1, 1]


def test_structures_are_known_where_features_were_read_on_the_way():
    with open_input(["f.xyz@3:0:-1"], "pool", KEY) as data:
        frames = split_frames(CONTENT)
        assert list(Frames(data).read([0, 2])) == [frames[3], frames[1]]


def test_nothing_stays_in_the_temporary_folder(folder):
    with open_input(["f.xyz"], "pool", KEY):
        pass
    with pytest.raises(InputFileError):
        open_input(["f.xyz", "absent.h5"], "pool", KEY)
    assert not list((folder / "tmp").iterdir())


def stdin(monkeypatch, content: bytes = CONTENT) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_standard_input(monkeypatch, folder):
    stdin(monkeypatch)
    with open_input(["-@1:4"], "pool", KEY) as data:
        np.testing.assert_array_equal(data.n_atoms, COUNTS[1:4])
        assert data.frames()[0] == ("-",)
        frames = split_frames(CONTENT)
        assert list(Frames(data).read([2, 0])) == [frames[3], frames[1]]
        assert [stamp.path for stamp in stamps_of(data)] == ["-"]
    assert not list((folder / "tmp").iterdir())


def test_standard_input_that_is_refused_leaves_nothing(monkeypatch, folder):
    stdin(monkeypatch, b"2\n\nC 0 0 0\n")
    with pytest.raises(InputFileError):
        open_input(["-"], "pool", KEY)
    assert not list((folder / "tmp").iterdir())


def test_standard_input_twice():
    with pytest.raises(RequestError, match="once per command"):
        open_input(["-", "-@:2"], "pool", KEY)


def test_structures_need_a_key():
    with pytest.raises(FeatureError, match="no features") as caught:
        open_input(["f.xyz"], "pool")
    assert "--feature-key" in str(caught.value)


@pytest.mark.parametrize("name", ["f.npy", "other.h5"])
def test_files_of_other_kinds(name):
    np.save("f.npy", np.ones((2, 3)))
    with h5py.File("other.h5", "w") as file:
        file["x"] = np.ones(3)
    with pytest.raises(FormatError, match="pool set cannot be read") as caught:
        open_input([name], "pool")
    assert "prcli features import" in str(caught.value)


@pytest.mark.parametrize("name", ["note.txt", "note.out"])
def test_text_is_told_to_be_no_structures(folder, name):
    (folder / name).write_text("Dear all\nthe rest follows.\n")
    with pytest.raises(FormatError, match="begins with 'Dear all'") as caught:
        open_input([name], "pool")
    assert "--feature-key" not in str(caught.value)


def test_no_arguments():
    with pytest.raises(RequestError, match="the pool set holds no structures"):
        open_input([], "pool")


def spoil(value: float = np.nan) -> None:
    """As another program would write it: without our digest of the content."""
    with h5py.File("s.h5", "r+") as file:
        del file.attrs["content_digest"]
        file["atoms/features"][int(COUNTS[0]), 1] = value


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value):
    spoil(value)
    with pytest.raises(FeatureError) as caught:
        open_input(["s.h5"], "pool")
    assert "s.h5" in str(caught.value)
    assert "structure 1" in str(caught.value)


def test_structures_that_are_not_finite_are_left_out(caplog):
    spoil()
    with open_input(["s.h5@::-1"], "pool", InputOptions(skip_invalid=True)) as data:
        assert data.n_atoms.tolist() == COUNTS[[4, 3, 2, 0]].tolist()
    assert "1 structure left out because a feature is not finite: 1" in caplog.text


def test_verify():
    with open_input(["s.h5"], "pool", InputOptions(verify=True)):
        pass
    with h5py.File("s.h5", "r+") as file:
        file["atoms/features"][0, 0] += 1.0
    with open_input(["s.h5"], "pool"):
        pass
    with pytest.raises(MismatchError, match="has changed"):
        open_input(["s.h5"], "pool", InputOptions(verify=True))


def test_hessians_are_told_from_data():
    build_hessian(HessianRequest(("s.h5",), "h.h5", HessianOptions()))
    array, features = np.ones((2, 3)), features_of(2)
    arguments = ["s.h5", "h.h5", array, "-", "s.h5@1", Path("h.h5"), features, "-@1"]
    data, hessians = split_hessians(arguments)
    assert hessians == ["h.h5", "h.h5"]
    assert data == ["s.h5", array, "-", "s.h5@1", features, "-@1"]
    record = load_hessian("h.h5")
    assert load_hessian(record) is record


def test_slice_of_a_hessian_is_refused():
    build_hessian(HessianRequest(("s.h5",), "h.h5", HessianOptions()))
    with pytest.raises(FormatError, match="cannot be read"):
        open_input(["h.h5@:2"], "train")


def test_inputs_are_stamped_once():
    with open_input(["s.h5@:2", "s.h5@2:", "f.xyz"], "pool", KEY) as data:
        stamps = stamps_of(data)
    assert [Path(stamp.path).name for stamp in stamps] == ["s.h5", "f.xyz"]
    assert all(stamp.digest and stamp.size for stamp in stamps)


def test_files_are_closed_after_a_fault(monkeypatch):
    write_store(Path("wide.h5"), n_features=4)
    opened = []
    import prcli.workflows.inputs as module

    original = module.open_store
    monkeypatch.setattr(module, "open_store", lambda p: opened.append(original(p)) or opened[-1])
    with pytest.raises(MismatchError):
        open_input(["s.h5", "wide.h5"], "pool")
    assert len(opened) == 2
    assert not any(store._file for store in opened)
