"""Which terminal a launcher relays stderr to."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from prcli.parallel.relayed import relayed_terminal, terminal_width

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="the system does not tell what others have open"
)

ROOT = Path(__file__).resolve().parents[2]

#: Says on stdout what it has found.
RANK = "from prcli.parallel.relayed import relayed_terminal; print(relayed_terminal())"

#: Reads what a command writes to stderr from a pipe, as launchers do, and passes it on.
LAUNCHER = """
import subprocess, sys
rank = subprocess.Popen(sys.argv[1:], stderr=subprocess.PIPE)
sys.stderr.buffer.write(rank.stderr.read())
sys.exit(rank.wait())
"""


@pytest.fixture
def terminal():
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (30, 123))
    yield follower
    os.close(leader)
    os.close(follower)


def found(stderr, *command):
    """What a rank says that is started by a launcher with this stderr."""
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHER, *command],
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=60,
        text=True,
    )
    return done.stdout.strip()


RANK_COMMAND = (sys.executable, "-c", RANK)


def test_terminal_of_the_launcher_is_found(terminal):
    assert found(terminal, *RANK_COMMAND) == os.ttyname(terminal)
    assert terminal_width(os.ttyname(terminal)) == 123


def test_launchers_may_start_others(terminal):
    assert found(terminal, sys.executable, "-c", LAUNCHER, *RANK_COMMAND) == os.ttyname(terminal)


def test_log_of_the_launcher_is_no_terminal(tmp_path):
    with open(tmp_path / "log", "wb") as log:
        assert found(log, *RANK_COMMAND) == "None"


def test_what_goes_elsewhere_is_not_relayed(terminal, tmp_path):
    rank = " ".join(f"'{word}'" for word in RANK_COMMAND)
    for ending in (f"2> {tmp_path}/own", "2> >(cat > /dev/null)"):
        assert found(terminal, "bash", "-c", f"{rank} {ending}") == "None", ending


def test_own_terminal_is_none_of_a_launcher(terminal):
    done = subprocess.run(
        [sys.executable, "-c", RANK],
        stdout=subprocess.PIPE,
        stderr=terminal,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == b"None"


def test_what_cannot_be_known_is_none():
    assert relayed_terminal(2**22 + 1) is None
    assert terminal_width("/dev/null") is None
    assert terminal_width("/nowhere") is None
