from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from builders import counts_of, gradients_of, write_store
from validation_set import ValidationSet

from prcli.data.hessian_file import read_hessian, read_hessian_provenance
from prcli.data.source import StoreSource
from prcli.workflows.calibration_table import COLUMNS

pytestmark = pytest.mark.usefixtures("calibrating")


@pytest.fixture
def calibrating(workplace, prcli):
    """A Hessian, a validation store with energies, and one whose file has all kinds."""
    assert prcli("hessian", "train.h5", "-o", "h.h5").code == 0
    g = np.random.default_rng(3)
    energies = g.normal(size=40)
    columns = {
        "energy": energies,
        "energy_predicted": energies + 0.1 * g.normal(size=40),
        "other": energies + 0.5 * g.normal(size=40),
        "config_type": np.array(["bulk", "slab"])[np.arange(40) % 2],
    }
    write_store(Path("valid.h5"), 40, seed=4, columns=columns)
    return workplace


@pytest.fixture
def with_forces(calibrating):
    """A validation store with gradients, whose structure file has forces and stresses."""
    valid = ValidationSet(calibrating, 40, 3, name="forces.xyz")
    write_store(
        Path("forces.h5"),
        40,
        seed=7,
        gradients=gradients_of(counts_of(40, 7), 3, 7),
        source=valid.features.source,
        species=None,
    )
    assert isinstance(valid.features.source, StoreSource)
    return valid


CALIBRATE = ("calibrate", "h.h5", "valid.h5", "-o", "c.h5")


def test_writes_a_calibrated_hessian_and_prints_the_table(prcli):
    outcome = prcli(*CALIBRATE)
    assert outcome.code == 0, outcome.err
    assert tuple(outcome.table[0]) == COLUMNS
    assert outcome.column("stage") == ["before", "after"]
    found, original = read_hessian("c.h5"), read_hessian("h.h5")
    assert float(outcome.column("alpha")[1]) == found.alpha_energy
    assert float(outcome.column("regularizer")[1]) == found.regularizer
    assert float(outcome.column("regularizer")[0]) == original.regularizer == 1e-5
    assert original.alpha_energy is None
    assert np.array_equal(found.R["energy"], original.R["energy"])
    assert "alpha_energy" in outcome.err


def test_calibrated_hessian_makes_score_print_sigma(prcli):
    prcli(*CALIBRATE)
    outcome = prcli("score", "c.h5", "pool.h5", "--order", "file")
    sigma = np.array(outcome.column("sigma_eV_per_atom"), float)
    rigidity = np.array(outcome.column("pr"), float)
    alpha = read_hessian("c.h5").alpha_energy
    np.testing.assert_allclose(sigma, alpha / np.sqrt(rigidity), rtol=1e-12)


@pytest.mark.parametrize("criterion", ["nll", "ssl", "crps"])
def test_criteria(prcli, criterion):
    outcome = prcli(*CALIBRATE, "--criterion", criterion)
    assert outcome.code == 0
    assert f"lowest {criterion} of energies" in outcome.err


def test_best_of_each_criterion_is_its_own(prcli):
    reached = {}
    for criterion in ("nll", "crps"):
        outcome = prcli(*CALIBRATE, "--criterion", criterion, "--overwrite")
        reached[criterion] = outcome
    for name, other in (("nll", "crps"), ("crps", "nll")):
        mine = float(reached[name].column(name)[1])
        assert mine <= float(reached[other].column(name)[1]) + 1e-9


def test_other_columns_may_be_named(prcli):
    prcli(*CALIBRATE)
    outcome = prcli("calibrate", "h.h5", "valid.h5", "-o", "d.h5", "--predicted", "other")
    assert outcome.code == 0
    assert read_hessian("d.h5").alpha_energy > 2.0 * read_hessian("c.h5").alpha_energy


def test_kept_regularizer(prcli):
    outcome = prcli(*CALIBRATE, "--keep-regularizer")
    assert outcome.column("regularizer") == ["1e-05", "1e-05"]
    assert read_hessian("c.h5").regularizer == 1e-5


def test_range_of_the_scan(prcli):
    outcome = prcli(*CALIBRATE, "--regularizer-min", "1e-3", "--regularizer-max", "1e-2")
    assert 1e-3 <= float(outcome.column("regularizer")[1]) <= 1.0000001e-2


def test_groups(prcli):
    plain = prcli(*CALIBRATE)
    outcome = prcli(*CALIBRATE, "--by", "config_type", "--overwrite")
    assert outcome.column("group") == ["all", "all", "bulk", "bulk", "slab", "slab"]
    assert outcome.column("by") == ["", ""] + ["config_type"] * 4
    assert outcome.table[1:3] == plain.table[1:3]
    assert outcome.column("n_rows") == ["40", "40"] + ["20"] * 4


def test_unknown_group_is_refused_before_work(fails):
    assert "'colour' is not known" in fails(*CALIBRATE, "--by", "colour")
    assert not Path("c.h5").exists()


@pytest.mark.usefixtures("with_forces")
def test_all_kinds(prcli):
    outcome = prcli("calibrate", "h.h5", "forces.h5", "-o", "c.h5")
    assert outcome.code == 0, outcome.err
    assert outcome.column("kind") == [k for k in ("energy", "force", "stress") for _ in range(2)]
    assert outcome.column("unit")[::2] == ["eV/atom", "eV/Å", "eV/Å³"]
    found = read_hessian("c.h5")
    alphas = [found.alpha_energy, found.alpha_force, found.alpha_stress]
    assert [float(text) for text in outcome.column("alpha")[1::2]] == alphas
    assert len(set(alphas)) == 3


