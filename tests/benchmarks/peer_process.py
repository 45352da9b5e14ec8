"""Another program in an environment of its own, which takes turns with prcli."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

PROGRAMS = Path(__file__).parent / "peer_programs"

#: Variables by which numerical libraries learn how many threads they may use.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class PeerError(Exception):
    """A peer that could not be installed or did not answer; says why in a line."""


def install(program: str, folder: Path) -> Path:
    """Make an environment for a program, unless it is there.

    Parameters
    ----------
    program : str
        Name of a file of `peer_programs`; its requirements are beside it.
    folder : Path
        Where environments are kept.

    Returns
    -------
    python : Path
        The interpreter of the environment.

    Raises
    ------
    PeerError
        If a requirement cannot be installed.
    """
    requirements = PROGRAMS / f"{program}.txt"
    place = folder / program
    python = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    installed = place / "installed.txt"
    if installed.exists() and installed.read_text() == requirements.read_text():
        return python
    venv.create(place, clear=True)
    # An index that cannot be reached would be tried again for each dependency.
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "-qq"]
    command += ["--retries", "0", "-r", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerError(f"not installed: {_last_line(done.stderr)}")
    installed.write_text(requirements.read_text())
    return python


@dataclass(frozen=True)
class Round:
    """What a peer answered: the seconds it took, its numbers, and its version."""

    seconds: float
    result: list[float]
    version: str


class PeerProcess:
    """A peer's program, started once, so that neither imports nor compilers are timed.

    Parameters
    ----------
    python : Path
    program, task : str
    features : Path
        Folder of npy files.
    n_picks, n_threads : int
    """

    def __init__(
        self, python: Path, program: str, task: str, features: Path, n_picks: int, n_threads: int
    ) -> None:
        self._errors = (features / f"{program}.log").open("w+")
        self._process = subprocess.Popen(
            [python, PROGRAMS / f"{program}.py", task, features, str(n_picks)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **dict.fromkeys(_THREADS, str(n_threads))},
        )

    def __enter__(self) -> PeerProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdout, self._errors):
            stream.close()
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass

    def round(self) -> Round:
        """Let it work once.

        Raises
        ------
        PeerError
            If it has failed.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self._process.wait()
            self._errors.seek(0)
            raise PeerError(f"failed: {_last_line(self._errors.read())}")
        return Round(**json.loads(answer))


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no message"
