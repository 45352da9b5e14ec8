"""A selection that is stopped and taken up again ends as one that was not."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import counts_of, features_of, frames_of, gradients_of, write_frames, write_store
from hypothesis import given, settings
from hypothesis import strategies as st

import prcli
from prcli.data.checkpoint import read_checkpoint
from prcli.data.features import Features
from prcli.data.tables import read_table
from prcli.errors import FormatError, MismatchError, OutputError
from prcli.numerics.greedy import Pick
from prcli.numerics.objectives import OBJECTIVES
from prcli.parallel.plan import SelectionPlan
from prcli.records import Holding
from prcli.workflows import selection_checkpoint
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.loss_options import LossOptions
from prcli.workflows.select_options import SelectOptions
from prcli.workflows.select_request import SelectRequest
from prcli.workflows.select_run import SelectRun
from prcli.workflows.selection import Selection

RNG = np.random.default_rng(8)
TRAIN, TARGET, POOL = (RNG.normal(size=(n, 6)) for n in (20, 5, 60))
#: Absolute, for margins, which are differences of numbers around 1.
TOLERANCE = 1e-9


class StopError(Exception):
    """Raised where a signal would end a run."""


def stop_after(n_picks: int, kind: type[BaseException] = SystemExit) -> Callable[..., None]:
    """Progress that ends a run after some picks in all."""

    def progress(task: str, done: int, total: int | None) -> None:
        if task == "select" and done >= n_picks:
            raise kind(143)

    return progress


def request_of(checkpoint: Path | str | None, n: int = 12, **options: Any) -> SelectRequest:
    names = {field.name for field in fields(SelectRequest)} - {"options"}
    given = {name: options.pop(name) for name in names & set(options)}
    sets = {"train": (TRAIN,), "target": (TARGET,), "pool": (POOL,)}
    path = None if checkpoint is None else str(checkpoint)
    return SelectRequest(SelectOptions(n, **options), **(sets | given), checkpoint=path)


def select(request: SelectRequest, **options: Any) -> Selection:
    with SelectRun(request, **options) as run:
        return run.run()


def stop(request: SelectRequest, n_picks: int, kind: type[BaseException] = SystemExit) -> None:
    with pytest.raises(kind):
        select(request, progress=stop_after(n_picks, kind))


def assert_same(one: Selection, other: Selection) -> None:
    assert one.indices.tolist() == other.indices.tolist()
    assert one.stopped == other.stopped
    assert one.n_candidates == other.n_candidates
    assert one.objective_before == pytest.approx(other.objective_before, rel=1e-9, nan_ok=True)
    for field in fields(Pick):
        values = [[getattr(pick, field.name) for pick in each.picks] for each in (one, other)]
        np.testing.assert_allclose(*values, rtol=1e-9, atol=TOLERANCE * (field.name == "margin"))
    for name in ("target_pr_before", "target_pr_after", "target_weight"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-9)


@pytest.mark.parametrize("strategy", ["pr", "random", "fps", "leverage"])
@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_stopped_and_resumed_is_as_if_it_had_not_been(tmp_path, strategy, objective):
    checkpoint = tmp_path / "c"
    request = request_of(checkpoint, strategy=strategy, objective=objective, seed=3)
    for n_picks in (1, 5, 11):
        stop(request, n_picks)
        assert read_checkpoint(checkpoint).n_steps == n_picks
    resumed = select(request)
    assert resumed.n_resumed == 11
    assert_same(resumed, select(replace(request, checkpoint=None)))
    assert not checkpoint.exists()


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_blocks_of_forces_are_resumed(tmp_path, objective):
    train, target, pool = (
        features_of(n, 4, seed=seed, **gradients_of(counts_of(n, seed), 4, seed=seed))
        for n, seed in ((6, 1), (3, 2), (20, 3))
    )
    sets = {"train": (train,), "target": (target,), "pool": (pool,)}
    request = request_of(tmp_path / "c", 8, objective=objective, **sets)
    stop(request, 3)
    stop(request, 6)
    assert_same(select(request), select(replace(request, checkpoint=None)))


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_memory_may_change_between_turns(tmp_path, objective, monkeypatch):
    request = request_of(tmp_path / "c", objective=objective)
    whole = select(replace(request, checkpoint=None))
    turns = [Holding("none", "none"), Holding("float32", "float32"), Holding("float64", "none")]
    for n_picks, holding in zip((3, 7, 10), turns, strict=True):
        monkeypatch.setattr(SelectionPlan, "_holdings", lambda self, only=holding: [only])
        stop(request, n_picks)
    assert_same(select(request), whole)


def test_targets_that_do_not_count_are_told_as_well(tmp_path):
    weights = np.array([1.0, 0.0, 2.0, 1.0, 0.0])
    target = Features(structures=TARGET, columns={"w": weights})
    request = request_of(tmp_path / "c", target=(target,), target_weight="w")
    stop(request, 4)
    assert_same(select(request), select(replace(request, checkpoint=None)))


@given(stops=st.lists(st.integers(1, 40), max_size=4).map(sorted), seed=st.integers(0, 10))
@settings(max_examples=8, deadline=None)
def test_any_number_of_stops_changes_nothing(stops, seed, tmp_path_factory):
    # Each row twice, so that picks are tied; longer than a chain of updates may become.
    rng = np.random.default_rng(seed)
    pool = np.repeat(rng.normal(size=(90, 6)), 2, axis=0)
    checkpoint = tmp_path_factory.mktemp("stops") / "c"
    request = request_of(checkpoint, 140, pool=(pool,), hessian_options=HessianOptions(scale=1.0))
    for n_picks in np.unique(stops):
        stop(request, int(n_picks) * 3)
    assert_same(select(request), select(replace(request, checkpoint=None)))


@pytest.mark.parametrize("rule", [{"stop_gain": 0.2}, {"stop_pr": 5.0}])
def test_rules_that_stop_hold_across_runs(tmp_path, rule):
    request = request_of(tmp_path / "c", 60, **rule)
    whole = select(replace(request, checkpoint=None))
    n_picks = len(whole.picks)
    assert 3 < n_picks < 60
    assert whole.stopped == next(iter(rule))
    stop(request, 2)
    stop(request, n_picks)
    # All picks were made, and the rule has no pick to follow.
    assert read_checkpoint(tmp_path / "c").n_steps == n_picks
    assert_same(select(request), whole)


def test_all_picks_made_need_only_be_written(tmp_path):
    request = request_of(tmp_path / "c", 5)
    stop(request, 5)
    resumed = select(request)
    assert resumed.n_resumed == 5
    assert_same(resumed, select(replace(request, checkpoint=None)))


@pytest.fixture
def stores(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, n_structures, seed in (("train", 10, 1), ("target", 4, 2), ("pool", 30, 3)):
        rows = gradients_of(counts_of(n_structures, seed), seed=seed)
        columns = {"group": np.arange(n_structures) % 2.0, "w": 1.0 + np.arange(n_structures)}
        write_store(
            Path(f"{name}.h5"),
            n_structures,
            seed=seed,
            xyz=Path(f"{name}.xyz"),
            gradients=rows,
            columns=columns,
        )
    return SelectRequest(
        SelectOptions(8),
        train=("train.h5",),
        target=("target.h5",),
        pool=("pool.h5",),
        hessian_options=HessianOptions(regularizer=1e-3),
        where="group == 1",
        target_weight="w",
        checkpoint="c",
    )


def test_result_directory_is_the_same(stores):
    for name in ("whole", "resumed"):
        request = replace(stores, output=name, checkpoint=None)
        assert request.checkpoint_path == f"{name}.checkpoint"
        if name == "resumed":
            stop(request, 5)
            assert os.path.exists("resumed.checkpoint")
        with SelectRun(request) as run:
            run.run()
            run.write(name)
        assert not os.path.exists(f"{name}.checkpoint")
    for name in ("selection.tsv", "targets.tsv"):
        whole, resumed = (read_table(f"{folder}/{name}") for folder in ("whole", "resumed"))
        assert list(whole) == list(resumed)
        for column, values in whole.items():
            if column == "source":
                assert values == resumed[column]
                continue
            numbers = (np.array(each, dtype=float) for each in (values, resumed[column]))
            np.testing.assert_allclose(*numbers, rtol=1e-9, atol=TOLERANCE * (column == "margin"))
    assert Path("whole/selected.xyz").read_bytes() == Path("resumed/selected.xyz").read_bytes()
    report = json.loads(Path("resumed/report.json").read_text())
    assert report["health"]["n_picks_from_checkpoint"] == 5


CHANGES = {
    "n-to-select": {"options": SelectOptions(9)},
    "objective": {"options": SelectOptions(8, objective="min-pr")},
    "strategy": {"options": SelectOptions(8, strategy="fps")},
    "seed": {"options": SelectOptions(8, seed=1)},
    "stop-gain": {"options": SelectOptions(8, stop_gain=0.5)},
    "regularizer": {"hessian_options": HessianOptions(regularizer=1e-2)},
    "force-weight": {"hessian_options": HessianOptions(regularizer=1e-3, force_weight=2.0)},
    "intercept": {"hessian_options": HessianOptions(regularizer=1e-3, intercept="atom")},
    "prior": {"hessian_options": HessianOptions(regularizer=1e-3, prior=np.array([1, 2, 3.0]))},
    "weight-key": {
        "hessian_options": HessianOptions(regularizer=1e-3, loss=LossOptions(weight_key="w"))
    },
    "where": {"where": "group == 0"},
    "target-weight": {"target_weight": "group"},
    "train": {"train": ("train.h5@1:",)},
    "target": {"target": ("target.h5", "target.h5@1:")},
    "pool": {"pool": ("pool.h5@::-1",)},
}


@pytest.mark.parametrize("name", CHANGES)
def test_another_request_is_refused(stores, name):
    stop(stores, 3)
    before = Path("c").read_bytes()
    with pytest.raises(MismatchError, match="another request") as caught:
        select(replace(stores, **CHANGES[name]))
    assert f"{name} " in caught.value.got
    assert "remove the file, or give another --checkpoint" in caught.value.remedy
    # What somebody else may still want stays as it is.
    assert Path("c").read_bytes() == before


def test_another_hessian_is_refused(stores):
    record = prcli.hessian("train.h5", regularizer=1e-3)
    request = replace(stores, train=(), hessian=record)
    stop(request, 3)
    heavier = replace(record, force_weight=2.0)
    with pytest.raises(MismatchError, match="got: +hessian "):
        select(replace(request, hessian=heavier))
    prcli.write_hessian("h.hessian", record)
    # The same numbers from a file are the same Hessian.
    assert select(replace(request, hessian="h.hessian")).n_resumed == 3


def test_changed_content_is_another_request(stores):
    stop(stores, 3)
    os.unlink("pool.h5")
    write_store(
        Path("pool.h5"), 30, seed=4, columns={"group": np.arange(30) % 2.0, "w": np.ones(30)}
    )
    with pytest.raises(MismatchError, match="got: +pool "):
        select(stores)


def test_the_way_it_is_done_and_shown_may_change(stores):
    stop(stores, 3)
    os.rename("pool.h5", "moved.h5")
    other = replace(
        stores,
        pool=("moved.h5@:",),
        memory=2 << 30,
        output="out",
        with_annotation=True,
        with_provenance=False,
    )
    assert select(other).n_resumed == 3


def test_stores_of_other_programs_are_told_by_size_and_time(stores):
    import h5py

    with h5py.File("pool.h5", "a") as file:
        del file.attrs["content_digest"]
    stop(stores, 3)
    stop(stores, 4)
    with h5py.File("pool.h5", "a") as file:
        file["structures/features"][0] += 1.0
    os.utime("pool.h5", ns=(1, 1))
    with pytest.raises(MismatchError, match="got: +pool "):
        select(stores)


def test_weights_of_candidates_are_part_of_the_request(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_store(Path("train.h5"), 10, seed=1, columns={"w": np.ones(10)})
    write_store(Path("pool.h5"), 12, seed=3, xyz=Path("pool.xyz"))
    comments = ["Properties=species:S:1:pos:R:3 w=1.0", "Properties=species:S:1:pos:R:3 w=2.0"]
    for name, order in (("one.xyz", comments), ("other.xyz", comments[::-1])):
        write_frames(Path(name), frames_of(counts_of(12, 3), seed=3, comments=order))
    request = request_of(
        "c",
        4,
        objective="log-det",
        train=("train.h5",),
        target=(),
        pool=("pool.h5",),
        structures=("one.xyz",),
        needs_frames=True,
        hessian_options=HessianOptions(loss=LossOptions(weight_key="w")),
    )
    stop(request, 2)
    with pytest.raises(MismatchError, match="weights of candidates"):
        select(replace(request, structures=("other.xyz",)))
    assert select(request).n_resumed == 2


def test_a_damaged_checkpoint_is_refused_before_data_are_read(tmp_path):
    (tmp_path / "c").write_text("{}\n")
    request = request_of(tmp_path / "c", pool=("absent.h5",))
    with pytest.raises(FormatError, match="not a checkpoint"):
        select(request)


@pytest.mark.parametrize("name", ["out", "out/c", "out/sub/../c"])
def test_the_result_takes_the_place_of_no_checkpoint(stores, name):
    with pytest.raises(OutputError, match="lies where the result directory goes"):
        select(replace(stores, output="out", checkpoint=name))


def test_a_folder_that_cannot_hold_it_is_refused_at_once(tmp_path):
    with pytest.raises(OutputError, match="output folder does not exist"):
        select(request_of(tmp_path / "absent" / "c"))


def test_a_short_run_touches_no_disk(tmp_path, monkeypatch):
    def never(*arguments: object) -> None:
        raise AssertionError("written")

    monkeypatch.setattr(selection_checkpoint, "write_checkpoint", never)
    assert len(select(request_of(tmp_path / "c")).picks) == 12


def test_picks_are_kept_every_so_many_seconds(tmp_path, monkeypatch):
    clock, kept = [0.0], []
    monkeypatch.setattr(selection_checkpoint.time, "monotonic", lambda: clock[0])

    def note(task: str, done: int, total: int | None) -> None:
        if task == "select":
            found = read_checkpoint(tmp_path / "c")
            kept.append(0 if found is None else found.n_steps)
            clock[0] += 4.0

    select(request_of(tmp_path / "c", 10), progress=note)
    # After 16 seconds of work, and then 16 later.
    assert kept == [0, 0, 0, 0, 5, 5, 5, 5, 9, 9]


def test_slow_disks_are_written_less_often(tmp_path, monkeypatch):
    clock, writes = [0.0], []
    monkeypatch.setattr(selection_checkpoint.time, "monotonic", lambda: clock[0])

    def write(path: str, checkpoint: object) -> None:
        writes.append(clock[0])
        clock[0] += 2.0

    monkeypatch.setattr(selection_checkpoint, "write_checkpoint", write)
    monkeypatch.setattr(selection_checkpoint.SelectionCheckpoint, "_discard", lambda self: None)

    def tick(task: str, done: int, total: int | None) -> None:
        clock[0] += 10.0

    select(request_of(tmp_path / "c", 25), progress=tick)
    assert len(writes) == 3
    assert min(np.diff(writes)) >= 100.0


def test_a_full_disk_costs_a_warning_and_no_pick(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(selection_checkpoint, "SECONDS", 0.0)

    def fail(path: str, checkpoint: object) -> None:
        raise OutputError("output cannot be written", got="No space left on device")

    monkeypatch.setattr(selection_checkpoint, "write_checkpoint", fail)
    request = request_of(tmp_path / "c")
    with caplog.at_level(logging.WARNING):
        selection = select(request)
    assert_same(selection, select(replace(request, checkpoint=None)))
    assert caplog.text.count("the checkpoint is not written, and work goes on") == 1
    assert "No space left" in caplog.text


def test_what_was_kept_before_the_disk_was_full_is_still_there(tmp_path, monkeypatch):
    request = request_of(tmp_path / "c")
    stop(request, 3)

    def fail(path: str, checkpoint: object) -> None:
        raise OutputError("output cannot be written")

    with monkeypatch.context() as patched:
        patched.setattr(selection_checkpoint, "write_checkpoint", fail)
        run = SelectRun(request)
        with pytest.raises(SystemExit), run:
            run.run(stop_after(6))
        assert run.n_kept == 3
    assert select(request).n_resumed == 3


def test_errors_and_interrupts_leave_none_after_a_short_run(tmp_path):
    for kind in (StopError, KeyboardInterrupt):
        stop(request_of(tmp_path / "c"), 5, kind)
        assert os.listdir(tmp_path) == []


def test_errors_and_interrupts_bring_one_up_to_date(tmp_path):
    request = request_of(tmp_path / "c")
    stop(request, 2)
    for n_picks, kind in ((5, StopError), (7, KeyboardInterrupt)):
        stop(request, n_picks, kind)
        assert read_checkpoint(tmp_path / "c").n_steps == n_picks


def test_picks_outlive_a_result_that_cannot_be_written(stores, monkeypatch):
    monkeypatch.setattr(selection_checkpoint, "SECONDS", 0.0)
    request = replace(stores, output="out", checkpoint=None)

    def fail(*arguments: object, **options: object) -> None:
        raise OutputError("output cannot be written")

    monkeypatch.setattr("prcli.workflows.select_run.write_result", fail)
    run = SelectRun(request)
    with pytest.raises(OutputError, match="cannot be written"), run:  # noqa: PT012
        run.run()
        run.write("out")
    assert read_checkpoint("out.checkpoint").n_steps == 8


def test_a_run_that_was_not_started_removes_nothing(tmp_path):
    request = request_of(tmp_path / "c")
    stop(request, 2)
    with SelectRun(request):
        pass
    assert read_checkpoint(tmp_path / "c").n_steps == 2


def test_slash_at_the_end_of_the_directory_is_left_out():
    assert replace(request_of(None), output="some/out/").checkpoint_path == "some/out.checkpoint"


def test_python_offers_it(tmp_path):
    arguments = {"train": TRAIN, "target": TARGET, "checkpoint": str(tmp_path / "c")}
    with pytest.raises(SystemExit):
        prcli.select(POOL, 6, **arguments, progress=stop_after(2))
    assert prcli.select(POOL, 6, **arguments).n_resumed == 2
