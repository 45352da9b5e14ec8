"""A share of a data set: what one task of a job array works on."""

from __future__ import annotations

import re
from dataclasses import dataclass

from prcli.data.dataset import Dataset
from prcli.data.part import Part
from prcli.errors import RequestError
from prcli.records import Communicator

_SHARD = re.compile(r"^(\d+)/(\d+)$")


@dataclass(frozen=True)
class Shard:
    """One of several shares of a data set, contiguous and of equal length but for one structure.

    Attributes
    ----------
    number : int
        From 1 to `count`, as tasks of job arrays count.
    count : int

    Raises
    ------
    RequestError
        If there is no such share.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        """Check the values."""
        if not 1 <= self.number <= self.count:
            raise _not_a_shard(str(self))

    def __str__(self) -> str:
        """Write it as it is typed."""
        return f"{self.number}/{self.count}"

    def bounds(self, n_structures: int) -> tuple[int, int]:
        """First structure, and the one after the last.

        Raises
        ------
        RequestError
            If there are fewer structures than shares. Every share refuses then, so that no task of
            an array works in vain.
        """
        if self.count > n_structures:
            raise RequestError(
                "there are more shards than structures",
                where=f"--shard {self}",
                expected=f"at most {n_structures} shards",
                got=str(self.count),
                remedy="use a job array of fewer tasks",
            )
        start, stop = (n_structures * i // self.count for i in (self.number - 1, self.number))
        return start, stop


def parse_shard(text: str) -> Shard:
    """Read a share as it is typed, such as ``3/8``.

    Raises
    ------
    RequestError
    """
    match = _SHARD.match(text)
    if match is None:
        raise _not_a_shard(text)
    return Shard(int(match[1]), int(match[2]))


def take_shard(data: Dataset, shard: Shard | None) -> tuple[Dataset, int]:
    """Cut a share out of a data set.

    Parameters
    ----------
    data : Dataset
        It has to stay open.
    shard : Shard or None
        None for all of it.

    Returns
    -------
    share : Dataset
        Not to be closed.
    first : int
        Position in the whole set of its first structure.
    """
    if shard is None:
        return data, 0
    start, stop = shard.bounds(data.n_structures)
    parts = []
    for part, begin in zip(data.parts, data.starts.tolist(), strict=False):
        positions = part.positions[max(start - begin, 0) : max(stop - begin, 0)]
        if positions:
            parts.append(Part(part.table, positions))
    return Dataset(parts, data.name), start


def share_of_rank(data: Dataset, communicator: Communicator) -> tuple[Dataset | None, int]:
    """Cut out the share of a rank, as of a shard; where there are more ranks, some have none.

    Parameters
    ----------
    data : Dataset
        It has to stay open.
    communicator : Communicator

    Returns
    -------
    share : Dataset or None
        Not to be closed; None if the first ranks have taken everything.
    first : int
        Position in the whole set of its first structure.
    """
    if communicator.size == 1:
        return data, 0
    if communicator.rank >= data.n_structures:
        return None, data.n_structures
    count = min(communicator.size, data.n_structures)
    return take_shard(data, Shard(communicator.rank + 1, count))


def _not_a_shard(text: str) -> RequestError:
    return RequestError(
        "shard is not valid",
        where="--shard",
        expected="I/N, from 1/N to N/N",
        got=text,
    )
