"""Work on the parts of a large array, spread over threads.

Each thread works on one part at a time, with linear algebra held to that thread: in many
products of small matrices there is nothing for a second thread to do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from prcli.numerics.blas_threads import granted_threads, one_blas_thread

Part = TypeVar("Part")


def for_each(
    function: Callable[[Part], None], parts: Sequence[Part], n_threads: int | None = None
) -> None:
    """Call a function for every part.

    Parameters
    ----------
    function : callable
        Calls must not depend on each other.
    parts : sequence
        Chosen without regard to the number of threads, so that results do not depend on it.
    n_threads : int, optional
        By default as many as linear algebra may use.
    """
    n_threads = granted_threads() if n_threads is None else n_threads
    with one_blas_thread():
        if min(n_threads, len(parts)) <= 1:
            for part in parts:
                function(part)
            return
        with ThreadPoolExecutor(n_threads) as threads:
            for _ in threads.map(function, parts):
                pass
