from __future__ import annotations

import bz2
import gzip
import lzma
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prcli.data import extxyz
from prcli.data.extxyz import copy_frames, index_frames
from prcli.data.frame_scan import FrameScanner
from prcli.data.provenance import file_digest
from prcli.errors import FormatError, InputFileError

COMPRESSORS = {"plain": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}
TWO_FRAMES = (
    b'2\nLattice="4 0 0 0 4 0 0 0 4" energy=-1.5\nC 0.0 0.0 0.0\nSi 1.25 0.5 0.75\n'
    b"1\nProperties=species:S:1:pos:R:3 tag=b\nTa 3.0 2.0 1.0\n"
)
VECTORS = b"VEC1 4.0 0.0 0.0\nVEC2 0.0 4.0 0.0\nVEC3 0.0 0.0 4.0\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "frames.dat"


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def make_frame(n_atoms: int, newline: bytes, comment: bytes = b"") -> bytes:
    atoms = [b"Si %d.5 -0.25 1e-3" % atom for atom in range(n_atoms)]
    return newline.join([b"%d" % n_atoms, comment, *atoms, b""])


line_bytes = st.binary(max_size=30).map(lambda raw: raw.translate(None, b"\r\n"))


@st.composite
def files(draw: st.DrawFn) -> tuple[list[bytes], bytes]:
    """Frames, each with its line ending, and what stands in the file."""
    newline = draw(st.sampled_from([b"\n", b"\r\n"]))
    frames = []
    for _ in range(draw(st.integers(1, 6))):
        frame = make_frame(draw(st.integers(1, 5)), newline, draw(line_bytes))
        n_vectors = draw(st.integers(0, 3))
        vectors = VECTORS.splitlines()[:n_vectors]
        frames.append(frame + b"".join(vector + newline for vector in vectors))
    content = b"".join(frames)
    if draw(st.booleans()):
        content = content.removesuffix(newline)
    else:
        content += newline * draw(st.integers(0, 3))
    return frames, content


@settings(max_examples=150, deadline=None)
@given(files(), st.sampled_from(sorted(COMPRESSORS)), st.data())
def test_copied_frames_in_any_order_are_the_frames(tmp_path_factory, file, kind, data):
    frames, content = file
    path = write(tmp_path_factory.mktemp("copy") / "f", COMPRESSORS[kind](content))
    index = index_frames(path)
    order = data.draw(st.lists(st.integers(0, len(frames) - 1), max_size=8))
    with_lengths = b"".join(copy_frames(path, index.offset[order], index.length[order]))
    expected = b"".join(frames[i] for i in order)
    if order and order[-1] == len(frames) - 1 and not content.endswith(b"\n"):
        expected = expected.removesuffix(b"\n").removesuffix(b"\r")
    assert with_lengths == expected
    assert b"".join(copy_frames(path, index.offset[order])) == expected


@settings(max_examples=100, deadline=None)
@given(files(), st.integers(1, 40))
def test_index_does_not_depend_on_chunks(file, size):
    _, content = file
    scanners = []
    for step in (size, len(content)):
        scanner = FrameScanner("f")
        for start in range(0, len(content), step):
            scanner.feed(content[start : start + step])
        scanner.finish()
        scanners.append((scanner.offset, scanner.end, scanner.n_atoms, scanner.last_line))
    assert scanners[0] == scanners[1]


def test_index_holds_offsets_lengths_and_atoms(path):
    index = index_frames(write(path, TWO_FRAMES))
    second = TWO_FRAMES.index(b"1\nProp")
    assert index.offset.tolist() == [0, second]
    assert index.length.tolist() == [second, len(TWO_FRAMES) - second]
    assert index.n_atoms.tolist() == [2, 1]
    assert index.offset.dtype == index.length.dtype == index.n_atoms.dtype == np.int64
    assert len(index) == 2


@pytest.mark.parametrize("kind", sorted(COMPRESSORS))
def test_stamp_is_of_the_file_on_the_disk(path, kind):
    # What follows compressed data is part of the file, though not of the stream.
    rest = {"gzip": bytes(3_000_000), "bzip2": b"?" * 3_000_000}.get(kind, b"")
    write(path, COMPRESSORS[kind](TWO_FRAMES) + rest)
    stamp = index_frames(path).stamp
    status = os.stat(path)
    assert stamp.digest == file_digest(path)
    assert (stamp.path, stamp.size, stamp.mtime_ns) == (
        str(path),
        status.st_size,
        status.st_mtime_ns,
    )


def test_digest_can_be_left_out(path):
    assert index_frames(write(path, TWO_FRAMES), digest=False).stamp.digest == ""


@pytest.mark.parametrize("n_kept", range(len(TWO_FRAMES)))
def test_every_truncation_is_found_or_leaves_whole_frames(path, n_kept):
    write(path, TWO_FRAMES[:n_kept])
    second = TWO_FRAMES.index(b"1\nProp")
    whole = {second - 1: 1, second: 1, len(TWO_FRAMES) - 1: 2}
    # Nobody can tell "0.75" cut to "0.7" from a number that somebody wrote.
    whole |= {second - 1 - i: 1 for i in range(1, 4)} | {len(TWO_FRAMES) - 1 - i: 2 for i in (1, 2)}
    if n_kept in whole:
        assert len(index_frames(path)) == whole[n_kept]
    else:
        with pytest.raises((InputFileError, FormatError)):
            index_frames(path)


