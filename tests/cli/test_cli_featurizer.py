from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from atoms_builder import frame_of, structures_of

from prcli.workflows import compute_batches

pytest.importorskip("featomic")

SYMBOLS = {"train": ("C", "H"), "target": ("C", "O"), "pool": ("C",)}
COUNTS = {"train": 8, "target": 4, "pool": 7}
SETTINGS = """featurizer = "soap"
[cutoff]
radius = 3.0
smoothing = { type = "ShiftedCosine", width = 0.5 }
[density]
type = "Gaussian"
width = 0.3
[basis]
type = "TensorProduct"
max_angular = 1
radial = { type = "Gto", max_radial = 1 }
"""
SOAP = ("--featurizer", "small.toml")
SELECT = ("select", "--train", "train.xyz", "--target", "target.xyz", "--pool", "pool.xyz", "-n", 3)

#: How often the function below was called, and what happens then.
state = {"calls": 0, "signal_at": 0, "signal": 0}


def positions(structures):
    """Features that need no package, by a function that can be stopped."""
    state["calls"] += 1
    if state["calls"] == state["signal_at"]:
        signal.raise_signal(state["signal"])
        time.sleep(0.2)  # the handler runs in the main thread
    return [structure.positions for structure in structures]


def write_frames(name: str, seed: int) -> None:
    """Frames with references and predictions of energies."""
    rng = np.random.default_rng(seed)
    frames = []
    for structure in structures_of(COUNTS[name], seed=seed, symbols=SYMBOLS[name]):
        energy, error = rng.normal(size=2).tolist()
        keys = f"energy={energy!r} energy_predicted={energy + 0.1 * error!r}"
        frames.append(frame_of(structure).replace("energy=-1.5", keys))
    Path(f"{name}.xyz").write_text("".join(frames))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    for seed, name in enumerate(SYMBOLS, 1):
        write_frames(name, seed)
    Path("small.toml").write_text(SETTINGS)
    state.update(calls=0, signal_at=0)
    yield tmp_path
    assert not list((tmp_path / "tmp").iterdir())


@pytest.fixture
def runs(prcli):
    def run(*arguments, stdin=b""):
        outcome = prcli(*arguments, stdin=stdin)
        assert outcome.code == 0, outcome.err
        return outcome

    return run


@pytest.fixture
def stores(runs):
    """The same structures in the other way: features first."""

    def compute(*options, species="H,C,O"):
        for name in SYMBOLS:
            arguments = (f"{name}.xyz", "-o", f"{name}.h5", "--hypers", "small.toml")
            gradients = () if name == "target" else options
            runs("features", "compute", "soap", *arguments, "--species", species, *gradients)

    return compute


@pytest.mark.parametrize("gradients", [(), ("--gradients", "force")])
def test_one_line_picks_what_two_steps_do(runs, stores, gradients):
    runs(*SELECT, *SOAP, *gradients, "-o", "out")
    stores(*gradients)
    two_steps = [str(argument).replace(".xyz", ".h5") for argument in SELECT]
    runs(*two_steps, "-o", "expected")
    for name in ("selected.xyz", "selection.tsv", "targets.tsv"):
        assert Path("out", name).read_bytes() == Path("expected", name).read_bytes()
    assert not [path for path in Path().iterdir() if path.suffix == ".checkpoint"]


def test_default_settings_by_name(runs):
    outcome = runs(*SELECT, "--featurizer", "soap", "--no-per-species", "--species", "O,C,H")
    assert "default hyperparameters: {'cutoff': {'radius': 4.0" in outcome.err
    assert len(outcome.column("rank")) == 3


