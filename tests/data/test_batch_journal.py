from __future__ import annotations

import contextlib
import errno
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prcli.data import batch_journal
from prcli.data.batch_journal import BatchJournal
from prcli.errors import FormatError, MismatchError, OutputError

REQUEST = {"settings": {"width": 0.3}, "species": ["H", "C"], "dtype": "float32"}


class StopError(Exception):
    """Whatever ends a run."""


def batch_of(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "span": np.array([seed, seed + 1]),
        "rows": rng.normal(size=(seed + 1, 3)).astype(np.float32),
        "none": np.empty((0, 4)),
    }


def interrupted(path: Path, n_batches: int, first: int = 0) -> None:
    """Leave a journal as a run does that is stopped."""
    with contextlib.suppress(StopError), BatchJournal(path, REQUEST) as journal:
        list(journal.replay())
        for seed in range(first, first + n_batches):
            journal.append(batch_of(seed))
        raise StopError


def replayed(path: Path) -> list[dict[str, np.ndarray]]:
    batches = []
    with contextlib.suppress(StopError), BatchJournal(path, REQUEST) as journal:
        batches += journal.replay()
        raise StopError
    return batches


def assert_batches(found: list[dict[str, np.ndarray]], n_batches: int) -> None:
    assert len(found) == n_batches
    for seed, batch in enumerate(found):
        for name, values in batch_of(seed).items():
            np.testing.assert_array_equal(batch[name], values)
            assert batch[name].dtype == values.dtype


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out.checkpoint"


def test_batches_come_back(path):
    interrupted(path, 3)
    assert_batches(replayed(path), 3)


def test_more_batches_follow_those_of_earlier_runs(path):
    interrupted(path, 2)
    interrupted(path, 2, first=2)
    assert_batches(replayed(path), 4)


def test_nothing_is_left_after_success(path):
    with BatchJournal(path, REQUEST) as journal:
        assert list(journal.replay()) == []
        journal.append(batch_of(0))
        assert path.exists()
    assert not path.exists()


def test_nothing_is_left_of_a_run_without_batches(path):
    interrupted(path, 0)
    assert not path.exists()


def test_earlier_batches_stay_when_a_run_adds_none(path):
    interrupted(path, 2)
    interrupted(path, 0)
    assert_batches(replayed(path), 2)


def test_earlier_batches_stay_when_a_run_fails_before_it_reads_them(path):
    interrupted(path, 2)
    with contextlib.suppress(StopError), BatchJournal(path, REQUEST):
        raise StopError
    assert_batches(replayed(path), 2)


@settings(max_examples=30)
@given(st.data())
def test_a_record_that_was_cut_is_dropped(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "j"
    interrupted(path, 2)
    end = path.stat().st_size
    interrupted(path, 1, first=2)
    cut = data.draw(st.integers(end, path.stat().st_size - 1))
    path.write_bytes(path.read_bytes()[:cut])
    assert_batches(replayed(path), 2)
    interrupted(path, 1, first=2)
    assert_batches(replayed(path), 3)


def test_a_damaged_record_and_what_follows_it_are_dropped(path):
    interrupted(path, 1)
    end = path.stat().st_size
    interrupted(path, 2, first=1)
    content = bytearray(path.read_bytes())
    content[end + 40] ^= 1
    path.write_bytes(content)
    assert_batches(replayed(path), 1)


def test_an_absurd_length_is_not_believed(path):
    interrupted(path, 1)
    with path.open("ab") as file:
        file.write(b"\xff" * 12)
    assert_batches(replayed(path), 1)


def test_another_request_is_refused_with_what_differs(path):
    interrupted(path, 1)
    other = REQUEST | {"dtype": "float64"}
    with pytest.raises(MismatchError, match='expected: +dtype "float32"\n  got: +dtype "float64"'):
        BatchJournal(path, other)
    assert_batches(replayed(path), 1)


def test_a_foreign_file_is_left_alone(path):
    path.write_bytes(b"my notes\n")
    with pytest.raises(FormatError, match="not a checkpoint"):
        BatchJournal(path, REQUEST)
    assert path.read_bytes() == b"my notes\n"


def test_a_second_run_is_refused(path):
    with BatchJournal(path, REQUEST), pytest.raises(OutputError, match="another run"):
        BatchJournal(path, REQUEST)


def test_a_full_disk_is_told(path, monkeypatch):
    def refuse(file, piece):
        raise OSError(errno.ENOSPC, "No space left on device")

    with BatchJournal(path, REQUEST) as journal:
        monkeypatch.setattr(batch_journal, "_write", refuse)
        with pytest.raises(OutputError, match="No space left"):
            journal.append(batch_of(0))


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OutputError, match="No such file"):
        BatchJournal(tmp_path / "no" / "j", REQUEST)
