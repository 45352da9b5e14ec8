from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from prcli.parallel.threads import let_idle_threads_sleep

if "numpy" not in sys.modules:
    # As the command does, so that what is measured here is what users have.
    let_idle_threads_sleep()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave measurements out of ordinary runs."""
    if "benchmark" in config.option.markexpr:
        return
    skip = pytest.mark.skip(reason="a measurement; run it with -m benchmark")
    for item in items:
        if item.get_closest_marker("benchmark"):
            item.add_marker(skip)


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print a line even where pytest captures output."""

    def line(text: str) -> None:
        with capsys.disabled():
            print(f"  {text}", flush=True)

    with capsys.disabled():
        print()
    return line
