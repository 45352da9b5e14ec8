"""Ranks that are threads of one process: the twin of MPI that tests of numbers run on."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

Result = TypeVar("Result")

#: Seconds after which a rank that waits has been forgotten by the others.
PATIENCE = 60.0


class ThreadCommunicator:
    """One of some threads; values are copied, as between processes."""

    def __init__(self, rank: int, size: int, shared: _Shared) -> None:
        self.rank = rank
        self.size = size
        self._shared = shared

    def gather_all(self, value: Any) -> list[Any]:
        shared = self._shared
        shared.values[self.rank] = pickle.dumps(value)
        shared.barrier.wait(PATIENCE)
        everyones = [pickle.loads(each) for each in shared.values]
        shared.barrier.wait(PATIENCE)
        return everyones

    def broadcast(self, value: Any) -> Any:
        return self.gather_all(value if self.rank == 0 else None)[0]

    def send(self, value: object, to: int) -> None:
        self._shared.letters[to].put((self.rank, pickle.dumps(value)))

    def receive(self, source: int | None = None) -> Any:
        kept = []
        try:
            while True:
                sender, content = self._shared.letters[self.rank].get(timeout=PATIENCE)
                if source in (None, sender):
                    return pickle.loads(content)
                kept.append((sender, content))
        except Empty:
            raise TimeoutError(f"nothing came from rank {source}") from None
        finally:
            for letter in kept:
                self._shared.letters[self.rank].put(letter)

    def has_message(self) -> bool:
        return not self._shared.letters[self.rank].empty()

    def check(self) -> None:
        if self._shared.barrier.broken:
            raise threading.BrokenBarrierError


class _Shared:
    def __init__(self, size: int) -> None:
        self.values = [b""] * size
        self.barrier = threading.Barrier(size)
        self.letters: list[SimpleQueue[tuple[int, bytes]]] = [SimpleQueue() for _ in range(size)]


def run_ranks(size: int, work: Callable[[ThreadCommunicator], Result]) -> list[Result]:
    """Let some ranks do the same, and give what each returns."""
    shared = _Shared(size)

    def one(rank: int) -> Result:
        try:
            return work(ThreadCommunicator(rank, size, shared))
        except BaseException:
            shared.barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        futures = [pool.submit(one, rank) for rank in range(size)]
    errors = [error for future in futures if (error := future.exception()) is not None]
    # The first cause, and not that others have waited in vain.
    errors.sort(key=lambda error: isinstance(error, threading.BrokenBarrierError))
    if errors:
        raise errors[0]
    return [future.result() for future in futures]
