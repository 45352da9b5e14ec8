from __future__ import annotations

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from builders import counts_of, source_of, split_frames, write_frames, write_store

pytestmark = pytest.mark.usefixtures("workplace")

SETS = ("--train", "train.h5", "--target", "target.h5", "--pool", "pool.h5")
COLUMNS = (
    "rank index source frame n_atoms cost gain objective "
    "target_pr_mean target_pr_min target_pr_max margin"
).split()


def test_columns_of_the_table(prcli):
    outcome = prcli("select", *SETS, "-n", "3")
    assert outcome.code == 0
    assert outcome.table[0] == COLUMNS
    assert outcome.column("rank") == ["1", "2", "3"]
    assert outcome.column("cost") == ["1", "1", "1"]
    assert set(outcome.column("source")) == {"pool.xyz"}
    counts = counts_of(12, 3)
    assert outcome.column("n_atoms") == [str(counts[int(i)]) for i in outcome.column("index")]
    assert set(os.listdir()) == {
        f"{n}.{e}" for n in ("train", "target", "pool") for e in ("h5", "xyz")
    }


@pytest.mark.parametrize(
    "objective", ["mean-pr", "mean-log-pr", "min-pr", "mean-variance", "log-det"]
)
def test_gain_is_what_the_pick_adds(prcli, objective):
    outcome = prcli("select", *SETS, "-n", "4", "--objective", objective, "-o", "out")
    assert outcome.code == 0
    report = json.loads(Path("out/report.json").read_text())
    values = [report["objective"]["before"]] + [pick["objective"] for pick in report["picks"]]
    gains = [pick["gain"] for pick in report["picks"]]
    np.testing.assert_allclose(gains, np.diff(values), rtol=1e-6)
    assert all(gain > 0 for gain in gains)
    assert all(pick["margin"] >= 0 for pick in report["picks"])


def test_objective_is_the_mean_rigidity_of_the_targets(prcli):
    outcome = prcli("select", *SETS, "-n", "2", "-o", "out")
    assert outcome.code == 0
    table = [line.split("\t") for line in Path("out/targets.tsv").read_text().splitlines()]
    columns = ["index", "source", "frame", "n_atoms", "weight", "pr_before", "pr_after"]
    assert table[0] == columns
    report = json.loads(Path("out/report.json").read_text())
    before, after = (np.array([float(row[k]) for row in table[1:]]) for k in (5, 6))
    assert report["objective"]["before"] == pytest.approx(before.mean(), rel=1e-9)
    last = report["picks"][-1]
    for name, value in (("mean", after.mean()), ("min", after.min()), ("max", after.max())):
        assert last[f"target_pr_{name}"] == pytest.approx(value, rel=1e-9)
    assert last["objective"] == pytest.approx(after.mean(), rel=1e-9)
    assert (after > before).all()


def test_result_directory(prcli):
    outcome = prcli("select", *SETS, "-n", "3", "-o", "out", "--no-report")
    assert outcome.code == 0
    assert outcome.out == b""
    assert sorted(os.listdir("out")) == [
        "report.json",
        "selected.xyz",
        "selection.tsv",
        "targets.tsv",
    ]
    table = prcli("select", *SETS, "-n", "3", "--explain")
    assert Path("out/selection.tsv").read_bytes() == table.out
    frames = split_frames(Path("pool.xyz").read_bytes())
    picked = [frames[int(i)] for i in table.column("frame")]
    assert Path("out/selected.xyz").read_bytes() == b"".join(picked)
    for name in ("out", "3 of 12 candidates", "mean-pr"):
        assert name in outcome.err


def test_report_records_everything(prcli):
    prcli("select", *SETS, "-n", "2", "-o", "out", "--strategy", "random", "--seed", "5")
    report = json.loads(Path("out/report.json").read_text())
    assert report["request"]["seed"] == 5
    assert report["request"]["strategy"] == "random"
    provenance = report["provenance"]
    assert provenance["command"].startswith("prcli select --train train.h5")
    names = [Path(entry["path"]).name for entry in provenance["inputs"]]
    assert names == ["train.h5", "target.h5", "pool.h5"]
    assert {"seed", "energy", "scale", "regularizer"} <= set(provenance["settings"])


