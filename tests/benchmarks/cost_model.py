"""What a command costs: operations, bytes and messages, by its size and the number of ranks.

Time is a sum of amounts, counted here, times what a unit of each takes, fitted to measurements of
one thread. All of prcli's work on rows divides by the ranks that share them; what does not is
counted in full for each rank. Amounts of a rank that holds C rows or candidates:

=================  ==========================================================================
factorize          2 C D², operations of the QR factorization of the rows
solve              C D², operations of whitening the rows
product            operations of matrix products: with all targets, 2 C T D; mean-variance 2 C D²
row values         C D, values that are read, checked, converted and digested once
rows               C, what is done once for a row whatever its width
pick values        picks C D, values of the whitened pool that a pick reads; log-det: D for each
                   candidate that is looked at
look products      log-det: D for each candidate looked at and pick that it had missed
pick covariances   picks C T, values of the covariances that a pick reads, scores and writes
pick rows          picks C, bounds and scores of candidates
pick targets       picks T D, values of the targets that a pick reads and writes
picks              picks, what is done for a pick whatever the size
square             D³, operations on triangular factors
call               1
=================  ==========================================================================

How many candidates the lazy screen of log-det looks at depends on the features, and is counted
while it runs. Where nobody has counted, everybody is taken to be looked at: the most it can cost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from looks import Looks, all_looked_at
from workloads import CROSS, Size

#: Bytes of a float64.
VALUE = 8

#: Square matrices, and copies of the targets, that a rank holds.
_SQUARES, _TARGET_COPIES = 12, 5


def amounts(command: str, size: Size, looks: Looks | None = None) -> dict[str, float]:
    """Count what a command does on one rank that holds `size.C` rows or candidates.

    Parameters
    ----------
    command : str
        "hessian", "score" or "select OBJECTIVE".
    size : Size
    looks : Looks, optional
        Of log-det; everybody at every pick by default.

    Returns
    -------
    amounts : dict of str to float
        By the names above; those that differ between commands end with the command.
    """
    C, D = float(size.C), float(size.D)
    once = {"row values": C * D, "square": D**3}
    if command == "hessian":
        return {"factorize": 2.0 * C * D * D} | _own(command, once | {"rows": C, "call": 1.0})
    if command == "score":
        return {"solve": C * D * D} | _own(command, once | {"rows": C, "call": 1.0})
    return _select(command.removeprefix("select "), size, looks)


def _select(objective: str, size: Size, looks: Looks | None) -> dict[str, float]:
    C, T, D, picks = (float(x) for x in (size.C, size.T, size.D, size.picks))
    product = 2.0 * C * D * D if objective == "mean-variance" else 0.0
    product = 2.0 * C * T * D if objective in CROSS else product
    shared = {"row values": C * D, "rows": C, "call": 1.0, "square": D**3}
    own = {"pick values": picks * C * D, "pick rows": picks * C, "picks": picks}
    if objective in CROSS:
        own["pick covariances"] = picks * C * T
    if objective == "log-det":
        looks = all_looked_at(size.C, size.picks) if looks is None else looks
        own["pick values"] = looks.candidates * D
        own["look products"] = looks.products * D
    else:
        own["pick targets"] = picks * T * D
    return (
        {"solve": C * D * D, "product": product}
        | _own("select", shared)
        | _own(f"select {objective}", own)
    )


def _own(owner: str, found: dict[str, float]) -> dict[str, float]:
    return {f"{name}: {owner}": amount for name, amount in found.items()}


@dataclass(frozen=True)
class Messages:
    """What ranks send: how many messages one after the other, and how many bytes on that path."""

    number: float = 0.0
    n_bytes: float = 0.0


def messages(command: str, size: Size, ranks: int) -> Messages:
    """Count the messages on the longest path of a command on some ranks.

    A Hessian is merged up a tree, a triangle of D²/2 values at each of its levels. Scores are
    gathered, eight bytes a row. A pick is an all-reduce of (gain, index), up and down the tree,
    and a broadcast of one row.
    """
    levels = math.ceil(math.log2(ranks)) if ranks > 1 else 0
    if not levels:
        return Messages()
    if command == "hessian":
        return Messages(levels, levels * VALUE * size.D * (size.D + 1) / 2.0)
    if command == "score":
        return Messages(levels, VALUE * size.C * (ranks - 1) / ranks)
    each = 2 * levels * 2 * VALUE + levels * VALUE * size.D
    return Messages(3.0 * levels * size.picks, float(each) * size.picks)


def held_bytes(command: str, size: Size, ranks: int = 1) -> float:
    """Bytes of arrays that a rank holds: the plan of a command.

    Whitened candidates and, where the objective needs them, their covariances are shared among
    ranks; targets and triangular factors are held by each.
    """
    squares = float(_SQUARES * VALUE * size.D**2)
    if not command.startswith("select"):
        return squares + (VALUE * size.C / ranks if command == "score" else 0.0)
    width = size.D + (size.T if command.removeprefix("select ") in CROSS else 0)
    targets = _TARGET_COPIES * VALUE * size.T * size.D
    return VALUE * width * size.C / ranks + targets + squares


def read_bytes(size: Size, ranks: int = 1, value: int = 4) -> float:
    """Bytes that a rank reads of a store with values of float32, or of another size."""
    return float(value) * size.C * size.D / ranks


def memory_bytes(command: str, size: Size) -> float:
    """Bytes of memory that a command moves again and again, once the rows are there."""
    if not command.startswith("select"):
        return 0.0
    cross = 2 * size.T if command.removeprefix("select ") in CROSS else 0
    return float(VALUE) * size.picks * size.C * (size.D + cross)
