from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from builders import assert_same_hessian, counts_of, gradients_of, write_store

from prcli.data.hessian_file import read_hessian
from prcli.records import Loss

pytestmark = pytest.mark.usefixtures("workplace")


def test_writes_a_hessian_and_says_so_on_stderr(prcli):
    outcome = prcli("hessian", "train.h5", "-o", "h.h5")
    assert outcome.code == 0
    assert outcome.out == b""
    for text in ("h.h5", "10 structures", "3 features", "atom-rms", "regularizer 1e-05"):
        assert text in outcome.err
    with h5py.File("h.h5") as file:
        assert file.attrs["format"] == "prcli-hessian"
        assert file.attrs["version"] == 1
        factor = file["R/energy"][...]
    assert factor.dtype == np.float64
    np.testing.assert_array_equal(factor, np.triu(factor))


def test_quiet_says_nothing(prcli):
    assert prcli("hessian", "train.h5", "-o", "h.h5", "-q").err == ""


@pytest.mark.parametrize("energy", [[], ["--energy", "total"]])
@pytest.mark.parametrize("intercept", [[], ["--intercept", "species"]])
def test_any_mix_of_shards_is_the_union(prcli, energy, intercept):
    options = [*energy, *intercept]
    if intercept:
        # A shard knows the elements of its own structures only: all are in the first part.
        prcli("hessian", "train.h5@:6", "-o", "first.h5", *options)
        if read_hessian("first.h5").intercept.species != (1, 6, 8):
            pytest.fail("the first shard must hold all elements")
    prcli("hessian", "train.h5", "-o", "all.h5", *options)
    prcli("hessian", "train.h5@:6", "-o", "one.h5", *options)
    prcli("hessian", "one.h5", "train.h5@6:8", "-o", "two.h5")
    prcli("hessian", "train.h5@8:", "two.h5", "-o", "three.h5")
    assert_same_hessian(read_hessian("all.h5"), read_hessian("three.h5"))
    scores = [prcli("score", name, "pool.h5", "--order", "file") for name in ("all.h5", "three.h5")]
    np.testing.assert_allclose(
        np.array(scores[0].column("pr"), float), np.array(scores[1].column("pr"), float), rtol=1e-9
    )


def test_shards_merge_with_the_same_verb(prcli):
    for i, part in enumerate((":3", "3:4", "4:")):
        assert prcli("hessian", f"train.h5@{part}", "-o", f"part-{i}.h5").code == 0
    assert prcli("hessian", *(f"part-{i}.h5" for i in (2, 0, 1)), "-o", "merged.h5").code == 0
    prcli("hessian", "train.h5", "-o", "all.h5")
    assert_same_hessian(read_hessian("all.h5"), read_hessian("merged.h5"))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--regularizer", "1e-3"], "--regularizer"),
        (["--scale", "none"], "--scale"),
        (["--scale", "2"], "--scale"),
        (["--energy", "total"], "energy"),
        (["--intercept", "atom"], "intercept"),
    ],
)
def test_hessians_that_disagree_are_refused(prcli, fails, options, named):
    prcli("hessian", "train.h5@:6", "-o", "one.h5")
    prcli("hessian", "train.h5@6:", "-o", "two.h5", *options)
    assert named in fails("hessian", "one.h5", "two.h5", "-o", "merged.h5")
    assert not Path("merged.h5").exists()


@pytest.mark.parametrize("option", [("--regularizer", "1e-4"), ("--scale", "structure-rms")])
def test_option_settles_what_hessians_disagree_on(prcli, option):
    prcli("hessian", "train.h5@:6", "-o", "one.h5")
    prcli("hessian", "train.h5@6:", "-o", "two.h5", *option)
    assert prcli("hessian", "one.h5", "two.h5", "-o", "merged.h5", *option).code == 0
    prcli("hessian", "train.h5", "-o", "all.h5", *option)
    assert_same_hessian(read_hessian("all.h5"), read_hessian("merged.h5"))


