"""The terminal to which processes above this one pass on what it writes to stderr."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_STDERR = 2

#: Processes between a rank and the terminal: a launcher, its helper, a shell or two.
_MOST_STEPS = 12


def relayed_terminal(pid: int | None = None) -> str | None:
    """Find the terminal that a launcher relays the stderr of a process to.

    Launchers of parallel runs read what ranks write from pipes, and write it to a stderr of
    their own, which may well be a terminal. A pipe that no process above reads leads elsewhere.

    Parameters
    ----------
    pid : int, optional
        The process; this one by default.

    Returns
    -------
    device : str or None
        Path of the terminal; None where there is none, or where the system does not tell, as
        other systems than Linux.
    """
    process = Path("/proc", "self" if pid is None else str(pid))
    try:
        for step in range(_MOST_STEPS):
            own = os.readlink(process / "fd" / str(_STDERR))
            if step and _is_terminal(own):
                return own
            process = _parent(process)
            if not own.startswith(("pipe:", "socket:")) or own not in _open_files(process):
                return None
    except (OSError, ValueError, IndexError):
        # A process has ended, belongs to somebody else, or there is no such folder.
        return None
    return None


def terminal_width(device: str) -> int | None:
    """Give the columns of a terminal; None if they are not known.

    Parameters
    ----------
    device : str
        Path of the terminal.
    """
    try:
        descriptor = os.open(device, os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return None
    try:
        return os.get_terminal_size(descriptor).columns or None
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _parent(process: Path) -> Path:
    """Folder of the process that has started another one."""
    # The name of a program, in brackets, may hold anything.
    after_name = (process / "stat").read_text().rpartition(")")[2].split()
    return Path("/proc", str(int(after_name[1])))


def _open_files(process: Path) -> set[str]:
    """Name what a process has open."""
    names = set()
    for link in (process / "fd").iterdir():
        try:
            names.add(os.readlink(link))
        except OSError:
            continue
    return names


def _is_terminal(path: str) -> bool:
    """Say whether a path is that of a terminal, without waiting for one that is not."""
    if not os.path.exists(path) or not stat.S_ISCHR(os.stat(path).st_mode):
        return False
    descriptor = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        return os.isatty(descriptor)
    finally:
        os.close(descriptor)
