from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import counts_of, features_of, frames_of, source_of, write_frames, write_store

from prcli.data.dataset import Dataset, Part
from prcli.data.provenance import stamp_file
from prcli.data.store import open_store
from prcli.errors import InputFileError, MismatchError, RequestError
from prcli.workflows.frames import Frames, check_unchanged

N, SEED = 7, 3
FRAMES = frames_of(counts_of(N, SEED), seed=SEED)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def opened(*arguments: tuple[str, range]) -> Dataset:
    return Dataset([Part(open_store(path), positions) for path, positions in arguments], "pool")


def store(name: str = "s", suffix: str = "", **parts: object) -> str:
    xyz = Path(f"{name}.xyz{suffix}")
    write_frames(xyz, FRAMES)
    given = {"source": source_of(xyz)} | parts
    return str(write_store(Path(f"{name}.h5"), N, seed=SEED, **given))  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz"])
@pytest.mark.parametrize("order", [range(N), range(N - 1, -1, -1), [3, 3, 0, 6, 3]])
def test_frames_in_any_order_byte_for_byte(folder, suffix, order):
    with opened((store(suffix=suffix), range(N))) as data:
        assert list(Frames(data).read(order)) == [FRAMES[i] for i in order]


def test_frames_of_slices_and_several_files(folder):
    with opened((store("a"), range(6, 0, -2)), (store("b", ".gz"), range(2))) as data:
        frames = Frames(data)
        found = list(frames.read([4, 0, 3, 1, 2]))
    assert found == [FRAMES[i] for i in (1, 6, 0, 4, 2)]
    assert frames.sources == ("a.xyz", "b.xyz.gz")


def test_store_of_another_program_without_offsets(folder):
    write_frames(Path("s.xyz"), FRAMES)
    source = source_of(Path("s.xyz"))
    bare = replace(
        source,
        files=tuple(replace(f, digest="", size=-1, mtime_ns=0) for f in source.files),
        offset=np.full(N, -1),
    )
    with opened((store(source=bare), range(N))) as data:
        assert list(Frames(data).read([5, 2])) == [FRAMES[5], FRAMES[2]]


def test_moved_together_with_the_store(folder, monkeypatch):
    store()
    Path("elsewhere").mkdir()
    for name in ("s.h5", "s.xyz"):
        os.rename(name, f"elsewhere/{name}")
    with opened(("elsewhere/s.h5", range(N))) as data:
        assert list(Frames(data).read([1])) == [FRAMES[1]]


def test_source_that_is_gone(folder):
    path = store()
    Path("s.xyz").unlink()
    with opened((path, range(N))) as data:
        with pytest.raises(InputFileError, match="is gone") as caught:
            Frames(data)
    assert caught.value.where == "s.xyz"
    assert "--structures" in str(caught.value)


def test_source_that_the_slice_does_not_need_may_be_gone(folder):
    one, two = store("a"), store("b")
    Path("b.xyz").unlink()
    source = source_of(Path("a.xyz"))
    both = replace(
        source,
        files=(*source.files, replace(source.files[0], path="/absent/b.xyz", digest="other")),
        typed=("a.xyz", "b.xyz"),
        file=np.array([0] * 4 + [1] * 3),
    )
    path = str(write_store(Path("c.h5"), N, seed=SEED, source=both))
    with opened((path, range(4))) as data:
        assert list(Frames(data).read([3])) == [FRAMES[3]]
    with opened((path, range(5))) as data, pytest.raises(InputFileError, match="is gone"):
        Frames(data)
    assert one != two


def test_unknown_structures(folder):
    data = Dataset([Part(features_of(3, label="array"), range(3))], "pool")
    with pytest.raises(RequestError, match="structures behind the features") as caught:
        Frames(data)
    assert caught.value.where == "array"


def test_named_structures(folder):
    store()
    other = [b"%d\nother\n" % n + b"H 0 0 0\n" * int(n) for n in counts_of(N, SEED)]
    write_frames(Path("other.xyz"), other)
    with opened(("s.h5", range(1, N, 2))) as data:
        assert list(Frames(data, ["other.xyz"]).read([2, 0])) == [other[5], other[1]]
        with pytest.raises(RequestError, match="--structures does not fit"):
            Frames(data, ["other.xyz", "s.xyz"])
    write_frames(Path("short.xyz"), other[:3])
    with opened(("s.h5", range(N))) as data:
        with pytest.raises(MismatchError, match="fewer frames") as caught:
            Frames(data, ["short.xyz"])
        assert "3 frames" in str(caught.value)
    write_frames(Path("wrong.xyz"), [*other[:2], b"9\n\n" + b"H 0 0 0\n" * 9, *other[3:]])
    with opened(("s.h5", range(N))) as data:
        with pytest.raises(MismatchError, match="number of atoms") as caught:
            Frames(data, ["wrong.xyz"])
        assert caught.value.where == "wrong.xyz, frame 2"


def test_counts_are_checked_while_copying(folder):
    path = store(source=replace_offsets())
    with opened((path, range(N))) as data:
        frames = Frames(data)
        with pytest.raises(MismatchError, match="number of atoms"):
            list(frames.read(range(N)))


def replace_offsets():
    """Offsets of a store that lie about its frames."""
    write_frames(Path("s.xyz"), FRAMES)
    source = source_of(Path("s.xyz"))
    return replace(source, offset=np.roll(source.offset, 1))


def test_unchanged_is_told_from_size_time_and_content(folder):
    path = Path("f.xyz")
    path.write_bytes(b"content")
    stamp = stamp_file(path)
    assert check_unchanged(path, stamp, "f.xyz") == path
    os.utime(path, ns=(1, 1))
    assert check_unchanged(path, stamp, "f.xyz") == path
    path.write_bytes(b"c0ntent")
    os.utime(path, ns=(1, 1))
    with pytest.raises(InputFileError, match="has changed") as caught:
        check_unchanged(path, stamp, "f.xyz")
    assert caught.value.expected == f"7 bytes, {stamp.digest}"
    assert caught.value.got == f"7 bytes, {stamp_file(path).digest}"
    path.write_bytes(b"longer content")
    with pytest.raises(InputFileError, match="has changed"):
        check_unchanged(path, stamp, "f.xyz")
