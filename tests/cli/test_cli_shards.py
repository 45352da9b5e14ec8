from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture
def hessian(prcli):
    assert prcli("hessian", "train.h5", "-o", "h").code == 0
    return "h"


def test_shards_of_a_hessian_merge_with_the_same_verb(prcli, hessian):
    for number in (1, 2, 3):
        done = prcli("hessian", "train.h5", "--shard", f"{number}/3", "-o", f"part-{number}.h")
        assert done.code == 0
    assert prcli("hessian", "part-1.h", "part-2.h", "part-3.h", "-o", "all.h").code == 0
    whole = prcli("score", hessian, "pool.h5", "--order", "file")
    merged = prcli("score", "all.h", "pool.h5", "--order", "file")
    assert merged.column("rank") == whole.column("rank")
    numbers = (list(map(float, each.column("pr"))) for each in (merged, whole))
    assert next(numbers) == pytest.approx(next(numbers), rel=1e-9)


@pytest.mark.parametrize("table_format", ["tsv", "csv", "jsonl", "table"])
def test_tables_of_shards_follow_each_other(prcli, hessian, table_format):
    command = ("score", hessian, "pool.h5", "--per", "atom", "--format", table_format)
    whole = prcli(*command, "--shard", "1/1").text
    parts = [prcli(*command, "--shard", f"{number}/3").text for number in (1, 2, 3)]
    if table_format == "table":
        # Aligned for each by itself.
        whole, parts = (
            ["\t".join(line.split()) for line in text.splitlines()]
            for text in (whole, "".join(parts))
        )
        assert parts == whole
    else:
        assert "".join(parts) == whole


def test_a_shard_has_no_ranks(prcli, hessian):
    header = prcli("score", hessian, "pool.h5", "--shard", "1/2").table[0]
    assert header == ["index", "source", "frame", "n_atoms", "pr"]


@pytest.mark.parametrize(
    ("arguments", "has_header"),
    [
        ("", True),
        ("--no-header", False),
        ("--shard 1/2", True),
        ("--shard 2/2", False),
        ("--shard 2/2 --header", True),
        ("--shard 1/2 --no-header", False),
    ],
)
def test_when_there_is_a_header(prcli, hessian, arguments, has_header):
    done = prcli("score", hessian, "pool.h5", *arguments.split())
    assert done.code == 0
    assert done.text.startswith("index\t") == has_header


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b"])
@pytest.mark.parametrize("command", ["hessian train.h5 -o x", "score h pool.h5"])
def test_what_is_no_shard_is_a_mistake_of_use(fails, hessian, command, text):
    message = fails(*command.split(), "--shard", text, code=2)
    assert f"{text!r} is not I/N, from 1/N to N/N." in message


def test_more_shards_than_structures(fails, hessian):
    for number in (1, 13):
        message = fails("score", hessian, "pool.h5", "--shard", f"{number}/13")
        assert "there are more shards than structures" in message
        assert "at most 12 shards" in message


def test_a_report_of_a_shard_is_a_mistake_of_use(fails):
    message = fails("hessian", "train.h5", "-o", "x", "--shard", "1/2", "--report", code=2)
    assert "--report is of a whole training set" in message


def test_ranks_of_the_whole_are_not_known(fails, hessian):
    message = fails("score", hessian, "pool.h5", "--shard", "1/2", "--top", "3")
    assert "ranks are known only of a whole set" in message
    assert "--shard 1/2, --top" in message


def test_a_configuration_may_name_a_shard(prcli, hessian):
    Path("c.toml").write_text('[score]\nshard = "2/2"\nheader = true\n')
    done = prcli("score", hessian, "pool.h5", "--config", "c.toml")
    assert done.column("index") == [str(i) for i in range(6, 12)]
