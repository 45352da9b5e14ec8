from __future__ import annotations

import bz2
import gzip
import io
import lzma
from pathlib import Path

import pytest

from prcli.data.extxyz import copy_frames, index_frames, join_frames, open_frames
from prcli.data.streams import spool
from prcli.errors import InputFileError

COMPRESSORS = {"plain": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}
TWO_FRAMES = (
    b'2\nLattice="4 0 0 0 4 0 0 0 4" energy=-1.5\nC 0.0 0.0 0.0\nSi 1.25 0.5 0.75\n'
    b"1\nProperties=species:S:1:pos:R:3 tag=b\nTa 3.0 2.0 1.0\n"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "frames.dat"


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def make_frame(comment: int) -> bytes:
    return b"3\n%d\n" % comment + b"C 0 0 0\n" * 3


def test_stdin_is_spooled_and_removed():
    with spool(io.BytesIO(TWO_FRAMES)) as path:
        assert len(index_frames(path)) == 2
        assert b"".join(copy_frames(path, index_frames(path).offset)) == TWO_FRAMES
    assert not path.exists()


def test_fault_of_stdin_does_not_name_the_temporary_file():
    with (
        pytest.raises(InputFileError, match="truncated") as caught,
        spool(io.BytesIO(TWO_FRAMES[:-8])) as path,
    ):
        index_frames(path)
    assert caught.value.where == "-, frame 1"
    assert str(path) not in str(caught.value)


def test_spooling_without_space_is_an_error(tmp_path):
    with (
        pytest.raises(InputFileError, match="standard input cannot be spooled"),
        spool(io.BytesIO(TWO_FRAMES), tmp_path / "absent"),
    ):
        pass


@pytest.mark.parametrize("kind", sorted(COMPRESSORS))
def test_reader_reads_at_random(path, kind):
    write(path, COMPRESSORS[kind](TWO_FRAMES))
    index = index_frames(path)
    second = int(index.offset[1])
    with open_frames(path) as reader:
        assert reader.read_frame(second) == TWO_FRAMES[second:]
        assert reader.read_frame(0) == TWO_FRAMES[:second]
        assert reader.read(second, 10) == TWO_FRAMES[second : second + 10]
        assert reader.read(2, 5) == TWO_FRAMES[2:7]
        assert reader.read_lines(second, 2) == TWO_FRAMES[second:].splitlines(keepends=True)[:2]


def test_compressed_frames_are_read_in_one_pass(path, monkeypatch):
    frames = [make_frame(i) for i in range(50)]
    write(path, gzip.compress(b"".join(frames)))
    index = index_frames(path)
    positions: list[int] = []
    seek = gzip.GzipFile.seek
    monkeypatch.setattr(
        gzip.GzipFile,
        "seek",
        lambda self, offset, *rest: (positions.append(offset), seek(self, offset, *rest))[1],
    )
    order = [30, 2, 49, 2, 7]
    assert list(copy_frames(path, index.offset[order])) == [frames[i] for i in order]
    assert positions == sorted(positions)


def test_neighbouring_compressed_frames_need_no_step_back(path, monkeypatch):
    frames = [make_frame(i) for i in range(50)]
    write(path, gzip.compress(b"".join(frames)))
    index = index_frames(path)
    monkeypatch.setattr(gzip.GzipFile, "rewind", lambda self: pytest.fail("stepped back"))
    assert list(copy_frames(path, index.offset)) == frames


def test_changed_file_is_an_error_when_only_offsets_are_known(path):
    write(path, TWO_FRAMES)
    with (
        open_frames(path) as reader,
        pytest.raises(InputFileError, match=r"byte 5\n.*a number of atoms"),
    ):
        reader.read_frame(5)


def test_shortened_file_is_an_error(path):
    index = index_frames(write(path, TWO_FRAMES))
    write(path, TWO_FRAMES[:-20])
    with pytest.raises(InputFileError, match="index it again"):
        list(copy_frames(path, index.offset, index.length))
    write(path, TWO_FRAMES[: TWO_FRAMES.rindex(b"Ta")])
    with pytest.raises(InputFileError, match=r"expected: 3 lines\n  got: +2 lines"):
        list(copy_frames(path, index.offset))


def test_errors_of_the_caller_stay_as_they_are(path):
    write(path, TWO_FRAMES)
    with pytest.raises(EOFError), open_frames(path):
        raise EOFError


def test_joined_frames_get_the_newline_of_their_style():
    frames = [b"1\r\n\r\nC 0 0 0", b"1\n\nC 0 0 0", b"1\n\nC 0 0 0"]
    assert list(join_frames(frames)) == [frames[0] + b"\r\n", frames[1] + b"\n", frames[2]]