def test_frames_on_stdout(prcli):
    table = prcli("select", *SETS, "-n", "4")
    outcome = prcli("select", *SETS, "-n", "4", "-o", "-")
    frames = split_frames(Path("pool.xyz").read_bytes())
    assert outcome.out == b"".join(frames[int(i)] for i in table.column("frame"))
    assert not Path("-").exists()


def test_indices_on_stdout(prcli):
    table = prcli("select", *SETS, "-n", "4")
    Path("pool.xyz").unlink()
    outcome = prcli("select", *SETS, "-n", "4", "--indices")
    assert outcome.code == 0
    pairs = zip(table.column("source"), table.column("frame"), strict=True)
    assert outcome.text == "".join(f"{source}\t{frame}\n" for source, frame in pairs)


@pytest.mark.parametrize("output", ["-", "out"])
def test_indices_and_frames_exclude_each_other(fails, output):
    assert "--indices" in fails("select", *SETS, "-n", "1", "--indices", "-o", output, code=2)


def test_slices_and_several_files_make_one_set(prcli):
    write_store(Path("more.h5"), 5, seed=9, xyz=Path("more.xyz"))
    sets = SETS[:4] + ("--pool", "more.h5@::-2", "--pool", "pool.h5@2:12:3")
    outcome = prcli("select", *sets, "-n", "7")
    order = {
        str(i): pair
        for i, pair in enumerate(
            [("more.xyz", "4"), ("more.xyz", "2"), ("more.xyz", "0")]
            + [("pool.xyz", str(i)) for i in (2, 5, 8, 11)]
        )
    }
    rows = zip(*map(outcome.column, ("index", "source", "frame")), strict=True)
    assert {index: (source, frame) for index, source, frame in rows} == order


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_frames_of_compressed_files_are_copied(prcli, suffix):
    frames = split_frames(Path("pool.xyz").read_bytes())
    packed = write_frames(Path(f"packed.xyz{suffix}"), frames)
    write_store(Path("packed.h5"), 12, seed=3, source=source_of(packed))
    sets = SETS[:4] + ("--pool", "packed.h5")
    plain = prcli("select", *SETS, "-n", "5", "-o", "-")
    assert prcli("select", *sets, "-n", "5", "-o", "-").out == plain.out


def test_windows_line_ends_are_kept(prcli):
    frames = [f.replace(b"\n", b"\r\n") for f in split_frames(Path("pool.xyz").read_bytes())]
    write_frames(Path("dos.xyz"), frames)
    write_store(Path("dos.h5"), 12, seed=3, source=source_of(Path("dos.xyz")))
    sets = SETS[:4] + ("--pool", "dos.h5")
    table = prcli("select", *sets, "-n", "5")
    outcome = prcli("select", *sets, "-n", "5", "-o", "-")
    assert outcome.out == b"".join(frames[int(i)] for i in table.column("frame"))


def test_last_frame_without_line_end_stays_apart(prcli):
    content = Path("pool.xyz").read_bytes()
    Path("cut.xyz").write_bytes(content[:-1])
    write_store(Path("cut.h5"), 12, seed=3, source=source_of(Path("cut.xyz")))
    outcome = prcli("select", *SETS[:4], "--pool", "cut.h5", "-n", "12", "-o", "-")
    found = sorted(frame.rstrip() for frame in split_frames(outcome.out))
    assert found == sorted(frame.rstrip() for frame in split_frames(content))


def test_annotate_adds_two_keys_and_nothing_else(prcli):
    table = prcli("select", *SETS, "-n", "4")
    plain = split_frames(prcli("select", *SETS, "-n", "4", "-o", "-").out)
    marked = split_frames(prcli("select", *SETS, "-n", "4", "-o", "-", "--annotate").out)
    for rank, (before, after, gain) in enumerate(
        zip(plain, marked, table.column("gain"), strict=True), start=1
    ):
        added = f" prcli_rank={rank} prcli_gain={gain}".encode()
        assert after.count(added) == 1
        assert after.replace(added, b"") == before