def test_scores_take_elements_and_settings_from_the_hessian(runs, stores):
    runs("hessian", "train.xyz", "-o", "h", *SOAP)
    outcome = runs("score", "h", "pool.xyz", "--featurizer", "soap", "--order", "file")
    assert "columns for H,C, as the Hessian was built" in outcome.err
    stores(species="H,C,O")
    Path("train.h5").unlink()
    runs("features", "compute", "soap", "train.xyz", "-o", "train.h5", "--hypers", "small.toml")
    arguments = ("--hypers", "small.toml", "--species", "H,C", "--overwrite")
    runs("features", "compute", "soap", "pool.xyz", "-o", "pool.h5", *arguments)
    runs("hessian", "train.h5", "-o", "h2")
    expected = runs("score", "h2", "pool.h5", "--order", "file")
    assert outcome.text == expected.text


def test_structures_on_stdin(runs):
    runs("hessian", "train.xyz", "-o", "h", *SOAP)
    expected = runs("score", "h", "pool.xyz@1:5", "--featurizer", "soap")
    content = Path("pool.xyz").read_bytes()
    outcome = runs("score", "h", "--featurizer", "soap", "--", "-@1:5", stdin=content)
    assert outcome.column("pr") == expected.column("pr")
    assert set(outcome.column("source")) == {"-"}


def test_frames_of_stdin_are_copied(runs):
    arguments = [str(argument).replace("pool.xyz", "-") for argument in SELECT]
    content = Path("pool.xyz").read_bytes()
    outcome = runs(*arguments, *SOAP, "-o", "-", stdin=content)
    assert outcome.out == runs(*SELECT, *SOAP, "-o", "-").out


def test_forces_count_and_are_scored(runs):
    runs("hessian", "train.xyz", "-o", "h", *SOAP, "--gradients", "force")
    assert "force:1" in runs("info", "h").text
    arguments = ("--per", "force", "--gradients", "force", "--top", "4")
    outcome = runs("score", "h", "pool.xyz", "--featurizer", "soap", *arguments)
    assert len(outcome.column("axis")) == 4


def test_calibration_reads_keys_of_the_same_structures(runs, stores):
    runs("hessian", "train.xyz", "-o", "h", *SOAP, "--species", "H,C,O")
    outcome = runs("calibrate", "h", "target.xyz", "-o", "c", "--featurizer", "soap")
    stores()
    runs("hessian", "train.h5", "-o", "h2")
    expected = runs("calibrate", "h2", "target.h5", "-o", "c2")
    assert outcome.text == expected.text
    with h5py.File("c") as one, h5py.File("c2") as two:
        assert one.attrs["alpha_energy"] == two.attrs["alpha_energy"]


def test_targets_of_a_report_count_among_the_elements(runs):
    arguments = ("--report", "--target", "target.xyz", "--keep-features", "kept")
    runs("hessian", "train.xyz", "-o", "h", *SOAP, *arguments)
    assert sorted(os.listdir("kept")) == ["target.h5", "train.h5"]
    with h5py.File("h") as file:
        assert '"species": ["H", "C", "O"]' in file.attrs["featurizer"]


def test_features_are_kept_once(runs, fails):
    arguments = (*SELECT, *SOAP, "--keep-features", "kept")
    outcome = runs(*arguments)
    assert sorted(os.listdir("kept")) == ["pool.h5", "target.h5", "train.h5"]
    for name in SYMBOLS:
        assert f"features of {name}.xyz go to kept/{name}.h5" in outcome.err
    message = fails(*arguments)
    assert "output exists already" in message
    assert "kept/train.h5" in message
    assert runs(*arguments, "--overwrite").text == outcome.text
    two_steps = [str(a).replace(".xyz", ".h5") for a in SELECT]
    two_steps = [f"kept/{a}" if a.endswith(".h5") else a for a in two_steps]
    assert runs(*two_steps).text == outcome.text


def test_same_input_gives_same_bytes_without_provenance(runs):
    for folder in ("a", "b"):
        Path(folder).mkdir()
        arguments = ("--keep-features", folder, "--no-provenance")
        runs("hessian", "train.xyz", "-o", f"{folder}/h", *SOAP, *arguments)
    for name in ("h", "train.h5"):
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes()


