"""Measure this machine, prcli on it, and its peers: one table of tab-separated values.

Run it where nothing else runs: ``python tests/benchmarks/proof.py -o table.tsv``.
"""

from __future__ import annotations

# ruff: noqa: E402
# As the command line does, before numpy is loaded.
from prcli.parallel.threads import let_idle_threads_sleep

let_idle_threads_sleep()

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from brute_force import agreement_rows
from comparison import Comparison
from cost_fit import check_rows, fit, fit_rows
from forecast import Cluster, forecast_rows
from growth import VARIABLES, growth_rows, measure_growth, time_runs
from hardware_limits import Limits, limit_rows
from machine_facts import machine_facts
from measurement import Disturbance
from peers import PEERS, peer_rows, published_rows
from shares import share_rows
from tsv_table import Row, write_table
from workloads import Features, Size, compiled_loops

from prcli.data.publish import publish_file


@dataclass(frozen=True)
class Scale:
    """How large everything is.

    Attributes
    ----------
    share, base, unseen, peers, large, published, brute : Size
        Of the shares, of the growth, of the run that the cost model must predict, of the
        comparison with all peers, with those that scale, with the published loop and with brute
        force.
    n_rounds : int
    patience : float
        Seconds to wait for a quiet machine before each round.
    n_values : int or None
        Values of the array that tells the bandwidth; by default more than the cache.
    """

    share: Size
    base: Size
    unseen: Size
    peers: Size
    large: Size
    published: Size
    brute: Size
    n_rounds: int
    patience: float
    n_values: int | None = None


FULL = Scale(
    share=Size(64_000, 64, 256, 22),
    base=Size(24_000, 64, 128, 16),
    unseen=Size(40_000, 100, 192, 24),
    peers=Size(4_000, 100, 128, 20),
    large=Size(40_000, 100, 128, 50),
    published=Size(300, 100, 128, 4),
    brute=Size(60, 12, 16, 8),
    n_rounds=3,
    patience=3.0,
)

QUICK = Scale(
    share=Size(400, 8, 16, 6),
    base=Size(200, 8, 16, 8),
    unseen=Size(300, 12, 24, 6),
    peers=Size(60, 8, 8, 4),
    large=Size(80, 8, 8, 4),
    published=Size(40, 6, 8, 3),
    brute=Size(20, 5, 6, 4),
    n_rounds=1,
    patience=0.0,
    n_values=1 << 16,
)


class Proof:
    """The sections of the table, measured one after the other.

    Parameters
    ----------
    scale : Scale
    threads : tuple of int
        Numbers of threads to measure with, 1 among them.
    tell : callable
        Called with what is about to be measured.
    """

    def __init__(self, scale: Scale, threads: tuple[int, ...], tell: Callable[[str], None]) -> None:
        self._scale = scale
        self._threads = threads
        self._tell = tell

    def rows(self, environments: Path | None) -> list[Row]:
        """All lines; those of peers only if there is a folder for their environments."""
        disturbance = Disturbance()
        limits = Limits(self._scale.share.D, 1 << 14, self._scale.n_values)
        found = self._limits(limits)
        with compiled_loops():
            rows = [*machine_facts(), *found, *self._shares(limits), *self._growth(found)]
        rows += self._peers(environments)
        self._tell("brute force")
        rows += agreement_rows(Features(self._scale.brute))
        note = "by other processes; above 0.1, measure again"
        return [*rows, Row("machine", "processors taken", disturbance.share(), note=note)]

    def _limits(self, limits: Limits) -> list[Row]:
        self._tell("limits of the hardware")
        return limit_rows(limits, self._threads, self._scale.n_rounds, self._scale.patience)

    def _shares(self, limits: Limits) -> list[Row]:
        scale = self._scale
        return share_rows(
            Features(scale.share),
            limits,
            self._threads,
            scale.n_rounds,
            scale.patience,
            self._tell,
        )

    def _growth(self, limits: Sequence[Row]) -> list[Row]:
        scale = self._scale
        runs = measure_growth(scale.base, self._threads, scale.n_rounds, scale.patience, self._tell)
        model = fit([run for run in runs if run.variable != "threads"])
        self._tell("runs that the cost model must predict")
        unseen = [
            run
            for command in VARIABLES
            for run in time_runs(command, [(scale.unseen, 1)], scale.n_rounds, scale.patience)
        ]
        return [
            *growth_rows(runs, scale.base),
            *fit_rows(model, runs),
            *check_rows(model, unseen),
            *forecast_rows(model, limits, Cluster()),
        ]

    def _peers(self, environments: Path | None) -> list[Row]:
        scale = self._scale
        n_threads = max(self._threads)
        self._tell("the published loop")
        rows = published_rows(scale.published, n_threads, scale.n_rounds, scale.patience)
        if environments is None:
            return rows
        few = [peer for peer in PEERS if peer.scales]
        for comparison, peers in (
            (Comparison(scale.peers), PEERS),
            (Comparison(scale.large, n_atoms=1), few),
        ):
            with tempfile.TemporaryDirectory() as features:
                rows += peer_rows(
                    comparison,
                    environments,
                    Path(features),
                    n_threads,
                    scale.n_rounds,
                    scale.patience,
                    self._tell,
                    peers,
                )
        return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the table."""
    options = _parser().parse_args(arguments)
    # What prcli says about invented features is of no interest here.
    logging.getLogger("prcli").setLevel(logging.ERROR)
    proof = Proof(QUICK if options.quick else FULL, options.threads, _tell)
    with ExitStack() as stack:
        environments = options.environments
        if environments is None and not options.no_peers:
            environments = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rows = proof.rows(None if options.no_peers else environments)
        if options.output is None:
            write_table(rows, sys.stdout)
            return
        with publish_file(options.output, overwrite=True) as path, path.open("w") as file:
            write_table(rows, file)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, help="file to write; stdout by default")
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes, one round: a check, not a measurement"
    )
    parser.add_argument(
        "--threads",
        type=_threads,
        default="1,2" if len(os.sched_getaffinity(0)) > 1 else "1",
        help="numbers of threads to measure with, 1 first; 1,2 by default",
    )
    parser.add_argument("--no-peers", action="store_true", help="install and run no other program")
    parser.add_argument(
        "--environments",
        type=Path,
        help="folder to keep the peers' environments in; a temporary one by default",
    )
    return parser


def _threads(text: str) -> tuple[int, ...]:
    numbers = tuple(sorted({int(part) for part in text.split(",")}))
    if numbers[0] != 1:
        raise argparse.ArgumentTypeError("1 must be among them: the cost model is of one thread")
    return numbers


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
