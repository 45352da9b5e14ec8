"""Timing one thing against another in the same run, and telling how quiet the machine was."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

#: Rounds of which the median counts.
N_ROUNDS = 5

#: Seconds to wait, at most, for other processes to leave the processors before each round.
PATIENCE = 20.0


def last_level_cache() -> int:
    """Bytes of the largest cache of the first processor."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    sizes = [
        int(text[:-1]) * units[text[-1]]
        for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
        if (text := path.read_text().strip())
    ]
    return max(sizes, default=32 << 20)


@dataclass(frozen=True)
class Timing:
    """Seconds of several things, measured in turns.

    Attributes
    ----------
    medians : list of float
        One for each thing.
    spread : float
        Largest ratio of slowest to fastest round of any of them.
    disturbance : float
        Share of all processor time that went to other processes.
    rounds : ndarray of shape (rounds, things)
        Every single measurement.
    """

    medians: list[float]
    spread: float
    disturbance: float
    rounds: np.ndarray

    def __str__(self) -> str:
        return f"spread {self.spread:.2f}, other processes {self.disturbance:.0%}"


def timed(function: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of one call, by a clock."""
    start = clock()
    function()
    return clock() - start


def in_turns(
    functions: Sequence[Callable[[], float]],
    n_rounds: int = N_ROUNDS,
    patience: float = PATIENCE,
) -> Timing:
    """Call functions that return seconds, in turns, and take the median of each."""
    seconds = np.empty((n_rounds, len(functions)))
    total = others = 0.0
    for i in range(n_rounds):
        settle(patience)
        wall, busy, own = time.perf_counter(), _busy_seconds(), time.process_time()
        seconds[i] = [function() for function in functions]
        total += (time.perf_counter() - wall) * (os.cpu_count() or 1)
        others += max(0.0, _busy_seconds() - busy - (time.process_time() - own))
    return Timing(
        [float(s) for s in np.median(seconds, axis=0)],
        float((seconds.max(axis=0) / seconds.min(axis=0)).max()),
        others / total,
        seconds,
    )


def settle(patience: float = PATIENCE) -> None:
    """Wait, with patience but not forever, until other processes are idle."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        before = _busy_seconds()
        time.sleep(0.2)
        if _busy_seconds() - before < 0.02 * (os.cpu_count() or 1):
            return


def _busy_seconds() -> float:
    """Processor time that all processes have used since the machine started."""
    fields = [int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


class Disturbance:
    """Share of all processor time that went to others than this process and its children."""

    def __init__(self) -> None:
        self._start = time.perf_counter(), _busy_seconds(), _own_seconds()

    def share(self) -> float:
        """Share since this was made; children count once they have ended."""
        wall, busy, own = self._start
        total = (time.perf_counter() - wall) * (os.cpu_count() or 1)
        return max(0.0, _busy_seconds() - busy - (_own_seconds() - own)) / total


def _own_seconds() -> float:
    return sum(os.times()[:4])


class Bandwidth:
    """Reading, and reading and writing, an array of at least four times the largest cache.

    Parameters
    ----------
    n_values : int, optional
        Length of another array of float64.
    """

    def __init__(self, n_values: int | None = None) -> None:
        from numba import njit, prange

        @njit(parallel=True, fastmath=True)
        def read(values):  # type: ignore[no-untyped-def]
            total = 0.0
            for i in prange(values.size):
                total += values[i]
            return total

        @njit(parallel=True, fastmath=True)
        def scale(values, factor):  # type: ignore[no-untyped-def]
            for i in prange(values.size):
                values[i] = values[i] * factor

        self._values = np.ones(n_values or max(1 << 25, last_level_cache() // 2))
        self._read, self._scale = read, scale
        self.read()
        self.read_and_write()

    def read(self) -> float:
        """Seconds to read a byte."""
        return timed(lambda: self._read(self._values)) / self._values.nbytes

    def read_and_write(self) -> float:
        """Seconds to read a byte and write it back."""
        return timed(lambda: self._scale(self._values, 1.0)) / self._values.nbytes


class AnonymousMemory:
    """The most anonymous memory this process held within a ``with`` block, in bytes."""

    def __enter__(self) -> AnonymousMemory:
        self.before = self.peak = _anonymous_bytes()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.01):
            self.peak = max(self.peak, _anonymous_bytes())


def _anonymous_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("this system does not tell RssAnon")