def test_option_that_overrides_a_file_is_reported(prcli):
    prcli("hessian", "train.h5", "-o", "one.h5")
    outcome = prcli("hessian", "one.h5", "-o", "two.h5", "--regularizer", "0.25")
    assert outcome.code == 0
    assert "regularizer 1e-05 of the Hessian file is overridden by 0.25" in outcome.err
    assert read_hessian("two.h5").regularizer == 0.25


@pytest.mark.parametrize("option", [("--energy", "total"), ("--intercept", "atom")])
def test_option_that_contradicts_the_rows_is_refused(prcli, fails, option):
    prcli("hessian", "train.h5", "-o", "one.h5")
    assert option[0] in fails("hessian", "one.h5", "-o", "two.h5", *option)


def test_rows_added_twice_are_refused(fails):
    message = fails("hessian", "train.h5", "train.h5@2:4", "-o", "h.h5")
    assert "2 of 12 training structures are counted twice" in message
    assert "--allow-duplicates" in message


def test_shards_that_overlap_are_refused(prcli, fails):
    prcli("hessian", "train.h5@:6", "-o", "one.h5")
    assert "1 of 11" in fails("hessian", "one.h5", "train.h5@5:", "-o", "two.h5")
    assert "6 of 12" in fails("hessian", "one.h5", "one.h5", "-o", "two.h5")


def test_duplicates_are_counted_twice_where_allowed(prcli):
    options = ("--regularizer", "1", "--scale", "none")
    prcli("hessian", "train.h5", "train.h5", "-o", "twice.h5", "--allow-duplicates", *options)
    prcli("hessian", "train.h5", "-o", "once.h5", *options)
    twice, once = read_hessian("twice.h5"), read_hessian("once.h5")
    assert twice.n_structures == 2 * once.n_structures
    np.testing.assert_allclose(
        twice.R["energy"].T @ twice.R["energy"], 2 * once.R["energy"].T @ once.R["energy"]
    )


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ("--scale=atom-rms", "atom-rms"),
        ("--scale=structure-rms", "structure-rms"),
        ("--scale=none", "none"),
        ("--scale=2.5", "value"),
    ],
)
def test_scale_rules(prcli, option, word):
    prcli("hessian", "train.h5", "-o", "h.h5", option)
    record = read_hessian("h.h5")
    expected = {
        "atom-rms": np.sqrt(record.sum_sq_atoms / record.n_atoms),
        "structure-rms": np.sqrt(record.sum_sq_structures / record.n_structures),
        "none": 1.0,
        "value": 2.5,
    }
    assert record.scale_rule == word
    assert record.scale == pytest.approx(expected[word], rel=1e-14)


def test_scale_is_structure_rms_without_atoms(prcli, fails):
    write_store(Path("means.h5"), per_atom=False)
    assert prcli("hessian", "means.h5", "-o", "h.h5").code == 0
    assert read_hessian("h.h5").scale_rule == "structure-rms"
    message = fails("hessian", "means.h5", "-o", "i.h5", "--scale", "atom-rms")
    assert "structure-rms" in message


def test_auto_regularizer_is_said(prcli):
    outcome = prcli("hessian", "train.h5", "-o", "h.h5", "--regularizer", "auto")
    assert outcome.code == 0
    assert f"regularizer auto: {read_hessian('h.h5').regularizer:.6g}" in outcome.err


def test_zero_regularizer_with_full_rank(prcli):
    assert prcli("hessian", "train.h5", "-o", "h.h5", "--regularizer", "0").code == 0


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (["--regularizer", "-1"], ["--regularizer", "not negative", "-1"]),
        (["--regularizer", "nan"], ["--regularizer", "nan"]),
        (["--scale", "0"], ["--scale", "0"]),
        (["--scale", "-2"], ["--scale", "-2"]),
        (["--scale", "inf"], ["--scale", "inf"]),
    ],
)
def test_numbers_out_of_range_are_refused(fails, options, texts):
    message = fails("hessian", "train.h5", "-o", "h.h5", *options)
    for text in texts:
        assert text in message


def test_zero_regularizer_with_a_rank_deficient_set_is_refused(fails):
    message = fails("hessian", "train.h5@:2", "-o", "h.h5", "--regularizer", "0")
    assert "singular" in message
    assert not Path("h.h5").exists()