def test_info_tells_what_computed_the_features(runs):
    runs("hessian", "train.xyz", "-o", "h", *SOAP, "--keep-features", ".")
    for path in ("h", "train.h5"):
        assert '"featurizer": "soap"' in runs("info", path).text


def test_options_in_a_configuration_file(runs):
    Path("run.toml").write_text(
        '[hessian]\nfeaturizer = "small.toml"\nspecies = "C,H,N"\nper-species = false\n'
    )
    runs("hessian", "train.xyz", "-o", "h", "--config", "run.toml")
    with h5py.File("h") as file:
        assert file.attrs["blocks"] == "H-H:8,H-C:8,H-N:8,C-C:8,C-N:8,N-N:8"


@pytest.mark.parametrize("command", ["hessian", "score", "select", "calibrate", "ensemble"])
def test_every_command_that_reads_data_has_it(runs, command):
    text = runs(command, "--help").text
    for option in ("--featurizer", "--gradients", "--species", "--per-species", "--keep-features"):
        assert option in text


class TestRefusals:
    """What is told before anything is computed."""

    @pytest.fixture
    def refuses(self, fails):
        def run(*arguments, stdin=b""):
            before = sorted(Path().iterdir())
            message = fails(*arguments, stdin=stdin)
            assert sorted(Path().iterdir()) == before
            return message

        return run

    def test_element_of_the_pool_that_is_not_listed(self, refuses):
        message = refuses(*SELECT, *SOAP, "--species", "H,C", "-o", "out")
        for text in ("target.xyz, frame 0", "one of --species H,C", "got:      O"):
            assert text in message

    def test_features_from_two_places(self, refuses):
        message = refuses(*SELECT, *SOAP, "--feature-key", "f")
        assert "features must come from one place" in message

    def test_without_featomic(self, refuses, monkeypatch):
        monkeypatch.setitem(sys.modules, "featomic", None)
        assert 'pip install "prcli[soap]"' in refuses(*SELECT, *SOAP, "-o", "out")

    def test_an_unknown_name(self, refuses):
        assert "did you mean 'soap'?" in refuses(*SELECT, "--featurizer", "saop")

    def test_a_file_that_is_absent(self, refuses):
        assert "absent.toml" in refuses(*SELECT, "--featurizer", "absent.toml")

    def test_gradients_of_nothing(self, refuses):
        message = refuses(*SELECT, "--gradients", "force")
        assert "--gradients means nothing without --featurizer" in message

    def test_structures_without_anything(self, refuses):
        assert "--featurizer soap" in refuses(*SELECT)

    def test_a_folder_in_the_result(self, refuses):
        message = refuses(*SELECT, *SOAP, "-o", "out", "--keep-features", "out")
        assert "take the place of another file" in message

    def test_settings_that_are_not_those_of_the_hessian(self, runs, refuses):
        runs("hessian", "train.xyz", "-o", "h", *SOAP)
        Path("wide.toml").write_text(SETTINGS.replace("3.0", "3.5"))
        message = refuses("score", "h", "pool.xyz", "--featurizer", "wide.toml")
        assert "expected: hypers.cutoff.radius 3.0\n  got:      hypers.cutoff.radius 3.5" in message

    def test_forces_that_would_not_be_there(self, runs, refuses):
        runs("hessian", "train.xyz", "-o", "h", *SOAP)
        message = refuses("score", "h", "pool.xyz", "--per", "force", "--featurizer", "soap")
        assert "--gradients force" in message


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_stopped_leaves_nothing(prcli, monkeypatch, number, code):
    monkeypatch.setattr(compute_batches, "BATCH_BYTES", 1)
    before = sorted(os.listdir())
    state.update(signal_at=6, signal=number)
    outcome = prcli(*SELECT, "--featurizer", f"python:{__name__}:positions", "-o", "out")
    assert outcome.code == code, outcome.err
    assert state["calls"] < 15
    assert sorted(os.listdir()) == before
