"""Runs of several ranks under a launcher: they give what one process gives, and end together."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from builders import assert_same_hessian, counts_of, gradients_of, write_store

from prcli.data.checkpoint import read_checkpoint
from prcli.data.hessian_file import read_hessian
from prcli.data.tables import read_table
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.hessian_run import HessianRequest, build_hessian

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
MPIEXEC = shutil.which("mpiexec", path=FOLDERS)
SIZES = (1, 2, 3, 4)

#: Open MPI would refuse more ranks than processors, and root.
OPEN_MPI = {
    **{f"{name}_ALLOW_RUN_AS_ROOT": "1" for name in ("OMPI", "PRTE")},
    **{f"{name}_ALLOW_RUN_AS_ROOT_CONFIRM": "1" for name in ("OMPI", "PRTE")},
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
}


def why_not() -> str | None:
    if find_spec("mpi4py") is None:
        return "mpi4py is not installed"
    return "no mpiexec is found (pip install mpich)" if MPIEXEC is None else None


@pytest.fixture(scope="module", autouse=True)
def _mpi() -> None:
    reason = why_not()
    if reason is not None:
        # What checks every change must not pass by without it.
        if os.environ.get("PRCLI_TESTS_NEED_MPI"):
            pytest.fail(reason)
        pytest.skip(reason)


def environment(**more: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SLURM_", "PMI_", "PMIX_", "OMPI_"))
    }
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return {**kept, **OPEN_MPI, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **more}


def launch(size: int, *arguments: object, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(MPIEXEC), "-n", str(size), sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        **{"env": environment(), "stdin": subprocess.DEVNULL, **options},
    )


SETS = ["--hessian", "given.hessian", "--target", "target.h5", "--pool", "pool.h5"]

#: What one process and several ranks do alike: name and command line.
COMMANDS = {
    "train": "hessian train.h5 -o train.hessian --intercept atom --no-provenance",
    "forces": "hessian forces.h5 -o forces.hessian --force-weight 0.1 --intercept species",
    "weighted": "hessian carried.xyz carried.xyz@:3 --feature-key f --weight-key w "
    "-o weighted.hessian --allow-duplicates",
    "tiny": "hessian train.h5@:2 -o tiny.hessian",
    "merged": "hessian given.hessian train.h5@::2 -o merged.hessian --allow-duplicates",
    "score": "score given.hessian pool.h5 -q",
    "score-top": "score given.hessian pool.h5 --per atom --top 7 --format csv -q",
    "score-forces": "score given-forces.hessian pool.h5 --per force --write scored.xyz",
    "score-tiny": "score given.hessian pool.h5@:2 --order file --format jsonl -q",
    "select": f"select {' '.join(SETS)} -n 5 -o selected --no-provenance",
    "select-train": "select --train train.h5 --target target.h5 --pool pool.h5 -n 3 "
    "--target-per atom -q",
    "select-blocks": "select --hessian given-forces.hessian --target target.h5 --pool pool.h5 -n 4 "
    "--objective mean-log-pr -q",
    "select-tiny": f"select {' '.join(SETS)}@:2 -n 2 -q",
    "select-fps": f"select {' '.join(SETS)} -n 4 --strategy fps -q",
    "select-cost": f"select {' '.join(SETS)} --budget 20 --cost n_atoms --objective log-det -q",
    "select-frames": f"select {' '.join(SETS)} -n 3 --where n_atoms>1 -o - --annotate -q",
    "select-audit": f"select {' '.join(SETS)} -n 3 -o audited --audit --audit-seeds 2 -q",
    "compute": "features compute python:describer:describe carried.xyz -o computed.h5 "
    "--no-provenance",
    "compute-tiny": "features compute python:describer:describe carried.xyz@:2 -o computed2.h5 "
    "--no-provenance --no-atoms",
}

#: What only several ranks refuse, and what one of them breaks: name, command line, fault.
BROKEN = {
    "absent": ("hessian nothing.h5 -o x.hessian", None),
    "usage": ("hessian train.h5 --nonsense", None),
    "exists": ("hessian train.h5 -o train.hessian", None),
    "alone": ("info given.hessian", None),
    "shard": ("score given.hessian pool.h5 --shard 1/2", None),
    "on-the-way": ("score given.hessian carried.xyz --featurizer soap", None),
    "stdin": ("hessian - -o x.hessian --feature-key f", None),
    "one-rank": (
        "hessian train.h5 -o x.hessian",
        ("prcli.workflows.training_rows", "TrainingRows.record", "prcli"),
    ),
    "bug": ("score given.hessian pool.h5", ("prcli.workflows.score", "rigidities", "bug")),
    "late-bug": (
        f"select {' '.join(SETS)} -n 5 -o x",
        ("prcli.numerics.pickers", "GreedyPicker.propose", "bug", 3),
    ),
    "compute-fault": (
        "features compute python:describer:describe carried.xyz -o x.h5",
        ("prcli.workflows.compute_batches", "Describer._describe", "prcli"),
    ),
    "signal": (
        f"select {' '.join(SETS)} -n 5 -o stopped --no-provenance",
        ("prcli.numerics.pickers", "GreedyPicker.propose", "SIGTERM", 3),
    ),
    "resumed": (f"select {' '.join(SETS)} -n 5 -o stopped --no-provenance", None),
    "disk": (
        "hessian train.h5 -o x.hessian",
        ("prcli.workflows.hessian_run", "write_hessian", "disk"),
    ),
    "interrupt": (
        "hessian train.h5 -o x.hessian",
        ("prcli.workflows.training_rows", "TrainingRows.record", "SIGINT"),
    ),
    "after": ("score given.hessian pool.h5 -q", None),
}

#: What scores and selections begin with, so that they can be compared to the last digit.
HESSIANS = {
    "train": HessianOptions(intercept="atom"),
    "forces": HessianOptions(force_weight=0.1, intercept="species"),
}

DESCRIBER = """
import numpy as np

