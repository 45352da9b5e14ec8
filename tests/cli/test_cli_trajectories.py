from __future__ import annotations

import os
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from builders import atoms_for, counts_of, frames_of, split_frames, write_frames

pytestmark = pytest.mark.usefixtures("hessian")


@pytest.fixture
def hessian(workplace, prcli):
    assert prcli("hessian", "train.h5", "-o", "h.h5").code == 0


def numbers(outcome, name: str) -> np.ndarray:
    return np.array(outcome.column(name), float)


def mean_of(prcli, data: str, *arguments: str) -> float:
    name = "lpr" if "atom" in arguments else "pr"
    return float(numbers(prcli("score", "h.h5", data, *arguments), name).mean())


def test_rigidities_relative_to_a_test_set(prcli):
    mean = mean_of(prcli, "target.h5")
    outcome = prcli("score", "h.h5", "pool.h5", "--relative-to", "target.h5")
    assert outcome.code == 0
    assert outcome.table[0][-3:] == ["rank", "relative_pr", "relative_variance"]
    assert outcome.column("index") == [str(i) for i in range(12)]
    pr = numbers(outcome, "pr")
    np.testing.assert_allclose(numbers(outcome, "relative_pr"), pr / mean, rtol=1e-12)
    np.testing.assert_allclose(numbers(outcome, "relative_variance"), mean / pr, rtol=1e-12)


def test_several_references_are_one_set(prcli):
    pr = [numbers(prcli("score", "h.h5", name), "pr") for name in ("target.h5", "train.h5")]
    mean = np.concatenate(pr).mean()
    outcome = prcli(
        *("score", "h.h5", "pool.h5", "--relative-to", "target.h5", "--relative-to", "train.h5")
    )
    expected = numbers(outcome, "pr") / mean
    np.testing.assert_allclose(numbers(outcome, "relative_pr"), expected, rtol=1e-12)


def test_moving_averages(prcli):
    outcome = prcli("score", "h.h5", "pool.h5", "--relative-to", "target.h5", "--window", 4)
    for name in ("relative_pr", "relative_variance"):
        values, averages = numbers(outcome, name), numbers(outcome, f"{name}_average")
        assert np.isnan(averages[:3]).all()
        for i in range(3, 12):
            np.testing.assert_allclose(averages[i], values[i - 3 : i + 1].mean(), rtol=1e-12)


def test_order_of_the_table_does_not_change_averages(prcli):
    arguments = ("score", "h.h5", "pool.h5", "--relative-to", "target.h5", "--window", 3)
    whole, ranked = prcli(*arguments), prcli(*arguments, "--order", "rank", "--top", 5)
    rows = {row[0]: row for row in whole.table}
    assert len(ranked.table) == 6
    assert [rows[row[0]] for row in ranked.table] == ranked.table


@pytest.mark.parametrize("window", [None, 3])
def test_first_frame_below_the_threshold(prcli, window):
    arguments = ["score", "h.h5", "pool.h5", "--relative-to", "target.h5"]
    arguments += [] if window is None else ["--window", window]
    found = prcli(*arguments)
    values = numbers(found, "relative_pr" if window is None else "relative_pr_average")
    threshold = float(np.nanmedian(values))
    first = int(np.flatnonzero(values < threshold)[0])
    outcome = prcli(*arguments, "--threshold", threshold)
    assert outcome.code == 3
    assert f"index {first} (pool.xyz, frame {first})" in outcome.err
    assert outcome.out == found.out
    outcome = prcli(*arguments, "--threshold", 0.5 * np.nanmin(values))
    assert outcome.code == 0
    assert "never fell below" in outcome.err


def test_atoms_relative_to_the_first_frame(prcli):
    outcome = prcli(
        *("score", "h.h5", "pool.h5", "--per", "atom", "--relative-to", "first", "--write", "w.xyz")
    )
    lpr = numbers(outcome, "lpr")
    expected = lpr / lpr[: counts_of(12, 3)[0]].mean()
    np.testing.assert_allclose(numbers(outcome, "relative_lpr"), expected, rtol=1e-12)
    frames = split_frames(Path("w.xyz").read_bytes())
    assert all(b"prcli_lpr:R:1:prcli_relative_lpr:R:1" in frame for frame in frames)
    lines = [line for frame in frames for line in frame.splitlines()[2:]]
    written = [float(line.split()[-1]) for line in lines]
    np.testing.assert_array_equal(written, numbers(outcome, "relative_lpr"))


def test_structures_are_written_with_their_averages(prcli):
    outcome = prcli(
        *("score", "h.h5", "pool.h5", "--relative-to", "first", "--window", 2, "--write", "w.xyz")
    )
    assert float(outcome.column("relative_pr")[0]) == 1.0
    for frame, x, average in zip(
        split_frames(Path("w.xyz").read_bytes()),
        outcome.column("relative_pr"),
        outcome.column("relative_pr_average"),
        strict=True,
    ):
        text = f" prcli_relative_pr={x} prcli_relative_pr_average={average}"
        assert text.encode() in frame


