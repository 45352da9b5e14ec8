"""Long reading is told of, whatever is read."""

from __future__ import annotations

import numpy as np
from builders import write_store

import prcli
from prcli.workflows.input_options import InputOptions
from prcli.workflows.inputs import open_input


def test_features_that_are_carried_are_told_of(tmp_path):
    frame = "1\nProperties=species:S:1:pos:R:3:f:R:2\nC 0 0 0 {} 2\n"
    path = tmp_path / "carried.xyz"
    path.write_text("".join(frame.format(i) for i in range(5)))
    seen = []
    options = InputOptions(feature_key="f")
    with open_input([path], "train", options, progress=lambda *step: seen.append(step)):
        assert seen == [("import", 5, 5)]


def test_reading_of_the_pool_is_told_of_at_every_pass(tmp_path):
    rng = np.random.default_rng(0)
    write_store(tmp_path / "pool.h5", 12, seed=3)
    with prcli.open_store(tmp_path / "pool.h5") as store:
        n_columns = store.n_features
    rows = rng.normal(size=(30, n_columns))
    seen = []
    prcli.select(
        tmp_path / "pool.h5",
        2,
        train=rows[:20],
        target=rows[20:],
        progress=lambda *step: seen.append(step),
    )
    tasks = [step for step in seen if step[0] in ("pool", "select")]
    assert tasks[0] == ("pool", 12, 12)
    assert tasks[-1] == ("select", 2, 2)