@pytest.mark.usefixtures("with_forces")
def test_joint(prcli):
    prcli("calibrate", "h.h5", "forces.h5", "-o", "c.h5", "--joint")
    found = read_hessian("c.h5")
    assert found.alpha_energy == found.alpha_force == found.alpha_stress


@pytest.mark.usefixtures("with_forces")
def test_structures_may_be_elsewhere(prcli, fails):
    Path("forces.xyz").rename("moved.xyz")
    command = ("calibrate", "h.h5", "forces.h5", "-o", "c.h5")
    assert "structure file of a feature store is gone" in fails(*command)
    assert prcli(*command, "--structures", "moved.xyz").code == 0


def test_overlap_is_refused(prcli, fails):
    write_store(
        Path("same.h5"),
        10,
        seed=1,
        columns={"energy": np.ones(10), "energy_predicted": np.arange(10.0)},
    )
    command = ("calibrate", "h.h5", "same.h5", "-o", "c.h5")
    assert "--allow-overlap" in fails(*command)
    assert not Path("c.h5").exists()
    outcome = prcli(*command, "--allow-overlap")
    assert outcome.code == 0
    assert "warning: 10 of 10 validation structures" in outcome.err


def test_set_without_energies_says_what_is_missing(fails):
    message = fails("calibrate", "h.h5", "pool.h5", "-o", "c.h5")
    assert "energy_predicted" in message
    assert "--predicted" in message


def test_existing_output_is_kept(fails):
    Path("c.h5").write_text("mine")
    assert "--overwrite" in fails(*CALIBRATE)
    assert Path("c.h5").read_text() == "mine"


def test_original_is_never_replaced(fails):
    before = Path("h.h5").read_bytes()
    message = fails("calibrate", "h.h5", "valid.h5", "-o", "h.h5", "--overwrite")
    assert "the output is one of the inputs" in message
    assert Path("h.h5").read_bytes() == before


def test_standard_output_is_no_file(fails):
    assert "HDF5" in fails("calibrate", "h.h5", "valid.h5", "-o", "-", code=2)


def test_provenance_names_inputs_and_choices(prcli):
    prcli(*CALIBRATE, "--criterion", "crps")
    provenance = read_hessian_provenance("c.h5")
    assert [Path(each["path"]).name for each in provenance["inputs"]] == ["h.h5", "valid.h5"]
    settings = provenance["settings"]
    assert settings["criterion"] == "crps"
    assert settings["regularizer"] == read_hessian("c.h5").regularizer
    assert settings["regularizer_before"] == 1e-5
    assert settings["energy_keys"] == ["energy", "energy_predicted"]
    assert settings["validation_rows"] == {"energy": 40}


def test_without_provenance_files_are_equal(prcli):
    for name in ("c.h5", "d.h5"):
        prcli("calibrate", "h.h5", "valid.h5", "-o", name, "--no-provenance")
    assert Path("c.h5").read_bytes() == Path("d.h5").read_bytes()


def test_plots(prcli, fails):
    pytest.importorskip("matplotlib")
    assert prcli(*CALIBRATE, "--plots", "plots").code == 0
    names = {
        f"{name}.{e}"
        for name in ("reliability", "regularizer", "errors_energy")
        for e in ("png", "svg")
    }
    assert {path.name for path in Path("plots").iterdir()} == names
    Path("c.h5").unlink()
    assert "plots/" in fails(*CALIBRATE, "--plots", "plots")
    assert not Path("c.h5").exists()
    assert prcli(*CALIBRATE, "--plots", "plots", "--overwrite").code == 0


def test_plots_without_a_scan(prcli):
    pytest.importorskip("matplotlib")
    assert prcli(*CALIBRATE, "--plots", "plots", "--keep-regularizer").code == 0
    assert not Path("plots/regularizer.png").exists()
    assert Path("plots/reliability.svg").exists()


def test_missing_matplotlib_is_found_before_work(fails, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "prcli[report]" in fails(*CALIBRATE, "--plots", "plots")
    assert not Path("c.h5").exists()


def test_formats(prcli):
    tsv = prcli(*CALIBRATE)
    lines = prcli(*CALIBRATE, "--overwrite", "--format", "jsonl").text.splitlines()
    assert [json.loads(line)["nll"] for line in lines] == [float(x) for x in tsv.column("nll")]
    text = prcli(*CALIBRATE, "--overwrite", "--format", "table").text
    assert text.splitlines()[0].split() == list(COLUMNS)


def test_configuration_file(prcli):
    Path("run.toml").write_text(
        '[calibrate]\ncriterion = "ssl"\nkeep-regularizer = true\n'
        '[loss]\nreference = "energy"\npredicted = "other"\nforce-delta = 0.1\n'
    )
    assert prcli(*CALIBRATE, "--config", "run.toml").code == 0
    settings = read_hessian_provenance("c.h5")["settings"]
    assert (settings["criterion"], settings["keep_regularizer"]) == ("ssl", True)
    assert settings["energy_keys"] == ["energy", "other"]
