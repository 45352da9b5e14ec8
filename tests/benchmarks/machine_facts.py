"""What machine and which libraries the figures belong to."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numba
import numpy as np
import scipy
import threadpoolctl
from measurement import last_level_cache
from tsv_table import Row

import prcli


def machine_facts() -> list[Row]:
    """Lines on the processor, the memory and the libraries."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    facts: list[tuple[str, float | str, str]] = [
        ("processor", _processor(), ""),
        ("processors", float(len(os.sched_getaffinity(0))), ""),
        ("largest cache", last_level_cache() / 2**20, "MiB"),
        ("memory", memory / 2**30, "GiB"),
        ("system", f"{platform.system()} {platform.machine()}", ""),
        ("linear algebra", _linear_algebra(), ""),
        ("python", platform.python_version(), ""),
        ("numpy", np.__version__, ""),
        ("scipy", scipy.__version__, ""),
        ("numba", numba.__version__, ""),
        ("prcli", prcli.__version__, ""),
    ]
    return [Row("machine", item, value, unit) for item, value, unit in facts]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def _linear_algebra() -> str:
    found = {
        f"{library['internal_api']} {library['version']} {library.get('architecture', '')}".strip()
        for library in threadpoolctl.threadpool_info()
        if library["user_api"] == "blas"
    }
    return ", ".join(sorted(found)) or "unknown"
