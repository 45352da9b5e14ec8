"""A selection stays within --memory, says how, and picks the same whatever it may hold."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest

from prcli.data.store_writer import StoreWriter
from prcli.errors import RequestError
from prcli.parallel.memory import parse_size
from prcli.workflows import select_run
from prcli.workflows.select_options import SelectOptions
from prcli.workflows.select_run import SelectRequest, SelectRun

#: Anonymous memory may exceed the limit by a tenth.
ALLOWED = 1.1

SCRIPT = """
import json, sys, threading
from pathlib import Path

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

peak, done = 0, threading.Event()
def watch():
    global peak
    while not done.wait(0.002):
        peak = max(peak, anonymous())

thread = threading.Thread(target=watch)
thread.start()
try:
    from prcli.cli.main import cli
    cli.main(sys.argv[1:], standalone_mode=False)
finally:
    done.set()
    thread.join()
    print(json.dumps(peak), file=sys.stderr)
"""

pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/self/status"), reason="this system does not tell RssAnon"
)


@dataclass(frozen=True)
class Run:
    """What a command wrote, and the most anonymous memory it held."""

    table: str
    said: str
    peak: int


def write_sets(folder, n_candidates, n_features, n_targets):
    rng = np.random.default_rng(5)
    decay = np.exp(-np.arange(n_features) * 8.0 / n_features)
    sizes = {"train": 2 * n_features, "target": n_targets, "pool": n_candidates}
    for name, n in sizes.items():
        with StoreWriter(
            folder / f"{name}.h5",
            n_atoms=np.full(n, 2),
            n_features=n_features,
            dtype=np.float32,
            convention="mean",
        ) as store:
            for start in range(0, n, 20_000):
                rows = rng.normal(size=(min(20_000, n - start), n_features)) * decay
                store.write_structures(start, rows)


def start_select(folder, memory, *arguments):
    sets = [f"--{name}={folder / name}.h5" for name in ("train", "target", "pool")]
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, "select", *sets, "-n", "6", "--memory", memory]
        + ["--threads", "1", "-v", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def run_select(folder, memory, *arguments):
    done = start_select(folder, memory, *arguments)
    assert done.returncode == 0, done.stderr
    *said, peak = done.stderr.splitlines()
    return Run(done.stdout, "\n".join(said), json.loads(peak))


def picks_of(run):
    """Positions, sources and frames in the order of the picks."""
    return [line.split("\t")[1:4] for line in run.table.splitlines()]


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory")
    write_sets(folder, 200_000, 128, 60)
    return folder


# Whitened in float64 the pool takes 195 MiB, and its covariances 92 MiB.
@pytest.mark.parametrize(
    ("objective", "plans"),
    [
        ("mean-pr", {"360M": "in float32", "250M": "pool read again at every pick"}),
        ("mean-variance", {"380M": "in float32", "210M": "pool read again at every pick"}),
        ("log-det", {"210M": "pool read again at every pick"}),
    ],
)
def test_memory_is_obeyed(pool, objective, plans):
    whole = run_select(pool, "4G", "--objective", objective)
    assert "whitened pool 195.3 MiB in float64" in whole.said
    for memory, plan in plans.items():
        run = run_select(pool, memory, "--objective", objective)
        assert plan in run.said
        assert picks_of(run) == picks_of(whole)
        assert run.peak <= ALLOWED * parse_size(memory)
    # What is held without a limit would not have done.
    assert whole.peak > ALLOWED * parse_size(memory)


def test_memory_is_obeyed_by_farthest_points(pool):
    whole = run_select(pool, "4G", "--strategy", "fps")
    assert "plan: pool 195.3 MiB in float64" in whole.said
    for memory, plan in {"380M": "in float32", "210M": "pool read again at every pick"}.items():
        run = run_select(pool, memory, "--strategy", "fps")
        assert plan in run.said
        assert picks_of(run) == picks_of(whole)
        assert run.peak <= ALLOWED * parse_size(memory)
    assert whole.peak > ALLOWED * parse_size(memory)


@pytest.mark.parametrize(("strategy", "held"), [("pr", "none"), ("fps", "none"), ("random", None)])
def test_what_is_selected_once_more_is_planned_anew(monkeypatch, strategy, held):
    # As an audit does: a draw needs no memory, and what it is compared with does.
    rng = np.random.default_rng(1)
    pool, target, train = (rng.normal(size=(n, 64)) for n in (40_000, 4, 100))
    holdings = []

    def spy(*arguments, holding, **options):
        holdings.append(holding.pool)
        return select_run.select(*arguments, holding=holding, **options)

    options = SelectOptions(2, strategy="random")
    request = SelectRequest(options, (pool,), (target,), (train,), memory=parse_size("175M"))
    with SelectRun(request) as run, monkeypatch.context() as patched:
        patched.setattr(
            select_run, "partial", lambda _, *given, **more: partial(spy, *given, **more)
        )
        run.run()
        again = run.again(replace(options, strategy=strategy))
    assert again.options.strategy == strategy
    assert holdings[1] == (held or holdings[0])


@pytest.mark.parametrize(
    "arguments",
    [
        # Everything is whitened anew for every exchange, and nothing of it is to stay.
        "--refine 1",
        "--objective log-det --min-distance 0.2 --budget 100 --cost n_atoms**2/n_atoms",
        "--strategy fps --at-most n_atoms=2:100 --where n_atoms>1",
        "--strategy leverage",
    ],
)
def test_what_a_refusal_asks_for_does(pool, arguments):
    refused = start_select(pool, "50M", *arguments.split())
    assert "does not fit into memory" in refused.stderr
    memory = re.search(r"give --memory (\d+M)", refused.stderr)[1]
    run = run_select(pool, memory, *arguments.split())
    assert len(picks_of(run)) == 7
    assert run.peak <= ALLOWED * parse_size(memory)


def test_an_audit_is_refused_before_it_starts(pool):
    request = SelectRequest(
        SelectOptions(n_to_select=6, strategy="random"),
        pool=(str(pool / "pool.h5"),),
        target=(str(pool / "target.h5"),),
        train=(str(pool / "train.h5"),),
        memory=parse_size("190M"),
    )
    with SelectRun(request):
        pass
    with (
        pytest.raises(RequestError, match="does not fit into memory"),
        SelectRun(replace(request, audit=True)),
    ):
        pass


@pytest.mark.slow
def test_memory_is_obeyed_by_a_pool_of_a_million(tmp_path):
    write_sets(tmp_path, 1_000_000, 128, 50)
    whole = run_select(tmp_path, "4G")
    for memory in ("1000M", "800M", "450M"):
        run = run_select(tmp_path, memory)
        assert picks_of(run) == picks_of(whole)
        assert run.peak <= ALLOWED * parse_size(memory)
        assert whole.peak > ALLOWED * parse_size(memory)