def test_rows_of_zeros_are_left_out_of_averages(prcli):
    with h5py.File("pool.h5", "r+") as file:
        file["structures/features"][4] = 0.0
    outcome = prcli("score", "h.h5", "pool.h5", "--relative-to", "target.h5", "--window", 3)
    values, averages = numbers(outcome, "relative_pr"), numbers(outcome, "relative_pr_average")
    assert (outcome.column("relative_pr")[4], outcome.column("relative_variance")[4]) == (
        "inf",
        "0.0",
    )
    np.testing.assert_allclose(averages[5], values[[3, 5]].mean(), rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--relative-to", "target.h5", "--window", "13"), "longer than the trajectory"),
        (("--relative-to", "target.h5", "--window", "0"), "--window must be at least 1"),
        (("--relative-to", "target.h5", "--threshold", "-1"), "must be a finite number above 0"),
        (("--relative-to", "first", "--relative-to", "target.h5"), "./first"),
        (("--relative-to", "target.h5", "--per", "atom", "--window", "2"), "--per structure"),
        (("--relative-to", "target.h5", "--shard", "1/2"), "whole trajectory"),
        (("--relative-to", "absent.h5"), "absent.h5"),
    ],
)
def test_bad_requests(fails, arguments, words):
    assert words in fails("score", "h.h5", "pool.h5", *arguments)


@pytest.mark.parametrize("name", ["--window", "--threshold"])
def test_averages_need_a_reference(fails, name):
    assert "--relative-to" in fails("score", "h.h5", "pool.h5", name, "2", code=2)