def test_existing_output_is_refused(prcli, fails):
    Path("h.h5").write_text("mine")
    message = fails("hessian", "train.h5", "-o", "h.h5")
    assert "h.h5" in message
    assert "--overwrite" in message
    assert Path("h.h5").read_text() == "mine"
    assert prcli("hessian", "train.h5", "-o", "h.h5", "--overwrite").code == 0
    assert read_hessian("h.h5").n_structures == 10


def test_without_provenance_equal_input_gives_equal_bytes(prcli):
    for name in ("one.h5", "two.h5"):
        assert prcli("hessian", "train.h5", "-o", name, "--no-provenance").code == 0
    assert Path("one.h5").read_bytes() == Path("two.h5").read_bytes()
    Path("elsewhere").mkdir()
    shutil.copy("train.h5", "elsewhere/copy.h5")
    prcli("hessian", "elsewhere/copy.h5", "-o", "three.h5", "--no-provenance")
    assert Path("one.h5").read_bytes() == Path("three.h5").read_bytes()


def test_provenance_names_inputs_and_numbers(prcli):
    prcli("hessian", "train.h5@:6", "-o", "one.h5")
    prcli("hessian", "one.h5", "train.h5@6:", "-o", "it's all.h5")
    with h5py.File("it's all.h5") as file:
        text = file.attrs["provenance"]
    found = json.loads(text)
    assert found["command"] == "prcli hessian one.h5 train.h5@6: -o 'it'\"'\"'s all.h5'"
    assert {Path(entry["path"]).name for entry in found["inputs"]} == {"one.h5", "train.h5"}
    assert all(entry["size"] and entry["mtime_ns"] and entry["digest"] for entry in found["inputs"])
    assert found["settings"]["regularizer"] == 1e-5
    assert found["settings"]["scale_rule"] == "atom-rms"


def test_widths_that_differ_are_refused(prcli, fails):
    write_store(Path("wide.h5"), n_features=4)
    message = fails("hessian", "train.h5", "wide.h5", "-o", "h.h5")
    for text in ("train.h5", "wide.h5", "3 features", "4 features"):
        assert text in message
    prcli("hessian", "train.h5", "-o", "h.h5")
    assert "4 features" in fails("hessian", "h.h5", "wide.h5", "-o", "i.h5")


def test_blocks_that_differ_are_refused(prcli, fails):
    from prcli.records import Block

    write_store(Path("blocks.h5"), seed=9, blocks=[Block("a", 1), Block("b", 2)])
    assert "a:1,b:2" in fails("hessian", "train.h5", "blocks.h5", "-o", "h.h5")
    prcli("hessian", "train.h5", "-o", "h.h5")
    assert "blocks" in fails("hessian", "h.h5", "blocks.h5", "-o", "i.h5")


def test_other_float_type_is_only_a_note(prcli):
    write_store(Path("single.h5"), seed=9, dtype=np.float32)
    assert prcli("hessian", "train.h5", "single.h5", "-o", "h.h5").code == 0


def test_standard_output_is_no_place_for_a_hessian(fails):
    assert "standard output" in fails("hessian", "train.h5", "-o", "-", code=2)
    assert not Path("-").exists()


def test_no_input_is_a_usage_error(fails):
    assert "IN..." in fails("hessian", "-o", "h.h5", code=2)
    assert "--output" in fails("hessian", "train.h5", code=2)


def test_unknown_option_names_the_nearest(fails):
    assert "--regularizer" in fails("hessian", "train.h5", "--regulariser", "1", code=2)


# --- forces, stresses, weights, losses and priors -------------------------------------------


@pytest.fixture
def forces(workplace):
    """A training set with forces and stresses, and weights of structures."""
    counts = counts_of(10, 1)
    columns = {
        "w": np.linspace(0.5, 2.0, 10),
        "energy": np.zeros(10),
        "energy_predicted": counts * np.where(np.arange(10) < 7, 0.01, 1.0),
    }
    return write_store(
        Path("forces.h5"), 10, seed=1, gradients=gradients_of(counts, seed=1), columns=columns
    )