def describe(structures):
    return [np.array([[1.0, x, x * y, z**2] for x, y, z in s.positions]) for s in structures]
"""


def fault_of(size: int, what: tuple | None) -> dict[str, object] | None:
    """Let the last rank break, or rank 0 where it is its disk."""
    if what is None:
        return None
    module, name, error, *call = what
    rank = 0 if error == "disk" else size - 1
    return {"rank": rank, "module": module, "name": name, "error": error, "call": (*call, 1)[0]}


def fill(folder: Path, size: int) -> None:
    """Write data and commands."""
    folder.mkdir()
    previous = os.getcwd()
    os.chdir(folder)
    try:
        for name, n_structures, seed in (("train", 10, 1), ("target", 3, 2)):
            write_store(Path(f"{name}.h5"), n_structures, seed=seed, xyz=Path(f"{name}.xyz"))
        rows = gradients_of(counts_of(6, 4), seed=4, forces=[1, 2, 5], stresses=[0, 2])
        write_store(Path("forces.h5"), 6, seed=4, gradients=rows)
        rows = gradients_of(counts_of(9, 3), seed=3, forces=[7, 8], stresses=[])
        write_store(Path("pool.h5"), 9, seed=3, xyz=Path("pool.xyz"), gradients=rows)
        for name, options in HESSIANS.items():
            request = HessianRequest((f"{name}.h5",), "", options, with_provenance=False)
            output = "given.hessian" if name == "train" else f"given-{name}.hessian"
            build_hessian(replace(request, output=output))
        Path("carried.xyz").write_text(CARRIED)
        Path("describer.py").write_text(DESCRIBER)
    finally:
        os.chdir(previous)
    commands = [[name, line.split(), None] for name, line in COMMANDS.items()]
    if size > 1:
        commands += [
            [name, line.split(), fault_of(size, what)] for name, (line, what) in BROKEN.items()
        ]
    (folder / "commands.json").write_text(json.dumps(commands))


def _carried_frames() -> str:
    """Frames with features, of which only the last ones have a weight."""
    generator = np.random.default_rng(9)
    frames = []
    for i in range(7):
        n_atoms = 1 + i % 3
        weight = f" w={0.5 + i}" if i > 4 else ""
        rows = generator.normal(size=(n_atoms, 6)).round(6).tolist()
        lines = [" ".join(["C", *map(str, row)]) for row in rows]
        head = f'Properties=species:S:1:pos:R:3:f:R:3 pbc="F F F" name=s{i}{weight}'
        frames.append("\n".join([str(n_atoms), head, *lines]))
    return "\n".join(frames) + "\n"


CARRIED = _carried_frames()


class Runs:
    """What the ranks of one program have left."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.size = size

    def text(self, name: str, kind: str, rank: int = 0) -> str:
        return (self.folder / f"{name}.{rank}.{kind}").read_text()

    def codes(self, name: str) -> list[str]:
        return [self.text(name, "code", rank) for rank in range(self.size)]

    def error(self, name: str) -> str:
        """What all ranks together have written to stderr."""
        return "".join(self.text(name, "err", rank) for rank in range(self.size))

    def columns(self, name: str) -> dict[str, list[str]]:
        lines = [line.split("\t") for line in self.text(name, "out").splitlines()]
        return {head: list(values) for head, *values in zip(*lines, strict=True)}


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Run all commands by one process, without a launcher."""
    folder = tmp_path_factory.mktemp("mpi") / "serial"
    fill(folder, 1)
    program = [sys.executable, str(ROOT / "tests" / "mpi_commands.py"), str(folder)]
    done = subprocess.run(
        program, env=environment(), capture_output=True, text=True, timeout=240, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return Runs(folder, 1)


@pytest.fixture(scope="module", params=SIZES)
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Run all commands by some ranks."""
    folder = tmp_path_factory.mktemp("mpi") / f"ranks-{request.param}"
    fill(folder, request.param)
    done = launch(request.param, ROOT / "tests" / "mpi_commands.py", folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return Runs(folder, request.param)


def test_every_command_ends_well_on_every_rank(serial, ranks):
    for name in COMMANDS:
        assert serial.codes(name) == ["0"], serial.text(name, "err")
        assert ranks.codes(name) == ["0"] * ranks.size, (name, ranks.error(name))


def test_only_rank_0_is_heard(ranks):
    for name in COMMANDS:
        for rank in range(1, ranks.size):
            assert ranks.text(name, "out", rank) == ranks.text(name, "err", rank) == "", name


@pytest.mark.parametrize("name", ["train", "forces", "weighted", "tiny", "merged"])
def test_hessians_are_those_of_one_process(serial, ranks, name):
    one, other = (read_hessian(runs.folder / f"{name}.hessian") for runs in (ranks, serial))
    assert one.loss == other.loss
    assert one.weights == other.weights
    np.testing.assert_array_equal(one.digests, other.digests)
    if other.n_structures > other.n_columns:
        assert_same_hessian(one, other)
    for kind, factor in other.R.items():
        # The root is not unique where there are fewer rows than columns, but its square is.
        wanted = factor.T @ factor
        found = one.R[kind].T @ one.R[kind]
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12 * wanted.max())


