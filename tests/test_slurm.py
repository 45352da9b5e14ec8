"""The shipped job scripts do what they say, in an environment such as SLURM makes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from prcli.data.checkpoint import read_checkpoint
from prcli.data.hessian_file import read_hessian, read_hessian_provenance
from prcli.data.tables import read_table

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted((ROOT / "configs" / "slurm").glob("*.sh"))
SAMPLES = ROOT / "sample_data"
SETS = [
    *("--train", str(SAMPLES / "train.h5"), "--target", str(SAMPLES / "target.h5")),
    *("--pool", str(SAMPLES / "pool.h5"), "-n", "12", "-o", "selected"),
]

#: prcli, with picks that take their time where the environment asks for it.
PRCLI = """
import os, sys, time
import prcli.numerics.pickers as pickers
from prcli.cli.main import main

propose = pickers.GreedyPicker.propose

def slow(self):
    print("pick", file=sys.stderr, flush=True)
    time.sleep(float(os.environ.get("PICK_SECONDS", "0")))
    return propose(self)

pickers.GreedyPicker.propose = slow
main()
"""


MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with `prcli` and a `scontrol` that writes down what it was told."""
    monkeypatch.chdir(tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "program.py").write_text(PRCLI)
    commands = {
        "prcli": f'exec "{sys.executable}" "{programs}/program.py" "$@"',
        "scontrol": f'echo "$@" >> "{tmp_path}/told"',
        "srun": f'exec "{MPIEXEC}" -n "$SLURM_NTASKS" "$@"',
    }
    for name, command in commands.items():
        (programs / name).write_text(f"#!/bin/sh\n{command}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    monkeypatch.setenv("SLURM_JOB_ID", "4242")
    return tmp_path


def run(name: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    # As sbatch does, from a copy elsewhere.
    script = shutil.copy(ROOT / "configs" / "slurm" / name, "slurm_script")
    return subprocess.run(
        ["bash", script, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run_array(n_tasks: int, folder: str = "shares", **environment: str) -> None:
    for task in range(1, n_tasks + 1):
        done = run(
            "hessian_array.sh",
            folder,
            SAMPLES / "train.h5",
            *("--intercept", "atom"),
            SLURM_ARRAY_TASK_ID=str(task),
            SHARES=environment.get("SHARES", str(n_tasks)),
        )
        assert done.returncode == 0, done.stderr


def test_there_are_scripts():
    assert [path.name for path in SCRIPTS] == [
        "hessian_array.sh",
        "hessian_merge.sh",
        "mpi.sh",
        "select_requeue.sh",
    ]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_syntax(path):
    done = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert os.access(path, os.X_OK)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_shellcheck_finds_nothing(path):
    folders = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    program = shutil.which("shellcheck", path=folders)
    if program is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run([program, path], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_options_of_the_job_stand_before_the_first_command(path):
    lines = path.read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    options = [i for i, line in enumerate(lines) if line.startswith("#SBATCH ")]
    assert len(options) >= 4
    assert max(options) < first
    # What sbatch would take for a comment.
    assert not [line for line in lines if re.match(r"#\s+SBATCH|##SBATCH", line)]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_overview_names_every_script(path):
    assert f"`slurm/{path.name}`" in (ROOT / "configs" / "README.md").read_text()


def test_as_many_shares_as_the_array_has_tasks():
    text = (ROOT / "configs" / "slurm" / "hessian_array.sh").read_text()
    assert re.search(r"--array=1-(\d+)", text)[1] == re.search(r"SHARES:-(\d+)", text)[1]


def test_an_array_and_its_merging_are_the_whole(workplace):
    run_array(3)
    assert sorted(os.listdir("shares")) == [f"000{i}-of-3.hessian" for i in (1, 2, 3)]
    done = run("hessian_merge.sh", "shares", "all.hessian")
    assert done.returncode == 0, done.stderr
    command = ["prcli", "hessian", str(SAMPLES / "train.h5"), "--intercept", "atom", "-o", "whole"]
    subprocess.run(command, check=True, capture_output=True)
    merged, whole = read_hessian("all.hessian"), read_hessian("whole")
    assert merged.n_structures == whole.n_structures == 40
    assert merged.scale == pytest.approx(whole.scale, rel=1e-12)
    # Fewer rows than columns: the root is not unique, but its square is.
    one, other = (record.R["energy"].T @ record.R["energy"] for record in (merged, whole))
    np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12 * other.max())
    settings = read_hessian_provenance("shares/0002-of-3.hessian")["settings"]
    assert settings["shard"] == "2/3"


def test_options_of_the_merging_reach_prcli(workplace):
    run_array(2)
    done = run("hessian_merge.sh", "shares", "all.hessian", "--regularizer", "auto")
    assert done.returncode == 0, done.stderr
    assert read_hessian("all.hessian").regularizer != 1e-5


def test_a_task_may_be_repeated_alone(workplace):
    run_array(2)
    before = read_hessian("shares/0002-of-2.hessian").digests
    os.unlink("shares/0002-of-2.hessian")
    # A task count of one, as sbatch --array=2 would tell.
    environment = {"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "1", "SHARES": "2"}
    for _ in range(2):
        arguments = ("shares", SAMPLES / "train.h5", "--intercept", "atom")
        assert run("hessian_array.sh", *arguments, **environment).returncode == 0
    np.testing.assert_array_equal(read_hessian("shares/0002-of-2.hessian").digests, before)


def test_a_share_that_is_missing_is_noticed(workplace):
    run_array(2, SHARES="3")
    done = run("hessian_merge.sh", "shares", "all.hessian")
    assert done.returncode == 1
    assert "shares holds 2 of 3 shares" in done.stderr
    assert not os.path.exists("all.hessian")
    os.mkdir("empty")
    done = run("hessian_merge.sh", "empty", "all.hessian")
    assert done.returncode == 1
    assert "empty holds no shares" in done.stderr


def test_ranks_divide_the_work(workplace):
    if MPIEXEC is None:
        pytest.skip("no mpiexec is found (pip install mpich)")
    arguments = ("hessian", SAMPLES / "train.h5", "-o", "all.hessian")
    done = run("mpi.sh", *arguments, SLURM_NTASKS="2")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("all.hessian: 40 structures") == 1
    again = run("mpi.sh", *arguments, SLURM_NTASKS="2")
    assert again.returncode == 1
    assert again.stderr.count("output exists already") == 1


@pytest.mark.parametrize("name", ["hessian_array.sh", "hessian_merge.sh", "mpi.sh"])
def test_what_is_missing_is_said(workplace, name):
    done = run(name, SLURM_ARRAY_TASK_ID="1")
    assert done.returncode != 0
    assert "give " in done.stderr


def turn(**environment: str) -> tuple[int, str]:
    """Run the selection until the shell is told that its time is nearly up."""
    script = shutil.copy(ROOT / "configs" / "slurm" / "select_requeue.sh", "slurm_script")
    process = subprocess.Popen(
        ["bash", script, *SETS],
        env={**os.environ, "PICK_SECONDS": "0.3", **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    n_picks = 0
    for line in process.stderr:
        n_picks += line == "pick\n"
        if n_picks == 3:
            break
    # To the shell alone, as --signal=B:USR1@120 has it.
    process.send_signal(signal.SIGUSR1)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def test_a_selection_takes_several_turns(workplace):
    for number in range(2):
        code, err = turn(SLURM_RESTART_COUNT=str(number))
        assert code == 75, err
        assert "stopped by SIGUSR1" in err
        assert Path("told").read_text().splitlines() == ["requeue 4242"] * (number + 1)
        assert not os.path.exists("selected")
    n_picks = read_checkpoint("selected.checkpoint").n_steps
    assert 4 <= n_picks < 12
    last = run("select_requeue.sh", *SETS, SLURM_RESTART_COUNT="2")
    assert last.returncode == 0, last.stderr
    assert f"{n_picks} picks were made by an earlier run" in last.stderr
    assert len(Path("told").read_text().splitlines()) == 2
    whole = ["prcli", "select", *SETS[:-1], "whole"]
    subprocess.run(whole, check=True, capture_output=True)
    found, wanted = (read_table(f"{name}/selection.tsv") for name in ("selected", "whole"))
    assert found["index"] == wanted["index"]
    numbers = (np.array(table["objective"], dtype=float) for table in (found, wanted))
    np.testing.assert_allclose(*numbers, rtol=1e-9)


def test_there_is_an_end_to_the_turns(workplace):
    code, err = turn(SLURM_RESTART_COUNT="4", MOST_TURNS="5")
    assert code == 75
    assert "no end after 5 turns" in err
    assert not os.path.exists("told")
    # What was picked is kept all the same.
    assert os.path.exists("selected.checkpoint")


def test_what_fails_is_not_repeated(workplace):
    done = run("select_requeue.sh", *SETS[:-4], "-n", "1000", "-o", "selected")
    assert done.returncode == 1
    assert "fewer candidates" in done.stderr
    assert not os.path.exists("told")
