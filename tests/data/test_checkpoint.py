from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prcli.data import publish
from prcli.data.checkpoint import (
    Checkpoint,
    check_same_request,
    plain_request,
    read_checkpoint,
    write_checkpoint,
)
from prcli.data.file_kind import file_kind
from prcli.errors import FormatError, InputFileError, MismatchError, OutputError

REQUEST = {"n-to-select": 5, "pool": "blake2b:12", "where": None}
COLUMNS = {"index": [3, 1], "gain": [0.1, 1 / 3]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "out.checkpoint"
    write_checkpoint(path, Checkpoint(REQUEST, COLUMNS))
    return path


@given(values=st.lists(st.floats()))
@settings(max_examples=50)
def test_every_number_comes_back(values, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "numbers.checkpoint"
    write_checkpoint(path, Checkpoint(REQUEST, {"gain": values}))
    found = read_checkpoint(path)
    np.testing.assert_array_equal(np.array(found.columns["gain"]), np.array(values))
    assert found.n_steps == len(values)


def test_what_is_written_comes_back(path):
    found = read_checkpoint(path)
    assert found == Checkpoint(REQUEST, COLUMNS)
    assert isinstance(found.columns["index"][0], int)


def test_a_newer_one_takes_the_place_of_the_older(path):
    write_checkpoint(path, Checkpoint(REQUEST, {"index": [7]}))
    assert read_checkpoint(path).columns == {"index": [7]}
    assert os.listdir(path.parent) == [path.name]


def test_its_kind_is_told_from_its_content(path):
    assert file_kind(path) == "checkpoint"


def test_no_file_and_an_empty_file_hold_nothing(tmp_path):
    assert read_checkpoint(tmp_path / "absent") is None
    (tmp_path / "empty").touch()
    assert read_checkpoint(tmp_path / "empty") is None


def test_a_truncated_file_is_damaged(path):
    whole = path.read_bytes()
    first_line = whole.index(b"\n") + 1
    for length in range(1, len(whole) - 1):
        path.write_bytes(whole[:length])
        what = "is damaged" if length >= first_line - 1 else "not a checkpoint"
        with pytest.raises(FormatError, match=what) as caught:
            read_checkpoint(path)
        assert "remove the file" in str(caught.value)


def test_a_changed_byte_is_found(path):
    whole = bytearray(path.read_bytes())
    first_line = whole.index(b"\n") + 1
    for position in range(first_line, len(whole) - 1):
        changed = whole.copy()
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises(FormatError, match="is damaged"):
            read_checkpoint(path)


@pytest.mark.parametrize(
    "content", [b"3\nframe\n", b"\x89HDF\r\n\x1a\n" * 3, b"{}", b"[1]\n", b"\n"]
)
def test_other_files_are_not_taken_for_one(path, content):
    path.write_bytes(content)
    with pytest.raises(FormatError, match="not a checkpoint of a selection"):
        read_checkpoint(path)
    assert path.read_bytes() == content


def test_another_version_is_refused(path):
    head, body = path.read_bytes().split(b"\n", 1)
    path.write_bytes(json.dumps(json.loads(head) | {"version": 2}).encode() + b"\n" + body)
    with pytest.raises(FormatError, match=r"of another version(\n.*)*expected: +1\n +got: +2"):
        read_checkpoint(path)


def test_columns_of_different_lengths_are_refused(path):
    write_checkpoint(path, Checkpoint(REQUEST, {"index": [1, 2], "gain": [0.5]}))
    with pytest.raises(FormatError, match="differ in length"):
        read_checkpoint(path)


def test_a_folder_cannot_be_read(tmp_path):
    with pytest.raises(InputFileError, match="Is a directory"):
        read_checkpoint(tmp_path)


def test_a_failing_disk_leaves_the_older_one(path, monkeypatch):
    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publish.os, "fsync", fail)
    with pytest.raises(OutputError, match="No space left"):
        write_checkpoint(path, Checkpoint(REQUEST, {"index": [7]}))
    assert read_checkpoint(path) == Checkpoint(REQUEST, COLUMNS)
    assert os.listdir(path.parent) == [path.name]


def test_the_same_request_is_accepted():
    check_same_request("c", plain_request({"a": (1, 2)}), plain_request({"a": [1, 2]}))


def test_another_request_is_refused_with_what_differs():
    wanted = {"n-to-select": 6, "pool": "blake2b:12", "seed": 1}
    with pytest.raises(MismatchError, match="belongs to another request") as caught:
        check_same_request("c", REQUEST, wanted)
    assert caught.value.expected == "n-to-select 5; seed null"
    assert caught.value.got == "n-to-select 6; seed 1"
    assert "remove the file" in str(caught.value)


def test_long_values_are_cut_in_messages():
    with pytest.raises(MismatchError) as caught:
        check_same_request("c", {"keys": "x" * 500}, {"keys": "y"})
    assert len(caught.value.expected) < 130


def test_numbers_of_numpy_and_paths_are_plain():
    request = {"n": np.int64(3), "scale": np.float32(0.5), "prior": Path("p.npy")}
    assert plain_request(request) == {"n": 3, "scale": 0.5, "prior": "p.npy"}
