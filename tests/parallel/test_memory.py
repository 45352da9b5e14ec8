from __future__ import annotations

import os

import pytest

from prcli.errors import RequestError
from prcli.parallel import memory
from prcli.parallel.memory import available_memory, format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("500", 500),
        ("1k", 1024),
        ("1K", 1024),
        ("2KB", 2048),
        ("3MiB", 3 * 2**20),
        ("8G", 8 * 2**30),
        (" 8 g ", 8 * 2**30),
        ("0.5T", 2**39),
        ("1.5G", 3 * 2**29),
        ("10B", 10),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "0G", "-1G", "G", "1P", "1 G B", "1e9", "nan", "0.1", "8,5G"])
def test_what_is_no_positive_size(text):
    with pytest.raises(RequestError, match="size is not valid") as caught:
        parse_size(text)
    assert caught.value.where == "--memory"
    assert caught.value.got == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (2**20, "1.0 MiB"),
        (5 * 2**30, "5.0 GiB"),
        (2**40, "1.0 TiB"),
        (2**52, "4096.0 TiB"),
    ],
)
def test_sizes_for_people(size, text):
    assert format_size(size) == text


@pytest.fixture
def limits(tmp_path, monkeypatch):
    paths = (tmp_path / "memory.max", tmp_path / "memory.limit_in_bytes")
    monkeypatch.setattr(memory, "_CGROUP_LIMITS", paths)
    return paths


MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ((None, None), MACHINE),
        (("max\n", None), MACHINE),
        (("1000000\n", None), 1_000_000),
        ((None, "2000000\n"), 2_000_000),
        (("3000000", "2000000"), 2_000_000),
        ((str(2**63 - 4096), None), MACHINE),
    ],
)
def test_the_smaller_of_machine_and_group_counts(limits, texts, expected):
    for path, text in zip(limits, texts, strict=True):
        if text is not None:
            path.write_text(text)
    assert available_memory() == expected
