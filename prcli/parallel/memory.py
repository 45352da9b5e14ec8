"""How much memory a run may use."""

from __future__ import annotations

import os
import re
from pathlib import Path

from prcli.errors import RequestError

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*$", re.IGNORECASE)
_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


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
    """Bytes that the cgroup or the machine allows this process."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [machine]
    for path in _CGROUP_LIMITS:
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            limits.append(int(text))
    return min(limits)


def format_size(n_bytes: float) -> str:
    """Write a size for people, such as ``1.5 GiB``."""
    size = float(n_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024.0:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024.0
    return f"{size:.1f} TiB"
