"""Results of all ranks brought to rank 0, piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from prcli.records import Communicator

Piece = TypeVar("Piece")


def pieces_of_all(communicator: Communicator, own: Iterable[Piece]) -> Iterator[Piece]:
    """Give rank 0 the pieces of all ranks, as they come; the others get none.

    A rank makes its next piece while the one before is on its way, and then waits for rank 0 to
    take that: however many pieces there are, only a few are held at a time. Those of one rank
    come in their order, those of several ranks in any.

    Parameters
    ----------
    communicator : Communicator
        All ranks have to call this.
    own : iterable
        Pieces of this rank, made one by one; none of them None.
    """
    if communicator.rank:
        for piece in own:
            communicator.send(piece, 0)
        communicator.send(None, 0)
        return
    n_at_work = communicator.size - 1
    for piece in own:
        yield piece
        while n_at_work and communicator.has_message():
            received = communicator.receive()
            if received is None:
                n_at_work -= 1
            else:
                yield received
    while n_at_work:
        received = communicator.receive()
        if received is None:
            n_at_work -= 1
        else:
            yield received
