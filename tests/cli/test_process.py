"""What only a process of its own shows: exit codes, pipes, signals, the time to start."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from builders import write_store
from plain_signals import heed_signals

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
SETS = ("--train", "train.h5", "--target", "target.h5", "--pool", "pool.h5")

pytestmark = pytest.mark.usefixtures("workplace")


def test_exit_codes_and_streams(run_prcli):
    done = run_prcli("select", *SETS, "-n", "3")
    assert done.returncode == 0
    assert done.stdout.startswith(b"rank\tindex\tsource\t")
    assert b"prcli: plan" in done.stderr
    refused = run_prcli("select", *SETS, "-n", "99")
    assert refused.returncode == 1
    assert refused.stdout == b""
    assert refused.stderr.count(b"prcli: error:") == 1
    assert b"Traceback" not in refused.stderr
    usage = run_prcli("select", *SETS)
    assert usage.returncode == 2
    assert usage.stdout == b""


def test_features_pass_through_a_pipe(run_prcli):
    from builders import atoms_for, counts_of, frames_of

    counts = counts_of(12, 3)
    content = b"".join(frames_of(counts, seed=3, atoms=atoms_for(counts, 3, 3)))
    sets = (*SETS[:4], "--pool", "-", "--feature-key", "feats")
    piped = run_prcli("select", *sets, "-n", "3", "--indices", stdin=content)
    assert piped.returncode == 0, piped.stderr
    assert [line.split(b"\t")[0] for line in piped.stdout.splitlines()] == [b"-"] * 3


@pytest.mark.parametrize(("given", "expected"), [(None, "20"), ("7", "7")])
def test_threads_are_told_to_sleep_before_numpy_is_loaded(given, expected):
    code = (
        "import os, sys, prcli.cli.main as c\n"
        "def run(rank):\n"
        "    print('numpy' in sys.modules, os.environ['OPENBLAS_THREAD_TIMEOUT'])\n"
        "    return 0\n"
        "c._run = run\n"
        "c.main()\n"
    )
    environment = {k: v for k, v in ENVIRONMENT.items() if k != "OPENBLAS_THREAD_TIMEOUT"}
    if given is not None:
        environment["OPENBLAS_THREAD_TIMEOUT"] = given
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", expected]


def test_bug_keeps_its_traceback():
    code = (
        "import prcli.workflows.info as m, prcli.cli.main as c, sys\n"
        "m.describe = lambda path: 1 / 0\n"
        "sys.argv = ['prcli', 'info', 'pool.h5']\n"
        "c.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=ENVIRONMENT)
    assert done.returncode == 1
    assert b"Traceback" in done.stderr
    assert b"ZeroDivisionError" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "score h.h5 pool.h5",
        "score h.h5 pool.h5 --format table",
        "select --hessian h.h5 --target target.h5 --pool pool.h5 -n 3 -o -",
    ],
)
def test_closed_pipe_is_silent(prcli, command):
    assert prcli("hessian", "train.h5", "-o", "h.h5").code == 0
    # The reader is gone long before the first row.
    shell = f"{sys.executable} -m prcli {command} -q 2>err | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, env=ENVIRONMENT, timeout=60)
    assert Path("err").read_bytes() == b""
    # As the shell reports it of any other program that a reader cuts short.
    assert done.stdout == b"141\n"


def test_head_of_a_long_table(prcli):
    write_store(Path("big.h5"), 3000, seed=5)
    assert prcli("hessian", "train.h5", "-o", "h.h5").code == 0
    shell = f"{sys.executable} -m prcli score h.h5 big.h5 --per atom -q 2>err | head -n 2"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, env=ENVIRONMENT, timeout=60)
    assert done.stdout.startswith(b"index\tsource\tframe\tatom")
    assert len(done.stdout.splitlines()) == 2
    assert Path("err").read_bytes() == b""


SLOW_SELECTION = """
import sys, time
import prcli.numerics.greedy as greedy
import prcli.workflows.select_run as select_run
import prcli.workflows.selection_output as output
from prcli.cli.main import main

write = output.selected_frames

def slow(*arguments, **options):
    for frame in write(*arguments, **options):
        yield frame
        print("writing", file=sys.stderr, flush=True)
        time.sleep(30)

output.selected_frames = slow
sys.argv = ["prcli", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 75),
        (signal.SIGHUP, 75),
        (signal.SIGUSR1, 75),
    ],
)
@pytest.mark.parametrize("existing", [False, True])
def test_interrupted_while_writing_leaves_the_picks_at_most(number, code, existing):
    command = ["select", *SETS, "-n", "3", "-o", "out"]
    if existing:
        Path("out").mkdir()
        Path("out/report.json").write_text("{}")
        command.append("--overwrite")
    before = sorted(Path().rglob("*"))
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_SELECTION, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        preexec_fn=heed_signals,
    )
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line == b"writing\n":
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code, (lines, err)
    assert out == b""
    assert b"Traceback" not in err
    kept = [Path("out.checkpoint")] if code == 75 else []
    assert sorted(Path().rglob("*")) == sorted([*before, *kept])


def test_interrupted_while_reading_stdin_leaves_nothing_behind(workplace):
    temporary = workplace / "tmp"
    temporary.mkdir()
    command = [
        sys.executable,
        "-m",
        "prcli",
        "hessian",
        "-",
        "--feature-key",
        "feats",
        "-o",
        "h.h5",
    ]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**ENVIRONMENT, "TMPDIR": str(temporary)},
    )
    deadline = time.monotonic() + 30
    while not any(temporary.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert any(temporary.iterdir())
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert b"Traceback" not in err
    assert not any(temporary.iterdir())
    assert not Path("h.h5").exists()


def test_help_starts_quickly():
    # An installed package has compiled files, which the first run may have to write.
    environment = {k: v for k, v in ENVIRONMENT.items() if k != "PYTHONDONTWRITEBYTECODE"}

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "prcli", "--help"],
            check=True,
            capture_output=True,
            env=environment,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # The least of some: other work on the machine only adds.
    used = min(seconds() for _ in range(5))
    print(f"prcli --help: {used:.3f} s of processor time")
    assert used < 0.3


@pytest.mark.parametrize("command", ["", "select", "features import"])
def test_help_imports_nothing_heavy(command):
    code = (
        "import json, sys\n"
        "from prcli.cli.main import cli\n"
        "cli.main([*sys.argv[1:], '--help'], standalone_mode=False)\n"
        "print(json.dumps([m for m in sys.modules]), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command.split()],
        capture_output=True,
        env=ENVIRONMENT,
        check=True,
    )
    heavy = {"numpy", "scipy", "numba", "h5py", "rich", "ase"}
    assert not heavy & set(json.loads(done.stderr))


def test_number_of_threads_reaches_the_libraries():
    code = (
        "import json\n"
        "from prcli.parallel.threads import limit_threads\n"
        "with limit_threads(1):\n"
        "    import numba, threadpoolctl\n"
        "    used = [pool['num_threads'] for pool in threadpoolctl.threadpool_info()]\n"
        "    print(json.dumps([numba.get_num_threads(), *used]))\n"
    )
    environment = {k: v for k, v in ENVIRONMENT.items() if k != "NUMBA_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environment, check=True
    )
    assert set(json.loads(done.stdout)) == {1}