@pytest.mark.parametrize("name", [name for name in COMMANDS if name.startswith("score")])
def test_tables_of_scores_are_the_same_to_the_byte(serial, ranks, name):
    assert len(ranks.text(name, "out").splitlines()) > 1
    assert ranks.text(name, "out") == serial.text(name, "out")


def test_frames_are_the_same_to_the_byte(serial, ranks):
    for name in ("scored.xyz", "selected/selected.xyz"):
        assert (ranks.folder / name).read_bytes() == (serial.folder / name).read_bytes()
    assert ranks.text("select-frames", "out").count("prcli_rank=") == 3


@pytest.mark.parametrize("name", ["computed.h5", "computed2.h5"])
def test_stores_are_the_same_to_the_byte(serial, ranks, name):
    assert (ranks.folder / name).read_bytes() == (serial.folder / name).read_bytes()


#: Columns of numbers that the order of sums can change in their last digits.
NUMBERS = ("gain", "objective", "margin", "target_pr_mean", "target_pr_min", "target_pr_max")


@pytest.mark.parametrize(
    "name", ["select-train", "select-blocks", "select-tiny", "select-fps", "select-cost"]
)
def test_picks_are_those_of_one_process(serial, ranks, name):
    assert_same_picks(ranks.columns(name), serial.columns(name))


def test_result_directories_are_those_of_one_process(serial, ranks):
    found, wanted = (read_table(str(r.folder / "selected/selection.tsv")) for r in (ranks, serial))
    assert_same_picks(found, wanted)
    reports = [json.loads((r.folder / "selected/report.json").read_text()) for r in (ranks, serial)]
    for key in ("request", "pool", "stopped"):
        assert reports[0][key] == reports[1][key]
    folders = (sorted(os.listdir(runs.folder / "selected")) for runs in (ranks, serial))
    assert len({tuple(names) for names in folders}) == 1


def test_audits_are_those_of_one_process(serial, ranks):
    found, wanted = (runs.columns("select-audit") for runs in (ranks, serial))
    assert found["strategy"] == wanted["strategy"]
    numbers = (np.array(table["objective"], dtype=float) for table in (found, wanted))
    np.testing.assert_allclose(*numbers, rtol=1e-9)


def assert_same_picks(found, wanted):
    assert list(found) == list(wanted)
    assert len(wanted["index"]) > 1
    for column in wanted:
        if column in NUMBERS:
            numbers = (np.array(table[column], dtype=float) for table in (found, wanted))
            np.testing.assert_allclose(*numbers, rtol=1e-9, atol=1e-9)
        elif column != "helped_share":
            assert list(found[column]) == list(wanted[column]), column


# What goes wrong.


