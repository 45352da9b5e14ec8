"""Structures without features, whose features are computed on the way."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from atoms_builder import count_atoms, structures_of, write_xyz

import prcli
from prcli.data.hessian_file import read_hessian_provenance
from prcli.data.store import open_store
from prcli.errors import (
    FeatureError,
    FormatError,
    MismatchError,
    OutputError,
    RequestError,
)
from prcli.workflows import compute_batches, compute_setup, input_features
from prcli.workflows.compute_request import ComputeRequest
from prcli.workflows.features_compute import compute_features
from prcli.workflows.hessian_run import HessianRequest, build_hessian
from prcli.workflows.inputs import InputOptions, InputSet, open_input, open_inputs, stamps_of

pytest.importorskip("featomic")

SETS = {
    "train": structures_of(8, seed=1, symbols=("C", "H")),
    "target": structures_of(4, seed=2, symbols=("C", "O")),
    "pool": structures_of(7, seed=3, symbols=("C",)),
}
ALL = ("H", "C", "O")
SMALL = InputOptions(featurizer="small.toml")
SOAP = InputOptions(featurizer="soap")
HERE = Path(__file__).stem
FUNCTION = InputOptions(featurizer=f"python:{HERE}:positions")
TOML = """featurizer = "soap"
[cutoff]
radius = {radius}
smoothing = {{ type = "ShiftedCosine", width = 0.5 }}
[density]
type = "Gaussian"
width = 0.3
[basis]
type = "TensorProduct"
max_angular = 1
radial = {{ type = "Gto", max_radial = 1 }}
"""

#: How many structures each call of `positions` got.
calls: list[int] = []


class StopError(Exception):
    """Whatever ends a run."""


def positions(structures, stop_at=None):
    """Features of any element, by a function that can be made to fail."""
    calls.append(len(structures))
    if stop_at is not None and len(calls) > stop_at:
        raise StopError
    return [structure.positions for structure in structures]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    for name, structures in SETS.items():
        write_xyz(Path(f"{name}.xyz"), structures)
    Path("small.toml").write_text(TOML.format(radius=3.0))
    Path("wide.toml").write_text(TOML.format(radius=3.5))
    calls.clear()
    yield tmp_path
    assert not list((tmp_path / "tmp").iterdir())


def compute(name: str, output: str | None = None, **options) -> str:
    """Store features in a step of their own."""
    output = output or f"{name}.h5"
    options = {"hypers": "small.toml", "with_provenance": False, **options}
    request = ComputeRequest("soap", f"{name}.xyz", output, **options)
    compute_features(request)
    return output


def rows_of(table) -> np.ndarray:
    return table.structures.read(0, table.n_structures)


def opened(*arguments, options=SMALL, name="pool", **others):
    return open_input(arguments, name, options, **others)


@pytest.mark.parametrize("gradients", [None, "force", "both"])
def test_picks_are_those_of_stores_to_the_last_digit(gradients):
    options = {} if gradients is None else {"gradients": gradients}
    for name in SETS:
        compute(name, species=ALL, **(options if name != "target" else {}))
    expected = prcli.select("pool.h5", 3, train="train.h5", target="target.h5")
    selection = prcli.select(
        "pool.xyz",
        3,
        train="train.xyz",
        target="target.xyz",
        inputs=replace(SMALL, **options),
    )
    assert selection.indices.tolist() == expected.indices.tolist()
    assert [pick.gain for pick in selection.picks] == [pick.gain for pick in expected.picks]
    assert selection.objective_after == expected.objective_after


@pytest.mark.parametrize("gradients", [None, "force", "both"])
def test_hessian_is_that_of_a_store_to_the_last_digit(gradients):
    expected = prcli.hessian(compute("train", gradients=gradients))
    record = prcli.hessian("train.xyz", inputs=replace(SMALL, gradients=gradients))
    assert list(record.R) == list(expected.R)
    for kind, factor in expected.R.items():
        np.testing.assert_array_equal(record.R[kind], factor)
    assert record.scale == expected.scale
    assert record.digests.tolist() == expected.digests.tolist()
    assert record.featurizer == expected.featurizer


def test_distinct_columns_give_the_same_selection():
    sets = {"train": "train.xyz", "target": "target.xyz"}
    all_columns = prcli.select("pool.xyz", 3, **sets, inputs=SMALL)
    distinct = prcli.select("pool.xyz", 3, **sets, inputs=replace(SMALL, distinct=True))
    assert distinct.indices.tolist() == all_columns.indices.tolist()
    assert distinct.objective_after == pytest.approx(all_columns.objective_after, rel=1e-9)


def test_what_many_features_cost_is_told(monkeypatch, caplog):
    monkeypatch.setattr(compute_setup, "MANY_FEATURES", 100)
    with caplog.at_level("INFO"):
        opened("train.xyz").close()
        assert "is large" not in caplog.text
        # 2 elements, 3 pairs, 2·2·2 columns each.
        monkeypatch.setattr(compute_setup, "MANY_FEATURES", 47)
        opened("train.xyz").close()
    assert "D = 48 is large" in caplog.text
    assert "--no-per-species (24; all elements share columns), --distinct" in caplog.text
    caplog.clear()
    with caplog.at_level("INFO"):
        opened("train.xyz", options=replace(SMALL, distinct=True, per_species=False)).close()
    assert "--distinct" not in caplog.text


def test_columns_are_for_the_elements_of_all_sets():
    sets = [InputSet(name, (f"{name}.xyz",)) for name in SETS]
    for data in open_inputs(sets, SMALL):
        with data:
            assert data.featurizer["species"] == ["H", "C", "O"]
            assert data.n_features == 3 * 6 * 8


def test_columns_by_options():
    options = replace(SMALL, species=("O", "N", "C"), per_species=False)
    with opened("target.xyz", options=options) as data:
        assert [block.name for block in data.blocks][:3] == ["C-C", "C-N", "C-O"]


def test_settings_in_a_mapping_or_a_file():
    import tomllib

    with opened("pool.xyz", options=InputOptions(featurizer=Path("small.toml"))) as data:
        assert data.n_features == 8
        expected = rows_of(data.parts[0].table)
    content = tomllib.loads(Path("small.toml").read_text())
    with opened("pool.xyz", options=InputOptions(featurizer=content)) as data:
        np.testing.assert_array_equal(rows_of(data.parts[0].table), expected)


def test_shipped_settings_are_the_defaults():
    path = Path(__file__).parents[2] / "configs" / "soap.toml"
    with (
        opened("pool.xyz", options=SOAP) as one,
        opened("pool.xyz", options=InputOptions(featurizer=path)) as two,
    ):
        assert one.featurizer == two.featurizer


def test_slices_and_several_files_make_one_set():
    structures = [*SETS["pool"][::2], *SETS["target"][3:0:-1]]
    with opened("pool.xyz@::2", "target.xyz@3:0:-1") as data:
        assert data.n_atoms.tolist() == count_atoms(structures).tolist()
        sources, source, frame = data.frames()
    assert [sources[i] for i in source] == ["pool.xyz"] * 4 + ["target.xyz"] * 3
    assert frame.tolist() == [0, 2, 4, 6, 3, 2, 1]


def test_standard_input(monkeypatch):
    content = Path("pool.xyz").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    with opened("pool.xyz") as data:
        expected = rows_of(data.parts[0].table)
    with opened("-@1:4") as data:
        np.testing.assert_array_equal(rows_of(data.parts[0].table), expected[1:4])
        assert [stamp.path for stamp in stamps_of(data)] == ["-"]
        assert data.frames()[0] == ("-",)


@pytest.mark.parametrize("kept", [None, "kept"])
def test_atoms_are_stored_where_they_are_needed_or_kept(kept):
    sets = [
        InputSet("train", ("train.xyz",)),
        InputSet("pool", ("pool.xyz",), needs_atoms=False),
    ]
    train, pool = open_inputs(sets, replace(SMALL, keep_features=kept))
    with train, pool:
        assert train.has_atoms
        assert pool.has_atoms == (kept is not None)


def test_positions_that_are_not_kept_are_read_again(monkeypatch):
    with opened("pool.xyz", "train.xyz") as data:
        expected = [rows_of(part.table) for part in data.parts]
    monkeypatch.setattr(input_features, "_KEPT_ATOMS", 0)
    with opened("pool.xyz", "train.xyz") as data:
        for part, rows in zip(data.parts, expected, strict=True):
            np.testing.assert_array_equal(rows_of(part.table), rows)


def test_progress_runs_once_over_all_files(monkeypatch):
    monkeypatch.setattr(compute_batches, "BATCH_BYTES", 1)
    seen = []
    with opened("pool.xyz", "target.xyz", progress=lambda *step: seen.append(step)):
        assert [step for step in seen if step[0] == "compute"] == [
            ("compute", i, 11) for i in range(1, 12)
        ]


def test_what_goes_wrong_in_the_middle_leaves_nothing(monkeypatch):
    monkeypatch.setattr(compute_batches, "BATCH_BYTES", 1)
    featurizer = {"featurizer": FUNCTION.featurizer, "stop_at": 10}
    with pytest.raises(StopError):
        opened("pool.xyz", "target.xyz", options=InputOptions(featurizer=featurizer))
    assert len(calls) == 11


def test_all_sets_are_looked_at_before_any_is_described():
    with open("target.xyz", "a") as file:
        file.write("1\n\nQq 0 0 0\n")
    with pytest.raises(FormatError, match="unknown element\n.*target.xyz, frame 4"):
        opened("pool.xyz", "target.xyz", options=FUNCTION)
    assert calls == []


def test_full_disk_tells_of_other_places(monkeypatch):
    stat = list(os.statvfs("."))
    stat[4] = 0
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(stat))
    with pytest.raises(OutputError, match=r"not enough space(.*\n)+.*TMPDIR.*--keep-features"):
        opened("pool.xyz", options=FUNCTION)


class TestSpecies:
    def test_element_that_is_not_listed(self):
        sets = [InputSet(name, (f"{name}.xyz",)) for name in ("pool", "target")]
        with pytest.raises(
            RequestError, match=r"no columns\n.*target.xyz, frame 0\n.*--species C\n  got: +O"
        ):
            open_inputs(sets, replace(SMALL, species=("C",)))

    def test_they_come_from_the_hessian(self, caplog):
        record = prcli.hessian("train.xyz", inputs=SMALL)
        with caplog.at_level(logging.INFO, logger="prcli"):
            scores = prcli.score(record, "pool.xyz", inputs=SOAP)
        assert "columns for H,C, as the Hessian was built" in caplog.text
        expected = prcli.score(record, compute("pool", species=("H", "C")))
        np.testing.assert_array_equal(scores.rigidity, expected.rigidity)

    def test_element_that_the_hessian_does_not_know(self):
        record = prcli.hessian("train.xyz", inputs=SMALL)
        with pytest.raises(
            RequestError, match=r"target.xyz, frame 0\n.*H,C, as the Hessian was built\n  got: +O"
        ):
            prcli.score(record, "target.xyz", inputs=SMALL)

    def test_others_than_those_of_the_hessian(self):
        record = prcli.hessian("train.xyz", inputs=SMALL)
        with pytest.raises(MismatchError, match=r'species \["H", "C"\]\n  got: +species \["C"\]'):
            prcli.score(record, "pool.xyz", inputs=replace(SMALL, species=("C",)))

    def test_they_come_from_a_store(self):
        store = compute("train", species=ALL)
        with opened(store, "pool.xyz") as data:
            assert data.featurizer["species"] == ["H", "C", "O"]

    def test_those_of_a_store_count_where_it_tells_no_settings(self):
        path = compute("train", species=("H", "C"))
        with h5py.File(path, "a") as file:
            del file.attrs["featurizer"]
        with opened(path, "pool.xyz") as data:
            assert data.parts[1].table.featurizer["species"] == ["H", "C"]

    def test_those_of_sets_opened_later_count(self):
        [data] = open_inputs([InputSet("train", ("train.xyz",))], SMALL, also=["target.xyz@:1"])
        with data:
            assert data.featurizer["species"] == ["H", "C", "O"]


class TestSettingsOfTheHessian:
    @pytest.fixture
    def record(self):
        return prcli.hessian("train.xyz", inputs=SMALL)

    def test_a_name_alone_takes_them(self, record):
        scores = prcli.score(record, "pool.xyz", inputs=SOAP)
        expected = prcli.score(record, compute("pool", species=("H", "C"), hypers="small.toml"))
        np.testing.assert_array_equal(scores.rigidity, expected.rigidity)

    def test_others_are_refused_before_long_work(self, record, monkeypatch):
        monkeypatch.setattr(input_features, "store_features", None)
        with pytest.raises(MismatchError, match=r"hypers.cutoff.radius 3.0\n.*radius 3.5"):
            prcli.score(record, "pool.xyz", inputs=InputOptions(featurizer="wide.toml"))

    def test_another_featurizer_is_refused(self, record):
        with pytest.raises(MismatchError, match='expected: featurizer "soap"'):
            prcli.score(record, "pool.xyz", inputs=FUNCTION)

    def test_division_of_columns_is_as_in_the_hessian(self):
        options = replace(SMALL, per_species=False)
        record = prcli.hessian("train.xyz", inputs=options)
        assert len(prcli.score(record, "pool.xyz", inputs=SOAP).rigidity) == 7
        with pytest.raises(MismatchError, match=r"per_species false\n.*per_species true"):
            prcli.score(record, "pool.xyz", inputs=replace(SOAP, per_species=True))

    def test_distinct_columns_stay_distinct(self):
        record = prcli.hessian(compute("train", distinct=True))
        assert len(prcli.score(record, "pool.xyz", inputs=SOAP).rigidity) == 7
        with pytest.raises(MismatchError, match="distinct true\n.*distinct false"):
            prcli.score(record, "pool.xyz", inputs=replace(SOAP, distinct=False))

    def test_other_versions_are_told(self, record, caplog):
        old = replace(record, featurizer={**record.featurizer, "featomic": "0.1"})
        prcli.score(old, "pool.xyz", inputs=SOAP)
        assert "the Hessian and --featurizer differ in version: featomic 0.1" in caplog.text

    def test_columns_are_compared_where_they_are_not_known(self, record, monkeypatch):
        old = replace(record, featurizer=None)
        monkeypatch.setattr(input_features, "store_features", None)
        with pytest.raises(MismatchError, match=r"other columns(.*\n)+.*48 features.*\n.*125"):
            prcli.score(old, "pool.xyz", inputs=SOAP)

    def test_structures_join_a_hessian_file(self, record):
        prcli.write_hessian("train.hessian", record)
        whole = prcli.hessian(["train.hessian", "pool.xyz"], inputs=SOAP)
        assert whole.n_structures == 15
        assert whole.featurizer == record.featurizer


class TestGradients:
    OPTIONS = replace(SMALL, gradients="both")

    def test_sets_that_need_none_get_none(self):
        sets = [
            InputSet("train", ("train.xyz",)),
            InputSet("target", ("target.xyz",), needs_gradients=False),
        ]
        train, target = open_inputs(sets, self.OPTIONS)
        with train, target:
            assert train.has_gradients("force")
            assert train.has_gradients("stress")
            assert target.parts[0].table.gradients is None

    def test_targets_need_not_be_periodic(self):
        write_xyz(Path("target.xyz"), structures_of(3, pbc=False))
        selection = prcli.select(
            "pool.xyz", 2, train="train.xyz", target="target.xyz", inputs=self.OPTIONS
        )
        assert len(selection.picks) == 2

    def test_a_pool_without_stresses_is_told_before_long_work(self, monkeypatch):
        monkeypatch.setattr(input_features, "store_features", None)
        write_xyz(Path("pool.xyz"), structures_of(3, pbc=False))
        with pytest.raises(RequestError, match=r"no stress\n.*pool.xyz, frame 0"):
            prcli.select("pool.xyz", 2, train="train.xyz", target="target.xyz", inputs=self.OPTIONS)

    def test_forces_are_scored(self):
        record = prcli.hessian("train.xyz", inputs=replace(SMALL, gradients="force"))
        options = replace(SMALL, gradients="force")
        scores = prcli.score(record, "pool.xyz", per="force", inputs=options)
        assert len(scores.rigidity) == 3 * count_atoms(SETS["pool"]).sum()

    def test_forces_that_would_not_be_there(self):
        record = prcli.hessian("train.xyz", inputs=SMALL)
        with pytest.raises(RequestError, match=r"--per force, pool.xyz(.*\n)+.*--gradients force"):
            prcli.score(record, "pool.xyz", per="force", inputs=SMALL)


class TestKeptFeatures:
    OPTIONS = replace(SMALL, keep_features="kept", with_provenance=False)

    def test_they_are_those_of_features_compute(self):
        with opened("train.xyz", options=self.OPTIONS) as data:
            assert data.label == "train.xyz"
        compute("train")
        assert os.listdir("kept") == ["train.h5"]
        assert Path("kept/train.h5").read_bytes() == Path("train.h5").read_bytes()

    def test_they_can_be_used_in_place_of_structures(self):
        record = prcli.hessian("train.xyz", inputs=self.OPTIONS)
        again = prcli.hessian("kept/train.h5")
        np.testing.assert_array_equal(record.R["energy"], again.R["energy"])

    def test_names_are_those_of_the_structures(self):
        Path("other").mkdir()
        arguments = ["pool.xyz", "other/pool.extxyz", "pool.xyz@:2", "run.1.xyz.gz"]
        import gzip

        Path(arguments[1]).write_bytes(Path("pool.xyz").read_bytes())
        Path(arguments[3]).write_bytes(gzip.compress(Path("pool.xyz").read_bytes()))
        with opened(*arguments, options=self.OPTIONS):
            names = ["pool.h5", "pool-2.h5", "pool-3.h5", "run.1.h5"]
            assert sorted(os.listdir("kept")) == sorted(names)
        with open_store("kept/pool-3.h5") as store:
            assert store.n_structures == 2

    def test_existing_ones_are_kept(self):
        Path("kept").mkdir()
        Path("kept/target.h5").write_text("mine")
        options = replace(FUNCTION, keep_features="kept")
        with pytest.raises(OutputError, match=r"exists already\n.*kept/target.h5"):
            opened("pool.xyz", "target.xyz", options=options)
        assert calls == []
        assert os.listdir("kept") == ["target.h5"]
        with opened("target.xyz", options=replace(options, overwrite=True)):
            assert h5py.is_hdf5("kept/target.h5")

    @pytest.mark.parametrize(
        ("arguments", "reserved"),
        [(["pool.xyz", "pool.h5"], []), (["pool.xyz"], ["pool.h5"]), (["pool.xyz"], ["."])],
    )
    def test_no_other_file_of_the_command_is_replaced(self, arguments, reserved):
        compute("pool")
        before = Path("pool.h5").read_bytes()
        options = replace(SMALL, keep_features=".", overwrite=True)
        with pytest.raises(OutputError, match="take the place of another file"):
            opened(*arguments, options=options, reserved=reserved)
        assert Path("pool.h5").read_bytes() == before

    def test_they_may_not_go_into_the_result(self):
        options = replace(SMALL, keep_features="out/features")
        with pytest.raises(OutputError, match="does not exist|take the place"):
            prcli.select(
                "pool.xyz", 2, train="train.xyz", target="target.xyz", inputs=options, output="out"
            )
        options = replace(SMALL, keep_features="out")
        with pytest.raises(OutputError, match="take the place"):
            prcli.select(
                "pool.xyz", 2, train="train.xyz", target="target.xyz", inputs=options, output="out"
            )

    @pytest.mark.parametrize("kept", ["pool.xyz", "no/kept"])
    def test_folder_that_cannot_be_made(self, kept):
        options = replace(FUNCTION, keep_features=kept)
        with pytest.raises(OutputError, match="folder does not exist|in a folder only"):
            opened("pool.xyz", options=options)
        assert calls == []


class TestProvenance:
    def test_it_names_structures_and_settings(self):
        for kept in (None, "kept"):
            options = replace(SMALL, keep_features=kept)
            request = HessianRequest(
                ("train.xyz",), "h.hessian", input_options=options, overwrite=True
            )
            build_hessian(request)
            provenance = read_hessian_provenance("h.hessian")
            assert [Path(each["path"]).name for each in provenance["inputs"]] == ["train.xyz"]
            settings = provenance["settings"]["featurizer"]
            assert (settings["featurizer"], settings["species"]) == ("soap", ["H", "C"])

    def test_a_selection_tells_settings_that_its_hessian_does_not(self):
        record = replace(prcli.hessian("train.xyz", inputs=SMALL), featurizer=None)
        prcli.select(
            "pool.xyz",
            2,
            hessian=record,
            target="train.xyz",
            inputs=replace(SMALL, species=("H", "C")),
            output="out",
        )
        provenance = json.loads(Path("out/report.json").read_text())["provenance"]
        assert provenance["settings"]["featurizer"]["species"] == ["H", "C"]
        names = {Path(each["path"]).name for each in provenance["inputs"]}
        assert names == {"pool.xyz", "train.xyz"}


class TestRequest:
    @pytest.mark.parametrize("others", [{"feature_key": "f"}, {"convention": "mean"}])
    def test_features_come_from_one_place(self, others):
        with pytest.raises(RequestError, match="features must come from one place"):
            replace(SMALL, **others)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("gradients", "force"),
            ("species", ("C",)),
            ("per_species", False),
            ("distinct", True),
            ("keep_features", "kept"),
        ],
    )
    def test_options_of_a_featurizer_need_one(self, name, value):
        option = name.replace("_", "-")
        with pytest.raises(RequestError, match=f"--{option} means nothing without --featurizer"):
            InputOptions(**{name: value})

    def test_an_unknown_featurizer_is_told_first(self):
        with pytest.raises(RequestError, match=r"'sop' is not known(.*\n)+.*did you mean 'soap'"):
            opened("absent.xyz", options=InputOptions(featurizer="sop"))

    def test_a_file_that_does_not_name_its_featurizer(self):
        Path("bare.toml").write_text("radius = 3.0\n")
        with pytest.raises(FormatError, match=r"bare.toml\n.*featurizer = \"soap\""):
            opened("pool.xyz", options=InputOptions(featurizer="bare.toml"))

    @pytest.mark.parametrize("text", ["featurizer = 1\n", "featurizer = ['soap']\n"])
    def test_a_file_that_names_it_otherwise(self, text):
        Path("bare.toml").write_text(text)
        with pytest.raises(FormatError, match="'featurizer' is not valid\n.*bare.toml"):
            opened("pool.xyz", options=InputOptions(featurizer="bare.toml"))

    def test_settings_of_another_featurizer_for_features_compute(self):
        with pytest.raises(MismatchError, match=r"small.toml\n  expected: lode\n  got: +soap"):
            compute_features(ComputeRequest("lode", "pool.xyz", "o.h5", hypers="small.toml"))

    def test_without_a_featurizer_the_remedy_is_told(self):
        with pytest.raises(FeatureError, match="--featurizer soap"):
            opened("pool.xyz", options=None)

    def test_stores_alone_are_opened_as_they_are(self, caplog):
        compute("pool")
        with caplog.at_level(logging.INFO, logger="prcli"), opened("pool.h5") as data:
            assert data.n_structures == 7
        assert "nothing is computed by --featurizer" in caplog.text
