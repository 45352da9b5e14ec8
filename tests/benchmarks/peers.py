"""Other programs at the nearest thing that they can do, on the same features as prcli."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from comparison import Comparison
from measurement import in_turns, timed
from peer_process import PeerError, PeerProcess, Round, install
from published_loop import PublishedLoop
from tsv_table import Row
from workloads import REGULARIZER, Features, Size

from prcli.parallel.threads import limit_threads

#: Seconds of a first round from which one more is enough.
SLOW = 20.0


@dataclass(frozen=True)
class Peer:
    """A peer, what it does, and what prcli does beside it.

    Attributes
    ----------
    name, program, task : str
    ours : callable
        A method of `Comparison`.
    command : str
        That method, as a user would say it.
    same : bool
        Whether both compute the same, so that picks or numbers are compared.
    scales : bool
        Whether it can be compared on a large pool, too, in reasonable time and memory.
    """

    name: str
    program: str
    task: str
    ours: Callable[[Comparison, int], np.ndarray]
    command: str
    same: bool
    scales: bool = False


PEERS = (
    Peer("bmdal_reg", "bmdal", "bait", Comparison.bait, "select mean-variance", True, True),
    Peer("bmdal_reg", "bmdal", "maxdet", Comparison.log_det, "select log-det", True, True),
    Peer("scikit-matter", "scikit_matter", "LPR", Comparison.local_rigidities, "score atoms", True),
    Peer(
        "scikit-matter",
        "scikit_matter",
        "FPS",
        Comparison.farthest_points,
        "select fps",
        True,
        True,
    ),
    Peer("scikit-matter", "scikit_matter", "CUR", Comparison.leverage, "select leverage", False),
    Peer("quests", "quests_msc", "msc", Comparison.compress, "select mean-variance", False),
    Peer(
        "apricot",
        "apricot_select",
        "facility location",
        Comparison.compress,
        "select mean-variance",
        False,
    ),
    Peer("apricot", "apricot_select", "log det", Comparison.log_det, "select log-det", True),
)


def peer_rows(
    comparison: Comparison,
    environments: Path,
    features: Path,
    n_threads: int,
    n_rounds: int,
    patience: float,
    tell: Callable[[str], None],
    peers: Sequence[Peer] = PEERS,
) -> list[Row]:
    """Lines on all peers; those that cannot be had are told, with the reason.

    Parameters
    ----------
    comparison : Comparison
    environments, features : Path
        Folders for the peers' environments, and for the features that they get.
    n_threads, n_rounds : int
    patience : float
        Seconds to wait for a quiet machine before each round.
    tell : callable
        Called with what is about to be measured.
    peers : sequence of Peer
    """
    size = comparison.size
    comparison.save(features)
    rows = []
    for peer in peers:
        tell(f"{peer.name}: {peer.task}")
        try:
            python = install(peer.program, environments)
            arguments = (peer.program, peer.task, features, size.picks, n_threads)
            with PeerProcess(python, *arguments) as process, limit_threads(n_threads):
                rows += _compare(peer, comparison, process, n_rounds, patience, n_threads)
        except PeerError as error:
            rows.append(_row(peer.name, peer.task, size, n_threads, "none", note=str(error)))
    return rows


def _compare(
    peer: Peer,
    comparison: Comparison,
    process: PeerProcess,
    n_rounds: int,
    patience: float,
    n_threads: int,
) -> list[Row]:
    n_picks = comparison.size.picks
    first = process.round()
    ours = peer.ours(comparison, n_picks)
    timing = in_turns(
        [
            lambda: process.round().seconds,
            lambda: timed(lambda: peer.ours(comparison, n_picks)),
        ],
        n_rounds if first.seconds < SLOW else 1,
        patience,
    )
    name = f"{peer.name} {first.version}"
    size = comparison.size
    rows = [_time_row(name, peer.task, peer.command, size, n_threads, timing.rounds)]
    if peer.same:
        rows.append(_agreement(name, peer, size, n_threads, first, ours))
    return rows


def _time_row(
    name: str, task: str, command: str, size: Size, n_threads: int, seconds: np.ndarray
) -> Row:
    ratios = seconds[:, 0] / seconds[:, 1]
    theirs, ours = np.median(seconds, axis=0)
    return _row(
        name,
        task,
        size,
        n_threads,
        float(np.median(ratios)),
        "times the time of prcli",
        low=float(ratios.min()),
        high=float(ratios.max()),
        note=f"{theirs:.3g} s; prcli {command} {ours:.3g} s",
    )


def _agreement(
    name: str, peer: Peer, size: Size, n_threads: int, first: Round, ours: np.ndarray
) -> Row:
    theirs = np.asarray(first.result)
    if peer.task == "LPR":
        error = float(np.max(np.abs(theirs / ours - 1.0)))
        return _row(name, f"{peer.task}: agreement", size, n_threads, error, "relative difference")
    equal = np.flatnonzero(theirs != ours)
    n_equal = float(equal[0] if equal.size else len(ours))
    unit = f"of {len(ours)} picks"
    return _row(name, f"{peer.task}: agreement", size, n_threads, n_equal, unit)


def _row(
    name: str,
    task: str,
    size: Size,
    n_threads: int,
    value: float | str,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    note: str = "",
) -> Row:
    return Row(
        "peer",
        f"{name}: {task}",
        value,
        unit,
        C=size.C,
        T=size.T,
        D=size.D,
        picks=size.picks,
        threads=n_threads,
        low=low,
        high=high,
        note=note,
    )


def published_rows(size: Size, n_threads: int, n_rounds: int, patience: float) -> list[Row]:
    """Lines on the published loop, which needs nothing but numpy."""
    features = Features(size)
    ours = features.select("mean-pr").indices
    found: list[int] = []

    def published() -> None:
        loop = PublishedLoop(features.train, features.target, features.pool, REGULARIZER)
        found[:] = loop.select(size.picks)

    with limit_threads(n_threads):
        timing = in_turns(
            [
                lambda: timed(published),
                lambda: features.select_seconds("mean-pr"),
            ],
            n_rounds,
            patience,
        )
    name = "published loop"
    equal = np.flatnonzero(np.asarray(found) != ours)
    n_equal = float(equal[0] if equal.size else len(ours))
    return [
        _time_row(name, "mean PR", "select mean-pr", size, n_threads, timing.rounds),
        _row(name, "mean PR: agreement", size, n_threads, n_equal, f"of {len(ours)} picks"),
    ]