several = pytest.mark.parametrize("ranks", SIZES[1:], indirect=True)


@several
@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("absent", 1, "file cannot be read"),
        ("usage", 2, "No such option"),
        ("exists", 1, "output exists already"),
        ("alone", 1, "prcli info runs as one process"),
        ("shard", 1, "a shard is the share of one process"),
        ("on-the-way", 1, "features are not computed on the way by several ranks"),
        ("stdin", 1, "standard input does not reach several ranks"),
        ("one-rank", 1, "something is broken"),
        ("compute-fault", 1, "something is broken"),
        ("bug", 1, "ZeroDivisionError: a bug"),
        ("late-bug", 1, "ZeroDivisionError: a bug"),
        ("disk", 1, "No space left on device"),
        ("signal", 75, "stopped by SIGTERM after 3 of 5 picks"),
        ("interrupt", 130, "prcli: interrupted"),
    ],
)
def test_what_ends_one_rank_ends_all_with_one_message(ranks, name, code, message):
    assert ranks.codes(name) == [str(code)] * ranks.size
    error = ranks.error(name)
    assert error.count(message) == 1, error
    assert error.count("prcli: error:") == (code in (1, 75) and "bug" not in name)
    assert error.count("Traceback") == ("bug" in name)
    assert message in ranks.text(name, "err")
    assert ranks.text(name, "out") == ""


@several
def test_what_fails_leaves_nothing(ranks):
    left = {name for name in os.listdir(ranks.folder) if name.startswith(("x", "."))}
    # What rank 0 has computed is kept, as it is by one process.
    assert left <= {"x.h5.checkpoint"}
    assert not (ranks.folder / "stopped.checkpoint").exists()


@several
def test_a_stopped_selection_goes_on(serial, ranks):
    assert ranks.codes("resumed") == ["0"] * ranks.size
    assert "3 picks were made by an earlier run" in ranks.text("resumed", "err")
    frames = (ranks.folder / "stopped" / "selected.xyz").read_bytes()
    assert frames == (serial.folder / "selected" / "selected.xyz").read_bytes()


@several
def test_a_rank_that_has_failed_can_work_again(serial, ranks):
    assert ranks.text("after", "out") == serial.text("score", "out")


# What a launcher sees.

#: prcli, whose picks take their time, and of which one rank dies or sleeps where that is asked for.
SLOW = """
import os, signal, sys, time
import prcli.numerics.pickers as pickers
import prcli.parallel.mpi as mpi
from prcli.cli.main import main

rank = os.environ.get("PMI_RANK", os.environ.get("OMPI_COMM_WORLD_RANK"))
propose, calls = pickers.GreedyPicker.propose, 0
mpi.GRACE_SECONDS = 0.5

def slow(self):
    global calls
    calls += 1
    if calls == 3 and rank == "1":
        if os.environ["FATE"] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if os.environ["FATE"] == "left behind":
            raise ZeroDivisionError("a bug")
    if calls == 3 and rank == "0" and os.environ["FATE"] == "left behind":
        time.sleep(3600)
    if calls == 3 and os.environ["FATE"] == "told":
        os.write(2, b"third pick\\n")
        time.sleep(1)
    return propose(self)

pickers.GreedyPicker.propose = slow
main()
"""


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    fill(tmp_path / "work", 1)
    (tmp_path / "work" / "slow.py").write_text(SLOW)
    return tmp_path / "work"


@pytest.mark.parametrize(
    ("fate", "message"), [("killed", ""), ("left behind", "ZeroDivisionError: a bug")]
)
def test_nobody_waits_for_a_rank_that_is_gone_or_lost(workplace, fate, message):
    command = ["slow.py", "select", *SETS, "-n", "5", "-o", "out"]
    done = launch(3, *command, cwd=workplace, env=environment(FATE=fate))
    assert done.returncode != 0
    assert done.stderr.count("a bug") == bool(message) * 2
    assert message in done.stderr
    assert not (workplace / "out").exists()


def test_a_signal_to_the_launcher_stops_all_ranks(workplace):
    command = [sys.executable, "slow.py", "select", *SETS, "-n", "5", "-o", "out"]
    process = subprocess.Popen(
        [str(MPIEXEC), "-n", "3", *command],
        cwd=workplace,
        env=environment(FATE="told"),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    told = b""
    while told.count(b"third pick") < 3:
        told += os.read(process.stderr.fileno(), 4096)
    process.send_signal(signal.SIGUSR1)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert err.count(b"stopped by SIGUSR1") == 1
    assert read_checkpoint(str(workplace / "out.checkpoint")).n_steps >= 2
    assert not (workplace / "out").exists()
