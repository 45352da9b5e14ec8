"""Commands one after another in one program of several ranks: starting ranks takes a while.

    mpiexec -n 3 python mpi_commands.py FOLDER

FOLDER holds commands.json, a list of [name, arguments, fault]; a fault is null, or says which rank
breaks where and how. What each rank writes goes to NAME.RANK.out and NAME.RANK.err, and its exit
code to NAME.RANK.code.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from prcli.cli.main import main
from prcli.errors import FeatureError

RANK = int(os.environ.get("PMI_RANK", os.environ.get("OMPI_COMM_WORLD_RANK", "0")))


def breaking(error: str) -> Callable[..., Any]:
    """Give a function that does what a fault says."""

    def fail(*arguments: Any, **options: Any) -> None:
        if error == "prcli":
            raise FeatureError("something is broken", where=f"rank {RANK}", remedy="mend it")
        if error == "bug":
            raise ZeroDivisionError("a bug")
        if error == "disk":
            raise OSError(28, "No space left on device", "somewhere")
        os.kill(os.getpid(), signal.Signals[error])

    return fail


@contextmanager
def fault(wanted: dict[str, Any] | None):
    """Replace a function, or let it be preceded by a signal, on one rank."""
    if wanted is None or RANK != wanted["rank"]:
        yield
        return
    owner = import_module(wanted["module"])
    *path, name = wanted["name"].split(".")
    for each in path:
        owner = getattr(owner, each)
    before, broken, calls = getattr(owner, name), breaking(wanted["error"]), 0

    def replacement(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == wanted.get("call", 1):
            broken()
        return before(*arguments, **options)

    setattr(owner, name, replacement)
    try:
        yield
    finally:
        setattr(owner, name, before)


def run(name: str, arguments: list[str], wanted: dict[str, Any] | None) -> None:
    before = sys.stdout, sys.stderr
    handlers = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    sys.argv = ["prcli", *arguments]
    code: object = "none"
    with open(f"{name}.{RANK}.out", "w") as out, open(f"{name}.{RANK}.err", "w") as err:
        sys.stdout, sys.stderr = out, err
        try:
            with fault(wanted):
                main()
        except SystemExit as leaving:
            code = leaving.code
        finally:
            sys.stdout, sys.stderr = before
            for number, handler in handlers.items():
                signal.signal(number, handler)
    Path(f"{name}.{RANK}.code").write_text(str(code))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(sys.argv[1])
    sys.path.insert(0, os.getcwd())
    for command in json.loads(Path("commands.json").read_text()):
        run(*command)
