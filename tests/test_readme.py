"""The README and the shipped configurations are run, so that they stay true."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BASH = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder that looks like the checkout, with `prcli` on the path."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("sample_data", "configs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("build"))
    programs = folder / "bin"
    programs.mkdir()
    commands = {"prcli": f'"{sys.executable}" -m prcli', "python": f'"{sys.executable}"'}
    if MPIEXEC is not None:
        commands["mpiexec"] = f'"{MPIEXEC}"'
    for name, command in commands.items():
        script = programs / name
        script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        script.chmod(0o755)
    return folder


def run_shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["bash", "-eu", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_quick_start_installs_and_selects(workplace):
    install, command = BASH[0].strip().split(" && ")
    assert install == "python -m pip install ."
    done = run_shell(command, workplace)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    names = {"selected.xyz", "selection.tsv", "targets.tsv", "report.json"}
    if find_spec("matplotlib") is not None:
        names |= {"report.html", "map.tsv", "chemiscope.json.gz"}
    assert {path.name for path in (workplace / "out").iterdir()} == names


def test_second_block_installs_and_tests():
    assert BASH[1].strip() == (
        'python -m pip install ".[test]" && python -m pytest -m "not benchmark"'
    )


def test_tour_runs_word_for_word(workplace):
    for block in BASH[2:]:
        if "--featurizer" in block and find_spec("featomic") is None:
            continue
        if "mpiexec" in block and MPIEXEC is None:
            continue
        done = run_shell(block, workplace)
        assert done.returncode == 0, f"{block}\n{done.stderr}"
    assert (workplace / "scored.xyz").stat().st_size > 0
    assert (workplace / "five.xyz").read_bytes().count(b"prcli_rank=") == 5


def test_python_examples_run(workplace):
    printed = []
    for number, example in enumerate(PYTHON):
        (workplace / f"example{number}.py").write_text(example)
        done = run_shell(f"python example{number}.py", workplace)
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    arrays, files = printed
    assert arrays.count("[") == 2
    assert files.count("periodic") == 3


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda p: p.stem)
def test_configurations_run(path, workplace):
    command = re.search(
        rf"`(prcli [^`]*configs/{path.name})`", (ROOT / "configs/README.md").read_text()
    )
    assert command is not None, "configs/README.md does not say how to run it"
    if "features compute" in command[1]:
        pytest.importorskip("featomic")
    done = run_shell(f"rm -rf out && {command[1]}", workplace)
    assert done.returncode == 0, done.stderr


def test_table_of_errors_is_that_of_the_sample_data():
    row = "| 613 | 347 | 281 | 274 | 181 |"
    assert row in README
    assert row in (ROOT / "sample_data" / "README.md").read_text(encoding="utf-8")
