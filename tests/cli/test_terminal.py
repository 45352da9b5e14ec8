"""On a real terminal: bars and messages on stderr, data where stdout goes, and nowhere else."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
import termios
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import prcli
from prcli.errors import OutputError, RequestError


def on_terminal(arguments, stdout=None, *, command=(), columns=80, **variables):
    """Run prcli with stderr, and stdout if None, on a terminal; give exit code and what it saw."""
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (40, columns))
    unset = ("NO_COLOR", "COLUMNS", "FORCE_COLOR")
    environment = {name: text for name, text in os.environ.items() if name not in unset}
    environment |= {"PYTHONPATH": str(Path(prcli.__file__).parents[1]), "TERM": "xterm"}
    process = subprocess.Popen(
        [*command, sys.executable, "-m", "prcli", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=follower if stdout is None else stdout,
        stderr=follower,
        env=environment | variables,
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            piece = os.read(leader, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(leader)
    return process.wait(timeout=60), shown.decode(errors="replace")


@pytest.fixture
def stores(tmp_path):
    rng = np.random.default_rng(0)
    for name, n in (("train", 30), ("target", 4), ("pool", 50)):
        with prcli.StoreWriter(
            tmp_path / f"{name}.h5",
            n_atoms=np.ones(n, dtype=int),
            n_features=5,
            dtype="float64",
            convention="mean",
        ) as store:
            store.write_structures(0, rng.normal(size=(n, 5)))
    return tmp_path


#: What a terminal obeys rather than shows; the last letter says what it asks for.
ORDER = re.compile(r"\x1b\[[0-9;?]*([A-Za-z])")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7])(?:;\d+)*m")


def lines_of(shown):
    """Lines on a terminal, without what it obeys; a bar that is drawn anew is one more line."""
    return re.sub(r"[\r\n]+", "\n", ORDER.sub("", shown)).splitlines()


def select_from(stores, *more):
    sets = [f"--{name}={stores / name}.h5" for name in ("train", "target", "pool")]
    return ["select", *sets, *more]


@pytest.fixture
def hessian(stores):
    record = prcli.hessian(stores / "train.h5")
    prcli.write_hessian(stores / "h.hessian", record)
    return str(stores / "h.hessian")


def test_bars_tell_how_far_how_fast_and_how_long(stores):
    code, shown = on_terminal(select_from(stores, "-n", "30"), columns=120)
    assert code == 0, shown
    lines = lines_of(shown)
    (rows,) = {line.split("/")[1].split()[0] for line in lines if line.startswith("training rows")}
    assert rows == "30"
    assert any(re.search(r"pool, structures read +━+ +50/50", line) for line in lines)
    last = [line for line in lines if line.startswith("picks ")][-1]
    assert re.fullmatch(r"picks +━+ 30/30 +([\d.]+[kM]?/s)? +\d:\d\d:\d\d taken *", last), last


def screen_of(shown):
    """Lines that stay on a terminal which can go up, and erase lines."""
    lines, row = [""], 0
    for piece in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[^\x1b]", shown):
        if piece == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif piece == "\x1b[2K":
            lines[row] = ""
        elif piece == "\x1b[1A":
            row -= 1
        elif not piece.startswith("\x1b") and piece != "\r":
            lines[row] += piece
    return [line.rstrip() for line in lines if line.strip()]


def test_nothing_is_left_of_bars_above_the_table(stores):
    code, shown = on_terminal(select_from(stores, "-n", "3"), columns=200)
    assert code == 0, shown
    assert "━" in shown
    lines = screen_of(shown)
    assert "━" not in "".join(lines)
    table = next(i for i, line in enumerate(lines) if line.split()[:2] == ["rank", "index"])
    assert [line.split()[0] for line in lines[table + 1 : table + 4]] == ["1", "2", "3"]
    assert re.match(r"prcli: 3 of 50 candidates; mean-pr .* \d+\.\d s$", lines[table + 4])
    assert len(lines) == table + 5


def test_quiet_commands_draw_nothing(stores, tmp_path):
    with open(tmp_path / "table.tsv", "wb") as file:
        code, shown = on_terminal(select_from(stores, "-n", "3", "-q"), file)
    assert (code, shown) == (0, "")


def test_colours_are_left_out_where_they_are_not_wanted(hessian, stores):
    arguments = ["score", hessian, str(stores / "pool.h5"), "--top", "3"]
    coloured = on_terminal(arguments)[1]
    plain = on_terminal(arguments, NO_COLOR="1")[1]
    assert COLOUR.search(coloured)
    assert not COLOUR.search(plain)
    assert lines_of(plain)[-1].startswith("prcli: 50 structures scored, 3 in the table; PR ")


def test_terminals_that_obey_nothing_get_text(hessian, stores):
    arguments = ["score", hessian, str(stores / "pool.h5"), "--top", "3"]
    code, shown = on_terminal(arguments, TERM="dumb")
    assert code == 0
    assert "\x1b" not in shown


def test_nothing_but_text_without_a_terminal(hessian, stores, run_prcli):
    done = run_prcli("score", hessian, stores / "pool.h5", "--top", "3")
    assert done.returncode == 0
    assert b"\x1b" not in done.stdout + done.stderr
    assert b"\r" not in done.stdout + done.stderr
    assert b"50 structures scored" in done.stderr


MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@pytest.mark.skipif(
    find_spec("mpi4py") is None or MPIEXEC is None, reason="no mpiexec, or no mpi4py"
)
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system tells of no files")
def test_first_of_several_ranks_draws(stores):
    arguments = ["hessian", str(stores / "train.h5"), "-o", str(stores / "x.hessian")]
    launcher = [MPIEXEC, "-n", "2"]
    code, shown = on_terminal(arguments, command=launcher, columns=100)
    assert code == 0, shown
    ends = [line for line in lines_of(shown) if "15/15" in line]
    assert ends, shown
    # The other rank has as many rows, and had drawn as many bars below them.
    assert "━" in ends[-1]
    assert sum("prcli: " in line for line in lines_of(shown)) == 1
    with open(stores / "log", "wb") as file:
        quiet = [*arguments, "--overwrite"]
        done = subprocess.run(
            [*launcher, sys.executable, "-m", "prcli", *quiet], stderr=file, timeout=60, check=False
        )
    assert done.returncode == 0
    assert b"\x1b" not in (stores / "log").read_bytes()


def test_redirected_table_is_whole_and_the_terminal_sees_messages(stores, tmp_path):
    with open(tmp_path / "table.tsv", "wb") as file:
        code, shown = on_terminal(select_from(stores, "-n", "3"), file)
    assert code == 0, shown
    assert len((tmp_path / "table.tsv").read_text().splitlines()) == 4
    assert "rank\tindex" not in shown
    assert "training set: 30 structures" in shown


def test_inputs_inside_the_result_directory_are_kept(stores, tmp_path):
    (stores / "out").mkdir()
    (stores / "pool.h5").rename(stores / "out" / "pool.h5")
    with pytest.raises(OutputError, match=r"not a result of prcli|holds one of the inputs"):
        prcli.select(
            stores / "out" / "pool.h5",
            2,
            train=stores / "train.h5",
            target=stores / "target.h5",
            output=str(stores / "out"),
            overwrite=True,
        )
    assert (stores / "out" / "pool.h5").exists()


@pytest.mark.parametrize("word", [{"energy": "per_atom"}, {"intercept": "x"}])
def test_unknown_words_are_refused(word):
    with pytest.raises(RequestError, match="is not known"):
        prcli.hessian(np.eye(3), **word)


def test_baseline_without_targets_serves_every_objective(stores):
    for objective in ("mean-pr", "min-pr", "mean-log-pr", "mean-variance"):
        selection = prcli.select(
            stores / "pool.h5", 3, train=stores / "train.h5", strategy="random", objective=objective
        )
        assert np.isnan([pick.gain for pick in selection.picks]).all()


def test_many_equal_candidates_are_tied_and_the_first_wins():
    rng = np.random.default_rng(1)
    row = rng.normal(size=4)
    selection = prcli.select(
        np.tile(row, (5000, 1)), 3, train=rng.normal(size=(6, 4)), target=row[np.newaxis]
    )
    assert selection.indices.tolist() == [0, 1, 2]
    assert [pick.margin for pick in selection.picks] == [0.0, 0.0, 0.0]
