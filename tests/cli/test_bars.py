"""What is told of long work."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

import prcli
from prcli.cli.bars import _MEMORY_SECONDS, LABELS, _columns
from prcli.wording import duration, rate


def test_every_task_has_words_of_its_own():
    """Names of tasks are for programs."""
    folder = Path(prcli.__file__).parent
    told = set()
    for path in folder.rglob("*.py"):
        told |= set(re.findall(r"progress\(\s*\"([\w-]+)\"", path.read_text(encoding="utf-8")))
    assert len(told) > 15
    assert told == set(LABELS)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (185.0, "3 min 5 s"),
        (3599.7, "1 h 0 min"),
        (7800.0, "2 h 10 min"),
    ],
)
def test_durations_are_readable(seconds, expected):
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("per_second", "expected"),
    [
        (0.0, ""),
        (0.02, "50 s each"),
        (0.5, "0.5/s"),
        (347.2, "347/s"),
        (999.9, "1k/s"),
        (12_345.0, "12.3k/s"),
        (2.5e6, "2.5M/s"),
    ],
)
def test_rates_are_readable(per_second, expected):
    assert rate(per_second) == expected


def shown_after(steps, total, seconds=2.0):
    """A bar after reports at equal distances."""
    from rich.console import Console
    from rich.progress import Progress

    now = 0.0
    console = Console(file=io.StringIO(), width=120)
    bars = Progress(
        *_columns(),
        console=console,
        get_time=lambda: now,
        auto_refresh=False,
        speed_estimate_period=_MEMORY_SECONDS,
    )
    task = bars.add_task("picks", total=total)
    for done in steps:
        now += seconds
        bars.update(task, completed=done)
    console.print(bars.get_renderable())
    return " ".join(console.file.getvalue().replace("━", "").replace("╸", "").split())


def test_bars_have_rate_and_time_left():
    assert shown_after([20, 40, 60], 100) == "picks 60/100 10/s 0:00:04 left"


def test_slow_work_tells_what_a_piece_takes():
    shown = shown_after([1, 2], 4, seconds=2000.0)
    assert shown == "picks 2/4 33 min 20 s each 1:06:40 left"


def test_finished_work_tells_what_it_took():
    assert shown_after([50, 100], 100) == "picks 100/100 25/s 0:00:04 taken"


def test_work_of_unknown_length_has_a_rate():
    assert shown_after([20, 40, 60], None) == "picks 60/? 10/s"
