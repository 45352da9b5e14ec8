"""How many threads a run uses, and holding the libraries to it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from prcli.errors import RequestError

_VARIABLES = ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK")


#: Where OpenBLAS reads how long its threads wait for more work, and what is set: 2²⁰ clock cycles,
#: a third of a millisecond. By default they keep their processors busy for some 50 ms.
_WAIT, _CYCLES = "OPENBLAS_THREAD_TIMEOUT", "20"


def let_idle_threads_sleep() -> None:
    """Let threads of linear algebra leave their processors to others when they have nothing to do.

    Compiled loops have threads of their own: where both take turns, and one kind keeps on waiting,
    loops of microseconds take milliseconds. What the environment says already stays. It must be
    called before numpy is loaded.
    """
    os.environ.setdefault(_WAIT, _CYCLES)


def default_threads(n_processors: int | None = None) -> int:
    """Threads that the environment grants.

    ``OMP_NUM_THREADS`` if it is set, else ``SLURM_CPUS_PER_TASK``, else the number of
    processors that this process may use.

    Parameters
    ----------
    n_processors : int, optional
        Processors of this process, where it shares them with other ranks.
    """
    for name in _VARIABLES:
        # OpenMP allows a list, one entry per level of nesting.
        text = os.environ.get(name, "").split(",")[0].strip()
        if text.isdigit() and int(text) > 0:
            return int(text)
    if n_processors is not None:
        return n_processors
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def limit_threads(n_threads: int | None = None, n_processors: int | None = None) -> Iterator[int]:
    """Hold linear algebra and compiled loops to a number of threads.

    Parameters
    ----------
    n_threads : int, optional
        By default what the environment grants.
    n_processors : int, optional
        See `default_threads`.

    Yields
    ------
    n_threads : int

    Raises
    ------
    RequestError
        If the number is not positive.
    """
    n_threads = default_threads(n_processors) if n_threads is None else n_threads
    if n_threads < 1:
        raise RequestError(
            "the number of threads must be at least 1", where="--threads", got=str(n_threads)
        )
    if "numba" not in sys.modules:
        # Read once, when the compiler is first imported.
        os.environ["NUMBA_NUM_THREADS"] = str(n_threads)
    if "featomic" not in sys.modules:
        # Likewise, by the library that featomic's loops run on.
        os.environ["RAYON_NUM_THREADS"] = str(n_threads)
    # Importing numpy first, so that its libraries are there to be limited.
    import numpy  # noqa: F401
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=n_threads), _limit_compiled_loops(n_threads):
        yield n_threads


@contextmanager
def _limit_compiled_loops(n_threads: int) -> Iterator[None]:
    """Hold the compiler's loops to a number of threads, where it has been imported already."""
    numba = sys.modules.get("numba")
    if numba is None:
        yield
        return
    before = numba.get_num_threads()
    numba.set_num_threads(min(n_threads, numba.config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        numba.set_num_threads(before)
