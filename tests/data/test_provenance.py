from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import prcli
from prcli.data.provenance import (
    file_digest,
    make_provenance,
    provenance_from_dict,
    provenance_to_dict,
    provenance_to_json,
    stamp_file,
)
from prcli.errors import FormatError, InputFileError
from prcli.records import Block, FileStamp

STAMP = FileStamp("/data/Fe 3.xyz", 12, 34, "blake2b:00")


@pytest.mark.parametrize("size", [0, 1, (4 << 20) + 1])
def test_digest_is_blake2b_of_the_content(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    expected = hashlib.blake2b(b"x" * size, digest_size=16).hexdigest()
    assert file_digest(path) == f"blake2b:{expected}"


def test_digest_of_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="absent.xyz[\\s\\S]*No such file"):
        file_digest(tmp_path / "absent.xyz")


def test_stamp_tells_path_size_time_and_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(b"abc")
    stamp = stamp_file("file")
    assert stamp == FileStamp(
        str(tmp_path / "file"), 3, Path("file").stat().st_mtime_ns, file_digest("file")
    )


def test_known_digest_is_taken_without_reading(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert stamp_file(path, "blake2b-rows:12").digest == "blake2b-rows:12"


def test_stamp_of_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="absent"):
        stamp_file(tmp_path / "absent", "known")


def test_command_is_quoted_for_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/prcli-wrapper", "select", "my file.h5"])
    provenance = make_provenance([], {})
    assert provenance.command == "prcli select 'my file.h5'"
    assert provenance.version == prcli.__version__


def test_time_is_utc_to_the_second() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", make_provenance([], {}).time)


def test_round_trip_through_json() -> None:
    settings = {"seed": np.int64(3), "weights": (1.0, np.float32(0.5)), "path": Path("a/b")}
    provenance = make_provenance([STAMP], settings, command="prcli.select(...)")
    again = provenance_from_dict(json.loads(provenance_to_json(provenance)))
    assert again.inputs == (STAMP,)
    assert again.command == "prcli.select(...)"
    assert dict(again.settings) == {"seed": 3, "weights": [1.0, 0.5], "path": "a/b"}


def test_settings_that_json_does_not_know_are_spelled() -> None:
    settings = {"limit": float("inf"), "blocks": (Block("nu1", 2),), "names": {"b", "a"}}
    fields = provenance_to_dict(make_provenance([], settings, "x"))
    assert fields is not None
    assert fields["settings"] == {
        "limit": "inf",
        "blocks": [{"name": "nu1", "width": 2}],
        "names": ["a", "b"],
    }


def test_no_provenance_stays_none() -> None:
    assert provenance_to_dict(None) is None


@pytest.mark.parametrize("fields", [{}, {"inputs": 3, "settings": {}}])
def test_nonsense_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(FormatError, match="provenance cannot be understood"):
        provenance_from_dict(fields)