def test_existing_directory_is_refused(prcli, fails):
    command = ("select", *SETS, "-n", "2", "-o", "out")
    assert prcli(*command).code == 0
    before = Path("out/report.json").read_bytes()
    message = fails(*command)
    assert "out" in message
    assert "--overwrite" in message
    assert Path("out/report.json").read_bytes() == before
    assert prcli("select", *SETS, "-n", "3", "-o", "out", "--overwrite").code == 0
    assert len(split_frames(Path("out/selected.xyz").read_bytes())) == 3


def test_directory_of_somebody_else_is_never_replaced(fails):
    Path("out").mkdir()
    Path("out/thesis.tex").write_text("years")
    assert "not a result" in fails("select", *SETS, "-n", "2", "-o", "out", "--overwrite")
    assert Path("out/thesis.tex").read_text() == "years"


def test_source_that_is_gone_is_an_error_before_the_work(fails):
    Path("pool.xyz").unlink()
    for output in ("out", "-"):
        message = fails("select", *SETS, "-n", "2", "-o", output)
        assert "pool.xyz" in message
        assert "--structures" in message
        assert "--indices" in message
        assert "training set:" not in message
    assert not Path("out").exists()


@pytest.mark.parametrize("same_size", [False, True])
def test_source_that_has_changed_is_an_error_before_the_work(fails, same_size):
    content = bytearray(Path("pool.xyz").read_bytes())
    content[-3] = ord("7") if content[-3] != ord("7") else ord("8")
    Path("pool.xyz").write_bytes(bytes(content) + b"" if same_size else bytes(content) + b"\n")
    os.utime("pool.xyz", ns=(1, 1))
    message = fails("select", *SETS, "-n", "2", "-o", "out")
    for text in ("pool.xyz", "changed", "--structures", "--indices"):
        assert text in message
    assert "training set:" not in message


def test_touched_source_is_the_same(prcli):
    os.utime("pool.xyz", ns=(1, 1))
    assert prcli("select", *SETS, "-n", "2", "-o", "out").code == 0


def test_structures_names_another_file(prcli):
    frames = [
        b"%d\nanother %d\n" % (n, i) + b"C 0 0 0\n" * n for i, n in enumerate(counts_of(12, 3))
    ]
    Path("pool.xyz").unlink()
    write_frames(Path("other.xyz"), frames)
    table = prcli("select", *SETS, "-n", "3")
    outcome = prcli("select", *SETS, "-n", "3", "-o", "-", "--structures", "other.xyz")
    assert outcome.code == 0, outcome.err
    assert outcome.out == b"".join(frames[int(i)] for i in table.column("frame"))


def test_structures_that_do_not_fit_are_refused(fails):
    command = ("select", *SETS, "-n", "3", "-o", "-", "--structures")
    write_frames(Path("short.xyz"), split_frames(Path("pool.xyz").read_bytes())[:4])
    assert "12 frames" in fails(*command, "short.xyz")
    frames = [b"%d\n\n" % (n + 1) + b"C 0 0 0\n" * (n + 1) for n in counts_of(12, 3)]
    write_frames(Path("other.xyz"), frames)
    message = fails(*command, "other.xyz")
    assert "other.xyz, frame 0" in message
    assert "atoms" in message
    assert "1 files" in fails(*command, "pool.xyz", "--structures", "pool.xyz")


def test_store_without_source_needs_structures(prcli, fails):
    write_store(Path("bare.h5"), 12, seed=3)
    sets = SETS[:4] + ("--pool", "bare.h5")
    message = fails("select", *sets, "-n", "3", "-o", "-")
    assert "bare.h5" in message
    assert "--structures" in message
    named = prcli("select", *sets, "-n", "3", "-o", "-", "--structures", "pool.xyz")
    assert named.out == prcli("select", *SETS, "-n", "3", "-o", "-").out
    assert prcli("select", *sets, "-n", "3").column("source") == ["bare.h5"] * 3