def test_truncated_frame_is_named_with_its_lines(path):
    write(path, TWO_FRAMES + b"3\n\nC 0 0 0\n")
    with pytest.raises(InputFileError, match=r"frame 2\n  expected: 5 lines.*\n  got: +3 lines"):
        index_frames(path)


def test_missing_fields_on_the_last_line_are_named(path):
    write(path, b"2\n\nC 0 0 0 1 2\nC 0 0 0 1")
    with pytest.raises(InputFileError, match=r"frame 0\n  expected: 6 fields.*\n  got: +5 fields"):
        index_frames(path)


def test_missing_fields_of_a_single_atom_are_told_by_properties(path):
    write(path, b"1\nProperties=species:S:1:pos:R:3:f:R:3\nC 0 0 0 1 2")
    with pytest.raises(InputFileError, match="expected: 7 fields"):
        index_frames(path)


def test_missing_fields_of_a_vector_are_found(path):
    write(path, b"1\n\nC 0 0 0\nVEC1 1 0")
    with pytest.raises(InputFileError, match="expected: 4 fields"):
        index_frames(path)


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz"])
def test_truncated_compression_is_an_error(path, kind):
    compressed = COMPRESSORS[kind](TWO_FRAMES * 100)
    write(path, compressed[: len(compressed) // 2])
    with pytest.raises(InputFileError, match="compressed file is truncated or damaged"):
        index_frames(path)


def test_damaged_gzip_is_an_error(path):
    compressed = bytearray(gzip.compress(TWO_FRAMES * 100))
    compressed[-6] ^= 0xFF
    with pytest.raises(InputFileError, match="truncated or damaged"):
        index_frames(write(path, bytes(compressed)))


@pytest.mark.parametrize(
    "content",
    [b"hello\n", b"\x89HDF\r\n\x1a\n" + bytes(2000), b"-3\n\n", b"1.5\n\n", b"\n1\n\nC 0 0 0\n"],
)
def test_other_files_are_refused_at_the_first_line(path, content):
    with pytest.raises(FormatError, match=r"not an extxyz file\n  where: +\S+, line 1\n"):
        index_frames(write(path, content))


def test_endless_first_line_is_refused_without_being_kept():
    scanner = FrameScanner("f")
    with pytest.raises(FormatError, match="not an extxyz file"):
        scanner.feed(b"7" * 300)


@pytest.mark.parametrize("content", [b"", b"\n", b"  \n\n"])
def test_file_without_frames_is_an_error(path, content):
    with pytest.raises(FormatError, match="file holds no structures"):
        index_frames(write(path, content))


def test_wrong_count_line_is_named_by_line_and_frame(path):
    write(path, TWO_FRAMES + b"Si 0 0 0\n")
    with pytest.raises(FormatError, match=r"line 8 \(frame 2\)\n.*\n  got: +'Si 0 0 0'"):
        index_frames(path)


def test_blank_line_between_frames_is_an_error(path):
    write(path, TWO_FRAMES + b"\n" + TWO_FRAMES)
    with pytest.raises(FormatError, match=r"blank line between structures\n  where: +\S+, line 8"):
        index_frames(path)


def test_blank_lines_at_the_end_belong_to_no_frame(path):
    index = index_frames(write(path, TWO_FRAMES + b"\n  \r\n "))
    assert index.length.sum() == len(TWO_FRAMES)


def test_huge_count_is_a_truncation(path):
    with pytest.raises(InputFileError, match="100000000000000002 lines"):
        index_frames(write(path, b"100000000000000000\n\nC 0 0 0\n"))


def test_fourth_vector_is_an_error(path):
    write(path, b"1\n\nC 0 0 0\n" + VECTORS + b"VEC1 1 1 1\n")
    with pytest.raises(FormatError, match="count line is not a number"):
        index_frames(path)


def test_frame_of_many_chunks(path, monkeypatch):
    monkeypatch.setattr(extxyz, "_CHUNK_BYTES", 1000)
    content = make_frame(5000, b"\n") + make_frame(2, b"\n")
    index = index_frames(write(path, content))
    assert index.n_atoms.tolist() == [5000, 2]
    assert index.length.sum() == len(content)


def test_frames_without_atoms(path):
    index = index_frames(write(path, b"0\nempty\n0\n\n"))
    assert index.n_atoms.tolist() == [0, 0]
    assert index.length.tolist() == [8, 3]


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputFileError, match=r"file cannot be read\n  where: .*absent\.xyz"):
        index_frames(tmp_path / "absent.xyz")


def test_pipe_is_refused(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    keeper = os.open(pipe, os.O_RDWR)
    try:
        with pytest.raises(InputFileError, match="not a regular file"):
            index_frames(pipe)
    finally:
        os.close(keeper)


def test_search_for_frames_tells_how_far_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(extxyz, "_CHUNK_BYTES", 10)
    monkeypatch.setattr(extxyz, "_CHUNKS_TOLD", 2)
    content = b"1\n\nC 0 0 0\n" * 9
    seen = []
    for name, text in (("plain.xyz", content), ("packed.xyz", gzip.compress(content))):
        (tmp_path / name).write_bytes(text)
        index_frames(tmp_path / name, progress=lambda *step: seen.append(step))
    n = -(-len(content) // 10)
    steps = [*range(2, n + 1, 2), n]
    plain = [("index", done, n) for done in steps]
    packed = [("index", done, None) for done in steps[:-1]] + [("index", n, n)]
    assert seen == plain + packed
