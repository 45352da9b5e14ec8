"""How many threads linear algebra uses where the work is small.

The threads of a BLAS library keep spinning for tens of milliseconds after a call. Where
compiled loops and many small calls take turns, as in a greedy selection, they hold the
processors that the loops need, and every small call waits for all of them to be scheduled.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache

import numpy  # noqa: F401  (its library has to be there to be limited)
import scipy.linalg  # noqa: F401
from threadpoolctl import ThreadpoolController

#: Rows for which one thread of linear algebra is as fast as many.
FEW_ROWS = 16


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def granted_threads() -> int:
    """Threads that linear algebra may use at present."""
    return max((library.num_threads for library in _controller().lib_controllers), default=1)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep small linear algebra on the thread that calls it."""
    # What `ThreadpoolController.limit` does, in a tenth of its time: this is entered at every pick.
    libraries = _controller().lib_controllers
    before = [library.num_threads for library in libraries]
    try:
        for library in libraries:
            library.set_num_threads(1)
        yield
    finally:
        for library, n_threads in zip(libraries, before, strict=True):
            library.set_num_threads(n_threads)


def blas_threads_for(n_rows: int) -> AbstractContextManager[None]:
    """Keep products of few rows on the thread that calls them; leave those of many alone."""
    return one_blas_thread() if n_rows <= FEW_ROWS else nullcontext()
