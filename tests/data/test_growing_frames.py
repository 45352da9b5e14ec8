from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from builders import counts_of, frames_of

from prcli.data.growing_frames import GrowingFrames
from prcli.errors import FormatError, InputFileError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "md.xyz"
    found.write_bytes(b"")
    return found


def append(path: Path, content: bytes) -> None:
    with open(path, "ab") as file:
        file.write(content)


@pytest.mark.parametrize("step", [1, 7, 100, 10**6])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_frames_come_whole_whatever_has_been_written(path, step, newline):
    frames = frames_of(counts_of(6, 1), newline=newline)
    content, taken = b"".join(frames), b""
    with GrowingFrames(path) as growing:
        for start in range(0, len(content), step):
            append(path, content[start : start + step])
            taken += growing.take()
            n_complete = sum(
                len(b"".join(frames[: i + 1])) <= start + step for i in range(len(frames))
            )
            assert growing.n_taken == n_complete
            assert taken == b"".join(frames[:n_complete])
        assert growing.n_left_over == 0
        assert growing.take() == b""


def test_much_is_taken_piece_by_piece(path, monkeypatch):
    monkeypatch.setattr("prcli.data.growing_frames._CHUNK_BYTES", 64)
    frames = frames_of(counts_of(20, 2))
    append(path, b"".join(frames))
    with GrowingFrames(path) as growing:
        pieces = []
        while piece := growing.take(at_least=1):
            pieces.append(piece)
    assert len(pieces) > 5
    assert b"".join(pieces) == b"".join(frames)


def test_lattice_vectors_that_come_late_are_passed_over(path):
    first, second = frames_of([2, 3])
    with GrowingFrames(path) as growing:
        append(path, first)
        assert growing.take() == first
        append(path, b"VEC1 1 0 0\n" + second)
        assert growing.take() == second


def test_a_file_that_became_shorter_is_refused(path):
    append(path, b"".join(frames_of([2, 3])))
    with GrowingFrames(path) as growing:
        growing.take()
        os.truncate(path, 10)
        with pytest.raises(InputFileError, match="shorter"):
            growing.take()


def test_a_file_that_was_written_anew_is_refused(path):
    append(path, b"".join(frames_of([2, 3], seed=0)))
    with GrowingFrames(path) as growing:
        growing.take()
        path.write_bytes(b"".join(frames_of([2, 3, 4], seed=1)))
        with pytest.raises(InputFileError, match="written anew"):
            growing.take()


def test_a_file_that_was_replaced_is_refused(path):
    append(path, b"".join(frames_of([2, 3])))
    with GrowingFrames(path) as growing:
        growing.take()
        other = path.with_suffix(".new")
        other.write_bytes(b"".join(frames_of([2, 3, 1])))
        os.replace(other, path)
        with pytest.raises(InputFileError, match="another file"):
            growing.take()


def test_compressed_files_are_refused(path):
    append(path, gzip.compress(b"".join(frames_of([2]))))
    with GrowingFrames(path) as growing, pytest.raises(FormatError, match="compressed"):
        growing.take()


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputFileError), GrowingFrames(tmp_path / "absent.xyz"):
        pass
