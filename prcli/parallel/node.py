"""What the ranks of one machine share: its processors and its memory."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from prcli.records import Communicator


@dataclass(frozen=True)
class NodeShare:
    """The share of a machine that one rank may use.

    Attributes
    ----------
    n_ranks : int
        Ranks on the machine.
    n_processors : int
        At least one.
    """

    n_ranks: int
    n_processors: int


def node_share(communicator: Communicator) -> NodeShare:
    """Find the share of this rank; all ranks ask at the same time."""
    mine = (socket.gethostname(), _processors())
    neighbours = [
        processors for host, processors in communicator.gather_all(mine) if host == mine[0]
    ]
    return NodeShare(len(neighbours), divided(mine[1], neighbours))


def divided(mine: Sequence[int], neighbours: Sequence[Sequence[int]]) -> int:
    """Count processors, each divided by the ranks that may use it.

    Launchers may bind ranks to processors of their own, or let all run everywhere.

    Parameters
    ----------
    mine : sequence of int
        Processors that this rank may use.
    neighbours : sequence of sequences of int
        Those of every rank of the machine, this one included.
    """
    users = Counter(processor for processors in neighbours for processor in processors)
    # A hair more than the sum of equal parts, which rounding may leave below a whole number.
    return max(1, int(sum(1.0 / users[processor] for processor in mine) + 1e-9))


def _processors() -> tuple[int, ...]:
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))
