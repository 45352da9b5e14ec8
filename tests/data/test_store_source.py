from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from prcli.data.source import StoreSource, read_source, resolve_source, write_source
from prcli.errors import FeatureError, FormatError
from prcli.records import FileStamp

STAMP = FileStamp("/absent/train.xyz", 3, 5, "blake2b:00")


def source(**changes: object) -> StoreSource:
    parts: dict[str, object] = {
        "files": (STAMP, FileStamp("/absent/ü.xyz", 1, 2, "blake2b:11")),
        "file": np.array([0, 1, 1]),
        "frame": np.array([4, 0, 2]),
        "offset": np.array([10**12, 0, 7]),
        "typed": ("train.xyz", "../ü.xyz"),
    }
    return StoreSource(**(parts | changes))  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("here", "stores", "stores/sub"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def test_typed_path_is_found_from_the_current_folder(folder: Path) -> None:
    Path("train.xyz").write_text("abc")
    (folder / "stores" / "train.xyz").write_text("abc")
    assert resolve_source(STAMP, folder / "stores/s.h5", "train.xyz") == Path("train.xyz")


@pytest.mark.parametrize("place", ["stores/sub/train.xyz", "stores/train.xyz"])
def test_moved_file_is_found_from_the_store(folder: Path, place: str) -> None:
    (folder / place).write_text("abc")
    assert resolve_source(STAMP, folder / "stores/s.h5", "sub/train.xyz") == folder / place


def test_absolute_path_is_found_last(folder: Path) -> None:
    stamp = FileStamp(str(folder / "train.xyz"), 3, 0, "")
    (folder / "train.xyz").write_text("abc")
    assert resolve_source(stamp, "s.h5", "sub/train.xyz") == folder / "train.xyz"
    assert resolve_source(stamp, "s.h5") == folder / "train.xyz"


def test_file_of_the_right_size_goes_first(folder: Path) -> None:
    Path("train.xyz").write_text("another file")
    (folder / "stores/train.xyz").write_text("abc")
    assert resolve_source(STAMP, folder / "stores/s.h5", "train.xyz") == folder / "stores/train.xyz"
    os.unlink(folder / "stores/train.xyz")
    assert resolve_source(STAMP, folder / "stores/s.h5", "train.xyz") == Path("train.xyz")


def test_lost_file_is_not_found(folder: Path) -> None:
    assert source().resolve(0, folder / "s.h5") is None


@pytest.mark.parametrize("with_host", [True, False])
def test_round_trip(tmp_path: Path, with_host: bool) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        write_source(file, source(), with_host)
        again = read_source(file, 3, "s.h5")
        assert ("absolute_path" in file) == ("mtime_ns" in file) == with_host
    assert again is not None
    assert again.typed == source().typed
    assert again.file.dtype == np.int32
    assert again.offset.dtype == again.frame.dtype == np.int64
    for name in ("file", "frame", "offset"):
        np.testing.assert_array_equal(getattr(again, name), getattr(source(), name))
    if with_host:
        assert again.files == source().files
    else:
        assert again.files[0] == FileStamp("train.xyz", 3, 0, "blake2b:00")


def test_source_without_frames_is_none(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        assert read_source(file, 3, "s.h5") is None


def test_source_of_another_length_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        write_source(file, source(), True)
        with pytest.raises(FormatError, match="source does not fit the structures"):
            read_source(file, 4, "s.h5")


def test_stored_file_number_out_of_range_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        write_source(file, source(), True)
        file["file"][1] = 2
        with pytest.raises(FormatError, match="not listed"):
            read_source(file, 3, "s.h5")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file": np.array([0, 1, 2])}, "not listed"),
        ({"file": np.array([0, -1, 1])}, "not listed"),
        ({"frame": np.array([0])}, "does not fit itself"),
        ({"typed": ("a",)}, "does not fit itself"),
    ],
)
def test_misfits_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        source(**change)


def test_typed_paths_default_to_those_of_the_stamps() -> None:
    assert source(typed=()).typed == ("/absent/train.xyz", "/absent/ü.xyz")


def test_file_names_need_not_be_unicode(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.xyz")
    with h5py.File(tmp_path / "s.h5", "w") as file:
        write_source(file, source(typed=(name, "b.xyz")), False)
        again = read_source(file, 3, "s.h5")
    assert again is not None
    assert again.typed == (name, "b.xyz")
