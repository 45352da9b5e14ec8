"""How much memory a run may use."""

from __future__ import annotations

import os
import re
from pathlib import Path

from prcli.errors import RequestError

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*$", re.IGNORECASE)
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def parse_size(text: str) -> int:
    """Read a size such as ``8G``, ``500MiB`` or plain bytes.

    Raises
    ------
    RequestError
        If it is not a positive size.
    """
    match = _SIZE.match(text)
    size = int(float(match[1]) * _UNITS[match[2].upper()]) if match else 0
    if size <= 0:
        raise RequestError(
            "size is not valid",
            where="--memory",
            expected="a number with an optional unit K, M, G or T, such as 8G",
            got=text,
        )
    return size


def available_memory() -> int:
    """Bytes that the machine, or the control group of this process, allows."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_group_limits()])


def _group_limits() -> list[int]:
    """Limits of the control groups that this process is in, inner ones and outer ones.

    Batch systems put a job into a group of its own below the root.
    """
    try:
        lines = _OWN_GROUPS.read_text().splitlines()
    except OSError:
        return []
    limits = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = _CGROUPS / "memory" if controllers else _CGROUPS
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        folder = root / group.lstrip("/")
        for place in (folder, *folder.parents):
            limits += _read_limit(place / name)
            if place == root:
                break
    return limits


def _read_limit(path: Path) -> list[int]:
    try:
        text = path.read_text().strip()
    except OSError:
        return []
    return [int(text)] if text.isdigit() else []


def format_size(n_bytes: float) -> str:
    """Write a size for people, such as ``1.5 GiB``."""
    size = float(n_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024.0:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024.0
    return f"{size:.1f} TiB"