def test_different_files_of_one_name_are_not_mixed_up(prcli):
    expected = []
    for name, seed in (("a", 21), ("b", 22)):
        Path(name).mkdir()
        xyz = Path(name, "x.xyz")
        write_store(Path(name, "y.h5"), 3, seed=seed, xyz=xyz)
        write_store(Path(name, "x.h5"), 3, seed=seed, source=source_of(xyz, "x.xyz"))
        expected += split_frames(xyz.read_bytes())
    outcome = prcli(
        "select", *SETS[:4], "--pool", "a/x.h5", "--pool", "b/x.h5", "-n", "6", "-o", "out"
    )
    assert outcome.code == 0, outcome.err
    picks = json.loads(Path("out/report.json").read_text())["picks"]
    found = split_frames(Path("out/selected.xyz").read_bytes())
    assert found == [expected[pick["index"]] for pick in picks]


def test_without_provenance_equal_input_gives_equal_bytes(prcli):
    for name in ("one", "two"):
        assert prcli("select", *SETS, "-n", "3", "-o", name, "--no-provenance").code == 0
    for path in Path("one").iterdir():
        assert path.read_bytes() == (Path("two") / path.name).read_bytes(), path.name


def test_hessian_stands_for_the_training_set(prcli, fails):
    prcli("hessian", "train.h5", "-o", "h.h5")
    expected = prcli("select", *SETS, "-n", "4")
    assert prcli("select", "--hessian", "h.h5", *SETS[2:], "-n", "4").out == expected.out
    assert prcli("select", "--train", "h.h5", *SETS[2:], "-n", "4").out == expected.out
    prcli("hessian", "train.h5@:4", "-o", "part.h5")
    mixed = ("--train", "part.h5", "--train", "train.h5@4:")
    outcome = prcli("select", *mixed, *SETS[2:], "-n", "4")
    assert outcome.column("index") == expected.column("index")
    np.testing.assert_allclose(
        np.array(outcome.column("objective"), float),
        np.array(expected.column("objective"), float),
        rtol=1e-9,
    )


def test_training_set_comes_from_one_place(prcli, fails):
    prcli("hessian", "train.h5", "-o", "h.h5")
    for given in ((), ("--train", "train.h5", "--hessian", "h.h5")):
        message = fails("select", *given, *SETS[2:], "-n", "1", code=2)
        assert "--train" in message
        assert "--hessian" in message


def test_training_structures_in_the_pool_are_warned_of_or_left_out(prcli, fails):
    sets = (*SETS, "--pool", "train.h5@:3")
    outcome = prcli("select", *sets, "-n", "2")
    assert "warning: 3 of the pool's structures are in the training set" in outcome.err
    assert "--exclude-train" in outcome.err
    outcome = prcli("select", *sets, "-n", "12", "--exclude-train")
    assert set(outcome.column("source")) == {"pool.xyz"}
    assert "got:      12 candidates of 15" in fails("select", *sets, "-n", "13", "--exclude-train")
    prcli("hessian", "train.h5", "-o", "h.h5")
    sets = ("--hessian", "h.h5", *sets[2:])
    outcome = prcli("select", *sets, "-n", "12", "--exclude-train")
    assert set(outcome.column("source")) == {"pool.xyz"}


def test_training_structures_twice_are_refused(prcli, fails):
    sets = (*SETS, "--train", "train.h5@:2")
    assert "--allow-duplicates" in fails("select", *sets, "-n", "1")
    assert prcli("select", *sets, "-n", "1", "--allow-duplicates").code == 0


def test_target_weights_from_a_column(prcli):
    weights = np.array([0.0, 0.0, 5.0, 0.0])
    write_store(Path("heavy.h5"), 4, seed=2, columns={"importance": weights})
    sets = (*SETS[:2], "--target", "heavy.h5", *SETS[4:])
    outcome = prcli("select", *sets, "-n", "3", "--target-weight", "importance")
    alone = prcli("select", *SETS[:2], "--target", "heavy.h5@2", *SETS[4:], "-n", "3")
    assert outcome.column("index") == alone.column("index")
    np.testing.assert_allclose(
        np.array(outcome.column("objective"), float),
        np.array(alone.column("objective"), float),
        rtol=1e-9,
    )


