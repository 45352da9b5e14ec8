from __future__ import annotations

import subprocess
import sys

import pytest

#: What takes long to load, and no plain run needs.
_HEAVY = {"ase", "matplotlib", "numba", "rich", "scipy.optimize", "scipy.sparse", "scipy.special"}


@pytest.mark.parametrize("module", ["hessian_run", "score_run", "select_run"])
def test_a_workflow_loads_nothing_heavy_before_it_is_needed(module):
    program = f"import sys, prcli.workflows.{module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not _HEAVY & set(done.stdout.split())
