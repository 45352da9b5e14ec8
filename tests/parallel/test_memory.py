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


@pytest.mark.parametrize(
    "text", ["", "0", "0G", "-1G", "G", "1P", "1 G B", "1e9", "nan", "0.1", "8,5G"]
)
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


MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """A machine whose control groups are files of the test."""
    own = tmp_path / "own"
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "_OWN_GROUPS", own)

    def write(lines, limits):
        own.write_text("\n".join(lines) + "\n")
        for name, text in limits.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


JOB = ["0::/slurm/job_7/step_0"]
OLD = ["5:cpu,cpuacct:/x", "4:memory:/slurm/job_7"]


@pytest.mark.parametrize(
    ("lines", "limits", "expected"),
    [
        (JOB, {}, MACHINE),
        (JOB, {"memory.max": "max\n"}, MACHINE),
        (JOB, {"memory.max": "1000000\n"}, 1_000_000),
        (JOB, {"slurm/job_7/memory.max": "2000000\n"}, 2_000_000),
        (JOB, {"slurm/job_7/memory.max": "3", "slurm/job_7/step_0/memory.max": "2"}, 2),
        (JOB, {"slurm/job_8/memory.max": "2"}, MACHINE),
        (JOB, {"memory.max": str(2**63 - 4096)}, MACHINE),
        (OLD, {"memory/slurm/job_7/memory.limit_in_bytes": "4000000\n"}, 4_000_000),
        (OLD, {"memory/memory.limit_in_bytes": "5000000\n"}, 5_000_000),
    ],
)
def test_the_smallest_of_machine_and_groups_counts(groups, lines, limits, expected):
    groups(lines, limits)
    assert available_memory() == expected


def test_without_control_groups_the_machine_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "absent")
    assert available_memory() == MACHINE