def test_target_weights_from_the_comment_line(prcli):
    frames = split_frames(Path("target.xyz").read_bytes())
    marked = [
        frame.replace(b"Properties", b"w=%d Properties" % (i + 1), 1)
        for i, frame in enumerate(frames)
    ]
    write_frames(Path("marked.xyz"), marked)
    write_store(Path("marked.h5"), 4, seed=2, source=source_of(Path("marked.xyz")))
    sets = (*SETS[:2], "--target", "marked.h5", *SETS[4:])
    assert prcli("select", *sets, "-n", "1", "--target-weight", "w", "-o", "out").code == 0
    rows = [line.split("\t") for line in Path("out/targets.tsv").read_text().splitlines()]
    assert [row[4] for row in rows[1:]] == ["1.0", "2.0", "3.0", "4.0"]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1.0, -1.0, 1.0, 1.0], ["structure 1", "-1"]),
        ([1.0, 1.0, np.nan, 1.0], ["structure 2", "nan"]),
        (["a", "b", "c", "d"], ["structure 0", "numbers"]),
        ([0.0, 0.0, 0.0, 0.0], ["no target counts"]),
    ],
)
def test_target_weights_that_are_not_valid(fails, values, texts):
    write_store(Path("heavy.h5"), 4, seed=2, columns={"importance": values})
    sets = (*SETS[:2], "--target", "heavy.h5", *SETS[4:])
    message = fails("select", *sets, "-n", "1", "--target-weight", "importance")
    for text in ["heavy.h5", *texts]:
        assert text in message


def test_target_weight_that_some_frames_lack(fails):
    # Two of the comment lines have an energy that is a finite number.
    message = fails("select", *SETS, "-n", "1", "--target-weight", "energy")
    assert "target.h5, structure 0" in message or "structure 1" in message
    assert "energy" in message
    assert "expected: a weight of every target" in message
    assert "remedy:   write it there, 0 where a target is not to count" in message


def test_unknown_target_weight_lists_the_known(fails):
    message = fails("select", *SETS, "-n", "1", "--target-weight", "energi")
    assert "'energi' is not known" in message
    assert "did you mean 'energy'" in message


def test_target_weight_without_targets(fails):
    sets = (*SETS[:2], *SETS[4:], "--objective", "log-det")
    assert "--target" in fails("select", *sets, "-n", "1", "--target-weight", "energy")


def test_targets_per_atom(prcli):
    outcome = prcli("select", *SETS, "-n", "2", "--target-per", "atom", "-o", "out")
    assert outcome.code == 0
    rows = [line.split("\t") for line in Path("out/targets.tsv").read_text().splitlines()]
    assert rows[0][:4] == ["index", "source", "frame", "atom"]
    counts = counts_of(4, 2)
    assert [row[0] for row in rows[1:]] == [str(i) for i in np.repeat(range(4), counts)]
    assert [row[3] for row in rows[1:]] == [str(k) for n in counts for k in range(n)]
    prcli("hessian", "train.h5", "-o", "h.h5")
    scores = prcli("score", "h.h5", "target.h5", "--per", "atom", "--order", "file")
    np.testing.assert_allclose(
        [float(row[rows[0].index("pr_before")]) for row in rows[1:]],
        np.array(scores.column("lpr"), float),
        rtol=1e-9,
    )


def test_targets_per_atom_need_atoms(fails):
    write_store(Path("means.h5"), per_atom=False)
    sets = (*SETS[:2], "--target", "means.h5", *SETS[4:])
    message = fails("select", *sets, "-n", "1", "--target-per", "atom")
    assert "means.h5" in message
    assert "training set:" not in message


def picked(outcome) -> set[int]:
    assert outcome.code == 0, outcome.err
    return {int(i) for i in outcome.column("index")}


def test_where_filters_the_pool(prcli, fails):
    counts = counts_of(12, 3)
    few = set(np.flatnonzero(counts <= 2).tolist())
    command = ("select", *SETS, "-n", str(len(few)), "--where", "n_atoms <= 2")
    outcome = prcli(*command)
    assert picked(outcome) == few
    assert f"{len(few)} of 12 candidates pass the filter" in outcome.err
    message = fails("select", *SETS, "-n", str(len(few) + 1), "--where", "n_atoms <= 2")
    assert f"{len(few)} candidates of 12" in message
    assert "training set:" not in message


