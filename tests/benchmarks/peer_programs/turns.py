"""How a peer takes turns: a round for each line that it reads, a line of JSON for each round.

Run by the interpreter of the peers' environment, in which nothing of this project is installed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np


def serve(package: str, tasks: dict[str, Callable[..., list[float]]]) -> None:
    """Answer until input ends.

    The arguments of the program are the task, a folder with the features as ``NAME.npy``, and
    the number of picks. What a round returns are picks, or other numbers to compare.
    """
    task, folder, n_picks = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    # What a package prints goes elsewhere: only answers belong on this stream.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    features = {path.stem: np.load(path) for path in folder.glob("*.npy")}
    for _ in sys.stdin:
        start = time.perf_counter()
        result = tasks[task](features, n_picks)
        seconds = time.perf_counter() - start
        found = [float(x) for x in result]
        answers.write(
            json.dumps({"seconds": seconds, "result": found, "version": version(package)}) + "\n"
        )
        answers.flush()


def threads() -> int:
    """Threads that a peer is granted."""
    return int(os.environ["OMP_NUM_THREADS"])