def test_hessian_with_forces(prcli, forces):
    outcome = prcli("hessian", "forces.h5", "-o", "h.h5")
    assert outcome.code == 0, outcome.err
    assert "--energy-weight 1, --force-weight 1, --stress-weight 1" in outcome.err
    record = read_hessian("h.h5")
    n_atoms = int(counts_of(10, 1).sum())
    assert record.n_rows == {"energy": 10, "force": 3 * n_atoms, "stress": 60}
    prcli("hessian", "forces.h5@:4", "-o", "one.h5")
    prcli("hessian", "one.h5", "forces.h5@4:", "-o", "two.h5")
    assert_same_hessian(record, read_hessian("two.h5"))


def test_weights_of_a_finished_hessian_change_without_the_data(prcli, forces):
    options = ("--force-weight", "10", "--stress-weight", "0", "--reduction", "mean")
    prcli("hessian", "forces.h5", "-o", "direct.h5", *options)
    prcli("hessian", "forces.h5", "-o", "plain.h5")
    forces.unlink()
    outcome = prcli("hessian", "plain.h5", "-o", "changed.h5", *options)
    assert outcome.code == 0, outcome.err
    assert "force_weight 1 of the Hessian file is overridden by 10" in outcome.err
    record = read_hessian("changed.h5")
    assert (record.force_weight, record.stress_weight, record.reduction) == (10.0, 0.0, "mean")
    expected = prcli("score", "direct.h5", "pool.h5").column("pr")
    assert prcli("score", "changed.h5", "pool.h5").column("pr") == expected
    scored = prcli("score", "plain.h5", "pool.h5", *options)
    assert scored.column("pr") == expected
    assert "overridden" in scored.err


def test_weight_without_rows_is_refused(fails):
    assert "--force-weight" in fails("hessian", "train.h5", "-o", "h.h5", "--force-weight", "1")
    assert not Path("h.h5").exists()


@pytest.mark.parametrize("value", ["-1", "nan", "inf"])
def test_weights_out_of_range_are_refused(fails, value):
    message = fails("hessian", "train.h5", "-o", "h.h5", "--stress-weight", value)
    assert "--stress-weight" in message


def test_files_of_different_weights_need_the_option(prcli, fails, forces):
    prcli("hessian", "forces.h5@:4", "-o", "one.h5")
    prcli("hessian", "forces.h5@4:", "-o", "two.h5", "--force-weight", "3")
    assert "--force-weight" in fails("hessian", "one.h5", "two.h5", "-o", "both.h5")
    assert prcli("hessian", "one.h5", "two.h5", "-o", "both.h5", "--force-weight", "3").code == 0


def test_loss_options_reach_the_rows(prcli, forces):
    prcli("hessian", "forces.h5", "-o", "h.h5", "--weight-key", "w", "--stress-components", "9")
    record = read_hessian("h.h5")
    assert record.weights == ("w",)
    assert record.loss == Loss(stress_components=9)
    outcome = prcli(
        *("hessian", "forces.h5", "-o", "i.h5", "--loss", "huber", "--energy-delta", "0.1"),
        *("--force-weight", "0", "--stress-weight", "0", "--predicted", "energy_predicted"),
    )
    assert outcome.code == 0, outcome.err
    assert read_hessian("i.h5").loss == Loss("huber", energy_delta=0.1)
    factor = read_hessian("i.h5").R["energy"]
    prcli("hessian", "forces.h5@:7", "-o", "inside.h5")
    inside = read_hessian("inside.h5").R["energy"]
    np.testing.assert_allclose(factor.T @ factor, inside.T @ inside, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--loss", "huber"], "--energy-delta"),
        (["--loss", "huber", "--energy-delta", "1"], "--force-delta"),
        (["--energy-delta", "1"], "--energy-delta"),
        (["--weight-key", "absent"], "absent"),
    ],
)
def test_losses_that_lack_something_are_refused(fails, forces, options, named):
    assert named in fails("hessian", "forces.h5", "-o", "h.h5", *options)
    assert not Path("h.h5").exists()


@pytest.mark.parametrize(
    "option", [("--loss", "log-cosh", "--energy-delta", "1"), ("--weight-key", "w")]
)
def test_loss_of_a_finished_hessian_is_inside_its_rows(prcli, fails, option):
    prcli("hessian", "train.h5", "-o", "one.h5")
    assert option[0] in fails("hessian", "one.h5", "-o", "two.h5", *option)