class Clock:
    """Time that passes only while somebody waits, and what happens meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *events) -> None:
        self.now, self.events = 0.0, list(events)
        monkeypatch.setattr("prcli.workflows.growing_data.time", self)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.events:
            self.events.pop(0)()


FOLLOW = ("--follow", "--interval", "1", "--until-idle", "3")
CARRIED = ("--feature-key", "feats")


def trajectory(n_frames: int) -> list[bytes]:
    counts = counts_of(n_frames, 3)
    return frames_of(counts, seed=3, atoms=atoms_for(counts, 3, 3))


@pytest.mark.parametrize("per", ["structure", "atom"])
def test_following_frames_gives_the_table_of_the_whole(prcli, monkeypatch, per):
    content = b"".join(trajectory(9))
    write_frames(Path("whole.xyz"), [content])
    more = ("--per", per, "--relative-to", "target.h5", *CARRIED)
    more += ("--window", "4") if per == "structure" else ()
    whole = prcli("score", "h.h5", "whole.xyz", *more)
    cuts = [0, 10, len(content) // 3, len(content) // 2, len(content) - 5, len(content)]
    file = open("md.xyz", "wb")  # noqa: SIM115 - written to while it is followed

    def grow(first: int, last: int):
        return lambda: (file.write(content[first:last]), file.flush())

    clock = Clock(monkeypatch, *(grow(a, b) for a, b in zip(cuts[:-1], cuts[1:], strict=True)))
    with file:
        outcome = prcli("score", "h.h5", "md.xyz", *more, *FOLLOW)
    assert outcome.code == 0, outcome.err
    assert clock.events == []
    rank = whole.table[0].index("rank")
    expected = [row[:rank] + row[rank + 1 :] for row in whole.table]
    assert [[text.replace("md.xyz", "whole.xyz") for text in row] for row in outcome.table] == (
        expected
    )
    assert outcome.err.count("columns") <= 1
    assert "9 structures were scored" in outcome.err


def test_following_a_store_that_is_replaced(prcli, monkeypatch):
    whole = prcli("score", "h.h5", "pool.h5", "--order", "file")

    def replace(n_structures: int):
        def act() -> None:
            write_first(n_structures)
            os.replace("cut.h5", "md.h5")

        return act

    replace(2)()
    Clock(monkeypatch, replace(5), replace(5), replace(11))
    outcome = prcli("score", "h.h5", "md.h5", *FOLLOW)
    assert outcome.code == 0, outcome.err
    for name in ("index", "frame", "n_atoms", "pr"):
        assert outcome.column(name) == whole.column(name)[:11]
    assert set(outcome.column("source")) == {"md.h5"}


def write_first(n: int) -> None:
    """Write the first n structures of the pool into a store of their own."""
    with h5py.File("pool.h5") as whole, h5py.File("cut.h5", "w") as cut:
        for name in ("format", "version", "convention"):
            cut.attrs[name] = whole.attrs[name]
        n_atoms = int(whole["structures/n_atoms"][:n].sum())
        for name in ("structures/n_atoms", "structures/features"):
            cut[name] = whole[name][:n]
        for name in ("atoms/features", "atoms/species"):
            cut[name] = whole[name][:n_atoms]


def test_following_ends_at_the_threshold(prcli, monkeypatch):
    frames = trajectory(8)
    write_frames(Path("whole.xyz"), frames)
    arguments = ("--relative-to", "first", *CARRIED)
    values = numbers(prcli("score", "h.h5", "whole.xyz", *arguments), "relative_pr")
    first = int(np.argmin(values))
    assert 0 < first
    threshold = float(np.sort(values)[:2].mean())
    file = open("md.xyz", "wb")  # noqa: SIM115 - written to while it is followed
    file.write(frames[0])
    file.flush()
    Clock(monkeypatch, *(lambda f=f: (file.write(f), file.flush()) for f in frames[1:]))
    with file:
        outcome = prcli(
            *("score", "h.h5", "md.xyz", *arguments, "--threshold", threshold),
            *("--follow", "--interval", "1"),
        )
    assert outcome.code == 3
    assert f"first at index {first} (md.xyz, frame {first})" in outcome.err
    assert outcome.column("index")[-1] == str(first)


def test_a_table_ends_at_the_threshold_however_many_frames_come_at_once(prcli, monkeypatch):
    write_frames(Path("md.xyz"), trajectory(8))
    arguments = ("--relative-to", "first", *CARRIED)
    values = numbers(prcli("score", "h.h5", "md.xyz", *arguments), "relative_pr")
    threshold = float(np.sort(values)[:5].mean())
    first = int(np.argmax(values < threshold))
    assert first < 7
    Clock(monkeypatch)
    outcome = prcli("score", "h.h5", "md.xyz", *arguments, "--threshold", threshold, *FOLLOW)
    assert outcome.code == 3
    assert outcome.column("index") == [str(i) for i in range(first + 1)]


def test_an_interrupt_ends_following_without_loss(prcli, monkeypatch):
    write_frames(Path("md.xyz"), trajectory(3))

    def interrupt() -> None:
        raise KeyboardInterrupt

    Clock(monkeypatch, interrupt)
    outcome = prcli("score", "h.h5", "md.xyz", *CARRIED, "--follow")
    assert outcome.code == 130
    assert len(outcome.table) == 4


def test_a_frame_that_is_never_finished_is_left_out(prcli, monkeypatch):
    frames = trajectory(3)
    write_frames(Path("md.xyz"), [*frames[:2], frames[2][:-20]])
    Clock(monkeypatch)
    outcome = prcli("score", "h.h5", "md.xyz", *CARRIED, *FOLLOW)
    assert outcome.code == 0
    assert len(outcome.table) == 3
    assert f"ends within a frame, which is left out: {len(frames[2]) - 20} bytes" in outcome.err


def test_a_bad_frame_names_the_file_that_is_followed(prcli, monkeypatch):
    frames = trajectory(3)
    write_frames(Path("md.xyz"), frames)
    bad = frames_of([2], seed=1)[0]

    def grow() -> None:
        with open("md.xyz", "ab") as file:
            file.write(bad)

    Clock(monkeypatch, grow)
    outcome = prcli("score", "h.h5", "md.xyz", *CARRIED, *FOLLOW)
    assert outcome.code == 1
    assert "md.xyz" in outcome.err
    assert "of what came after frame 2" in outcome.err
    write_frames(Path("md.xyz"), [bad])
    alone = prcli("score", "h.h5", "md.xyz", *CARRIED, *FOLLOW).err
    assert "md.xyz" in alone
    assert "of what came" not in alone
    assert str(tempfile.gettempdir()) not in outcome.err
    assert len(outcome.table) == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--write", "w.xyz"), "never complete"),
        (("--top", "2"), "never complete"),
        (("--order", "rank"), "never complete"),
        (("--until-idle", "0"), "positive number of seconds"),
        (("target.h5",), "only one file"),
    ],
)
def test_what_needs_a_complete_file_is_refused(fails, arguments, words):
    assert words in fails("score", "h.h5", "pool.h5", *arguments, "--follow")


@pytest.mark.parametrize("name", ["absent.h5", "pool.h5@:3", "-", "h.h5", "pool.xyz"])
def test_what_cannot_be_followed_is_refused(fails, name):
    assert name in fails("score", "h.h5", name, *FOLLOW)


def test_following_options_need_follow(fails):
    assert "--follow" in fails("score", "h.h5", "pool.h5", "--until-idle", "3", code=2)
    assert "tsv" in fails("score", "h.h5", "pool.h5", "--follow", "--format", "table", code=2)
