"""What a selection has to keep within, as a user typed it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from prcli.errors import RequestError

QuotaKind: TypeAlias = Literal["quota", "at-least", "at-most"]

#: Stands for every value of a key that occurs in the pool.
EVERY_VALUE = "*"

#: Key whose groups are the structures that hold an element.
ELEMENT = "element"


@dataclass(frozen=True)
class Quota:
    """How many structures of one kind are to be chosen.

    Attributes
    ----------
    kind : {"quota", "at-least", "at-most"}
        Exactly so many, or a floor, or a ceiling.
    key : str
        Column, key of the comment line, or "element".
    value : str
        Value of the key; ``*`` for each one that occurs.
    count : int
    """

    kind: QuotaKind
    key: str
    value: str
    count: int

    def __str__(self) -> str:
        """Write it as it is typed."""
        return f"--{self.kind} {self.key}={self.value}:{self.count}"


@dataclass(frozen=True)
class ConstraintOptions:
    """What a selection has to keep within.

    Attributes
    ----------
    budget : float, optional
        Largest sum of the costs of the picks.
    cost : str, optional
        Expression, such as ``n_atoms**3``.
    quota, at_least, at_most : tuple of str
        ``KEY=VALUE:N``: exactly, at least, at most N chosen structures of that value.
    include : tuple of path
        Files of structures of the pool that were chosen before.
    exclude : tuple of path
        Files of structures of the pool that are not to be chosen.
    min_distance : float, optional
        Chosen structures are farther from each other than this, in scaled mean features.
    duplicates_within : float, optional
        Of structures that steps of at most this connect, one is chosen at most.
    quotas : tuple of Quota
        The three together, parsed.

    Raises
    ------
    RequestError
        If one of them cannot be understood.
    """

    budget: float | None = None
    cost: str | None = None
    quota: tuple[str, ...] = ()
    at_least: tuple[str, ...] = ()
    at_most: tuple[str, ...] = ()
    include: tuple[str | Path, ...] = ()
    exclude: tuple[str | Path, ...] = ()
    min_distance: float | None = None
    duplicates_within: float | None = None
    quotas: tuple[Quota, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the values, and parse the quotas."""
        if self.budget is not None:
            if not (np.isfinite(self.budget) and self.budget > 0.0):
                raise RequestError("--budget must be a positive number", got=str(self.budget))
            if self.cost is None:
                raise RequestError(
                    "--budget needs costs",
                    where="--cost",
                    remedy="give --cost, such as n_atoms, n_atoms**3 or a column of the pool; "
                    "for a number of structures, use -n",
                )
        for name, value in (
            ("min-distance", self.min_distance),
            ("duplicates-within", self.duplicates_within),
        ):
            if value is not None and not (np.isfinite(value) and value >= 0.0):
                raise RequestError(
                    f"--{name} must be a number that is not negative", got=str(value)
                )
        quotas = (
            *_parsed("quota", self.quota),
            *_parsed("at-least", self.at_least),
            *_parsed("at-most", self.at_most),
        )
        object.__setattr__(self, "quotas", quotas)

    @property
    def has_floors(self) -> bool:
        """Whether some structures have to be chosen."""
        return any(each.kind != "at-most" for each in self.quotas)

    @property
    def has_distances(self) -> bool:
        """Whether choosing closes what is near."""
        return self.min_distance is not None or self.duplicates_within is not None

    @property
    def are_any(self) -> bool:
        """Whether there is anything to keep within, or to report."""
        return self != ConstraintOptions()


def _parsed(kind: QuotaKind, texts: Iterable[str]) -> list[Quota]:
    """Take ``KEY=VALUE:N`` apart; values may hold either sign."""
    quotas = []
    for text in texts:
        head, colon, count = text.rpartition(":")
        key, sign, value = head.partition("=")
        if not (colon and sign and key.strip() and value and count.strip().isdecimal()):
            raise RequestError(
                f"--{kind} cannot be understood",
                expected="KEY=VALUE:N, such as config_type=slab:5 or element=Ta:3",
                got=text,
            )
        quotas.append(Quota(kind, key.strip(), value, int(count)))
    return quotas