def test_loss_of_a_finished_hessian_contradicts_that_of_a_selection(prcli, fails):
    prcli("hessian", "train.h5", "-o", "one.h5")
    sets = ("--hessian", "one.h5", "--target", "target.h5", "--pool", "pool.h5", "-n", "1")
    message = fails("select", *sets, "--loss", "log-cosh", "--energy-delta", "1")
    assert "--loss contradicts the Hessian file" in message


def test_prior_of_a_file(prcli):
    matrix = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 3.0]])
    np.save("prior.npy", matrix)
    options = ("--prior", "prior.npy", "--scale", "none")
    assert prcli("hessian", "train.h5", "-o", "h.h5", *options).code == 0
    np.testing.assert_array_equal(read_hessian("h.h5").prior, matrix)
    with h5py.File("h.h5") as file:
        found = json.loads(file.attrs["provenance"])
    assert "prior.npy" in {Path(entry["path"]).name for entry in found["inputs"]}
    assert found["settings"]["prior"] == "full, 3 x 3"
    # A Hessian file gives its own prior, and the identity takes it away again.
    prcli("hessian", "train.h5", "-o", "i.h5", "--prior", "h.h5", "--scale", "none")
    np.testing.assert_array_equal(read_hessian("i.h5").prior, matrix)
    outcome = prcli("hessian", "i.h5", "-o", "j.h5", "--prior", "identity")
    assert read_hessian("j.h5").prior is None
    assert "prior full, 3 x 3 of the Hessian file is overridden by identity" in outcome.err


@pytest.mark.parametrize(
    ("prior", "text"),
    [
        (np.ones(4), "n = 3"),
        (np.diag([1.0, 1.0, -1.0]), "positive semidefinite"),
        (np.triu(np.ones((3, 3))), "not symmetric"),
        (None, "cannot be read"),
    ],
)
def test_priors_that_do_not_fit_are_refused(fails, prior, text):
    if prior is not None:
        np.save("prior.npy", prior)
    message = fails("hessian", "train.h5", "-o", "h.h5", "--prior", "prior.npy")
    for part in ("--prior", "prior.npy", text):
        assert part in message
    assert not Path("h.h5").exists()


def test_prior_is_never_replaced_by_the_output(fails):
    np.save("prior.npy", np.ones(3))
    before = Path("prior.npy").read_bytes()
    fails("hessian", "train.h5", "-o", "prior.npy", "--prior", "prior.npy", "--overwrite")
    assert Path("prior.npy").read_bytes() == before


def test_loss_section_of_a_configuration(prcli, forces):
    Path("run.toml").write_text(
        """
[loss]
energy = "total"
energy-weight = 2.0
force-weight = 0
stress-weight = 0
reduction = "mean"
prior = "identity"
loss = "log-cosh"
energy-delta = 0.5
stress-components = 9
weight-key = "w"
reference = "energy"
predicted = "energy_predicted"
force-reference = "forces"
stress-predicted = "other"

[hessian]
regularizer = 1e-3
"""
    )
    outcome = prcli("hessian", "forces.h5", "-o", "h.h5", "--config", "run.toml")
    assert outcome.code == 0, outcome.err
    record = read_hessian("h.h5")
    assert (record.energy, record.energy_weight, record.reduction) == ("total", 2.0, "mean")
    assert record.loss == Loss("log-cosh", energy_delta=0.5)
    assert record.weights == ("w",)
    assert record.regularizer == 1e-3
    # The command line wins, and commands without such options pass them over.
    prcli("hessian", "forces.h5", "-o", "i.h5", "--config", "run.toml", "--energy-weight", "3")
    assert read_hessian("i.h5").energy_weight == 3.0
    assert prcli("info", "h.h5", "--config", "run.toml").code == 0


def test_help_gives_units(prcli):
    text = " ".join(prcli("hessian", "--help").text.split())
    for part in ("energies, eV/atom", "forces, eV/Å.", "stresses, eV/Å³.", "total energies, eV;"):
        assert part in text