def test_where_reads_the_comment_line(prcli):
    # Every fourth frame is a surface, two of four are bulk.
    command = ("select", *SETS, "-n", "3", "--where")
    assert picked(prcli(*command, "config_type == 'surface'")) == {3, 7, 11}
    assert picked(prcli(*command, "volume < 80")) == {0, 4, 8}


def test_where_counts_elements_without_structures_file(prcli):
    with h5py.File("pool.h5") as file:
        numbers, counts = file["atoms/species"][...], file["structures/n_atoms"][...]
    carbon = np.add.reduceat(numbers == 6, np.concatenate([[0], np.cumsum(counts)[:-1]]))
    Path("pool.xyz").unlink()
    expected = set(np.flatnonzero(carbon >= 1).tolist())
    outcome = prcli("select", *SETS, "-n", str(len(expected)), "--where", "n_C >= 1")
    assert picked(outcome) == expected


def test_where_reads_columns_of_the_store(prcli):
    write_store(Path("c.h5"), 12, seed=3, columns={"energy": np.arange(12.0)})
    outcome = prcli("select", *SETS[:4], "--pool", "c.h5", "-n", "2", "--where", "energy > 9.5")
    assert picked(outcome) == {10, 11}


def test_unknown_name_in_where_lists_the_known(fails):
    message = fails("select", *SETS, "-n", "1", "--where", "densty < 2")
    assert "'densty' is not known" in message
    for name in ("n_atoms", "volume", "density", "formula", "config_type", "energy"):
        assert name in message
    assert "did you mean 'density'" in message


def test_unknown_name_of_a_store_without_structures(fails):
    write_store(Path("bare.h5"), 12, seed=3, columns={"energy": np.arange(12.0)})
    message = fails("select", *SETS[:4], "--pool", "bare.h5", "-n", "1", "--where", "enery < 2")
    assert "'enery' is not known" in message
    assert "energy" in message


@pytest.mark.parametrize("text", ["n_atoms <", "__import__('os')", "n_atoms.real", "(", ""])
def test_where_that_is_no_expression(fails, text):
    assert fails("select", *SETS, "-n", "1", "--where", text)


def test_where_that_nothing_passes(fails):
    assert "0 candidates of 12" in fails("select", *SETS, "-n", "1", "--where", "n_atoms > 99")


def test_stop_gain(prcli):
    everything = prcli("select", *SETS, "-n", "12")
    gains = np.array(everything.column("gain"), float)
    share = float(gains[4] / gains[0])
    outcome = prcli("select", *SETS, "-n", "12", "--stop-gain", share * 1.001, "-o", "out")
    kept = json.loads(Path("out/report.json").read_text())
    assert kept["stopped"] == "stop_gain"
    assert [p["gain"] for p in kept["picks"]] == gains[: len(kept["picks"])].tolist()
    assert len(kept["picks"]) == int(np.argmax(gains < share * 1.001 * gains[0]))
    assert outcome.code == 0


def test_stop_pr(prcli):
    everything = prcli("select", *SETS, "-n", "12")
    lowest = np.array(everything.column("target_pr_min"), float)
    limit = float(lowest[3] * 0.999999)
    outcome = prcli("select", *SETS, "-n", "12", "--stop-pr", repr(limit))
    assert len(outcome.table) - 1 == int(np.argmax(lowest > limit)) + 1


@pytest.mark.parametrize("option", ["--stop-gain", "--stop-pr"])
@pytest.mark.parametrize("value", ["-1", "nan"])
def test_stop_must_not_be_negative(fails, option, value):
    assert option in fails("select", *SETS, "-n", "1", option, value)


