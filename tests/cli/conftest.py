from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
from builders import write_store
from plain_signals import heed_signals

from prcli.cli.main import main

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit code, and what went to stdout and to stderr."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def table(self) -> list[list[str]]:
        """Fields of the tab-separated lines of stdout."""
        return [line.split("\t") for line in self.text.splitlines()]

    def column(self, name: str) -> list[str]:
        position = self.table[0].index(name)
        return [row[position] for row in self.table[1:]]


@pytest.fixture
def prcli(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> Callable[..., Outcome]:
    """Run the command line in this process, errors and exit codes included."""

    def run(*arguments: object, stdin: bytes = b"") -> Outcome:
        capsysbinary.readouterr()
        monkeypatch.setattr(sys, "argv", ["prcli", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(stdin)))
        numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT)
        handlers = {number: signal.getsignal(number) for number in numbers}
        heed_signals()
        try:
            with pytest.raises(SystemExit) as leaving:
                main()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        out, err = capsysbinary.readouterr()
        return Outcome(int(leaving.value.code or 0), out, err.decode())

    return run


@pytest.fixture
def fails(prcli: Callable[..., Outcome]) -> Callable[..., str]:
    """Run a command that must be refused, and give its message."""

    def run(*arguments: object, code: int = 1, stdin: bytes = b"") -> str:
        outcome = prcli(*arguments, stdin=stdin)
        assert outcome.code == code, outcome
        assert outcome.out == b""
        assert "Traceback" not in outcome.err
        return outcome.err

    return run


@pytest.fixture
def run_prcli() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run the command line in a process of its own."""

    def run(
        *arguments: object, stdin: bytes | None = None, **options: object
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            [sys.executable, "-m", "prcli", *map(str, arguments)],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=120,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            **options,
        )

    return run


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, made the current one, with a training set, targets and a pool."""
    monkeypatch.chdir(tmp_path)
    for name, n_structures, seed in (("train", 10, 1), ("target", 4, 2), ("pool", 12, 3)):
        write_store(
            Path(f"{name}.h5"),
            n_structures,
            seed=seed,
            xyz=Path(f"{name}.xyz"),
        )
    return tmp_path