@pytest.mark.parametrize("strategy", ["random", "fps", "leverage"])
def test_baselines_have_the_same_columns(prcli, strategy):
    command = ("select", *SETS, "-n", "5", "--strategy", strategy)
    outcome = prcli(*command)
    assert outcome.table[0] == COLUMNS
    assert len(picked(outcome)) == 5
    assert set(outcome.column("margin")) == {"nan"}
    assert prcli(*command).out == outcome.out
    few = picked(prcli(*command[:8], "4", *command[9:], "--where", "config_type == 'bulk'"))
    assert few <= {i for i in range(12) if i % 4 in (1, 2)}


@pytest.mark.parametrize("strategy", ["random", "fps", "leverage"])
def test_baselines_need_no_targets(prcli, strategy):
    sets = (*SETS[:2], *SETS[4:])
    outcome = prcli("select", *sets, "-n", "3", "--strategy", strategy, "-o", "out")
    assert outcome.code == 0, outcome.err
    assert not Path("out/targets.tsv").exists()
    assert len(split_frames(Path("out/selected.xyz").read_bytes())) == 3


def test_seed_decides_the_random_baseline(prcli):
    command = ("select", *SETS, "-n", "6", "--strategy", "random", "--seed")
    runs = [prcli(*command, seed).column("index") for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


def test_log_det_needs_no_targets(prcli):
    sets = (*SETS[:2], *SETS[4:], "--objective", "log-det")
    outcome = prcli("select", *sets, "-n", "3")
    assert outcome.code == 0
    assert set(outcome.column("target_pr_mean")) == {"nan"}
    gains = np.array(outcome.column("gain"), float)
    np.testing.assert_allclose(np.cumsum(gains), np.array(outcome.column("objective"), float))


def test_other_objectives_need_targets(fails):
    message = fails("select", *SETS[:2], *SETS[4:], "-n", "3")
    assert "--target" in message
    assert "log-det" in message
    assert "training set:" not in message


@pytest.mark.parametrize("n", ["0", "-1", "13"])
def test_number_to_select_must_fit_the_pool(fails, n):
    message = fails("select", *SETS, "-n", n)
    assert "candidates" in message or "-n/--n-to-select" in message
    assert "training set:" not in message


def test_everything_can_be_picked(prcli):
    outcome = prcli("select", *SETS, "-n", "12")
    assert picked(outcome) == set(range(12))
    assert outcome.column("margin")[-1] in ("inf", "nan")


@pytest.mark.parametrize("name", ["train", "target", "pool"])
def test_other_width_is_refused_before_the_work(fails, name):
    write_store(Path("wide.h5"), n_features=4, xyz=Path("wide.xyz"))
    sets = [("wide.h5" if text == f"{name}.h5" else text) for text in SETS]
    message = fails("select", *sets, "-n", "1")
    for text in ("wide.h5", "3 features", "4 features"):
        assert text in message
    assert "training set:" not in message


@pytest.mark.parametrize("name", ["target", "pool"])
@pytest.mark.parametrize("as_hessian", [False, True])
def test_other_blocks_are_refused_before_the_work(prcli, fails, name, as_hessian):
    from prcli.records import Block

    write_store(Path("blocks.h5"), blocks=[Block("a", 1), Block("b", 2)], xyz=Path("blocks.xyz"))
    sets = [("blocks.h5" if text == f"{name}.h5" else text) for text in SETS]
    if as_hessian:
        prcli("hessian", "train.h5", "-o", "h.h5")
        sets[1] = "h.h5"
    assert "a:1,b:2" in fails("select", *sets, "-n", "1")


def test_memory_that_does_not_suffice(fails):
    message = fails("select", *SETS, "-n", "1", "--memory", "1K")
    assert "1.0 KiB" in message
    assert "--memory" in message


@pytest.mark.parametrize("text", ["lots", "-1G", "0", "8X"])
def test_memory_that_is_no_size(fails, text):
    assert "--memory" in fails("select", *SETS, "-n", "1", f"--memory={text}")


def test_threads_do_not_decide(prcli):
    one, two = (prcli("select", *SETS, "-n", "12", "--threads", n) for n in (1, 2))
    assert one.column("index") == two.column("index")
    for name in ("gain", "objective", "target_pr_mean", "target_pr_min", "target_pr_max"):
        values = [np.array(outcome.column(name), float) for outcome in (one, two)]
        np.testing.assert_allclose(*values, rtol=1e-9)


def test_threads_must_be_positive(fails):
    assert "--threads" in fails("select", *SETS, "-n", "1", "--threads", "0")


def test_pool_on_stdin(prcli, fails):
    from builders import atoms_for, frames_of

    counts = counts_of(12, 3)
    content = b"".join(frames_of(counts, seed=3, atoms=atoms_for(counts, 3, 3)))
    sets = (*SETS[:4], "--pool", "-", "--feature-key", "feats")
    outcome = prcli("select", *sets, "-n", "3", stdin=content)
    expected = prcli("select", *SETS, "-n", "3")
    assert outcome.column("index") == expected.column("index")
    assert outcome.column("source") == ["-"] * 3
    lines = prcli("select", *sets, "-n", "3", "--indices", stdin=content).text.splitlines()
    assert lines == [f"-\t{i}" for i in expected.column("frame")]
    frames = split_frames(content)
    copied = prcli("select", *sets, "-n", "3", "-o", "-", stdin=content)
    assert copied.out == b"".join(frames[int(i)] for i in expected.column("frame"))
    assert "once" in fails("select", *sets, "--target", "-", "-n", "3", stdin=content)


def test_a_budget_says_how_many_and_how_the_searches_compare(prcli):
    outcome = prcli("select", *SETS, "--budget", "12", "--cost", "n_atoms")
    assert outcome.code == 0
    costs = [float(cost) for cost in outcome.column("cost")]
    assert costs == [float(n) for n in outcome.column("n_atoms")]
    assert 0.0 < sum(costs) <= 12.0
    for line in ("greedy by gain per cost", "greedy by gain until the budget", "best single"):
        assert line in outcome.err
    assert "holds for log-det only" in outcome.err
    quiet = prcli("select", *SETS, "--budget", "12", "--cost", "n_atoms", "-q")
    assert quiet.out == outcome.out
    assert "best single" not in quiet.err


def test_number_or_budget_is_needed(fails):
    assert "Give -n/--n-to-select, or --budget" in fails("select", *SETS, code=2)
    assert "--budget needs costs" in fails("select", *SETS, "--budget", "3")


def test_quotas_that_cannot_be_met_say_what_can(fails):
    message = fails("select", *SETS, "-n", "4", "--at-most", "n_atoms=*:0")
    assert "ceilings do not leave enough" in message
    assert "0 at most" in message
    assert "cannot be understood" in fails("select", *SETS, "-n", "4", "--quota", "n_atoms:3")


def test_constraints_from_a_file_of_settings(prcli):
    Path("c.toml").write_text(
        '[select]\nbudget = 12\ncost = "n_atoms"\nat-most = ["n_atoms=1:1", "n_atoms=2:1"]\n'
        "refine = 2\nbound = true\n"
    )
    outcome = prcli("select", *SETS, "--config", "c.toml")
    assert outcome.code == 0
    numbers = outcome.column("n_atoms")
    assert numbers.count("1") <= 1
    assert numbers.count("2") <= 1
    assert "exchanges in" in outcome.err
    assert "% of the best possible set" in outcome.err


def test_earlier_choices_are_left_out_or_kept(prcli):
    first = prcli("select", *SETS, "-n", "3", "--indices")
    Path("chosen").write_bytes(first.out)
    whole = prcli("select", *SETS, "-n", "5")
    rest = prcli("select", *SETS, "-n", "2", "--include", "chosen")
    assert rest.column("index") == whole.column("index")[3:]
    others = prcli("select", *SETS, "-n", "2", "--exclude", "chosen")
    assert not set(others.column("index")) & set(whole.column("index")[:3])


def test_help_has_a_section_for_constraints(prcli):
    text = prcli("select", "--help").text
    options, constraints = text.split("\nBudget and constraints:\n")
    assert "--pool DATA" in options
    assert "--min-distance" in constraints
    assert "--min-distance" not in options


def test_missing_structures_name_what_needs_none(fails):
    Path("pool.xyz").unlink()
    message = fails("select", *SETS, "-n", "1", "-o", "out")
    assert "--structures" in message
    assert "--indices" in message
