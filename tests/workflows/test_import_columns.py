"""Columns of the store that an import makes of cells and comment lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from builders import counts_of, frames_of, species_of, write_frames

from prcli.data.dataset import Dataset, Part
from prcli.data.store import open_store
from prcli.elements import MASSES
from prcli.errors import FeatureError, RequestError
from prcli.workflows.features_import import import_features
from prcli.workflows.frames import Frames
from prcli.workflows.import_columns import parse_columns
from prcli.workflows.import_request import ImportRequest
from prcli.workflows.structure_columns import StructureColumns

COUNTS = counts_of(4, 3)
CELL = 'Lattice="4 0 0 0 5 0 0 0 6"'
PROPERTIES = "Properties=species:S:1:pos:R:3"
COMMENTS = [
    f"{CELL} {PROPERTIES} REF_energy=-1.5 config_type=bulk id=007 done=T n=3 v='1 2'",
    f"{PROPERTIES} REF_energy=2 id=a7 done=F n=4",
    f'Lattice="2 0 0 0 2 0 0 0 2" {PROPERTIES} config_type="two words" id=8 done=T',
    f"{PROPERTIES} REF_energy=nan config_type=bulk id=9 done=T big=123456789012345678",
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(COMMENTS)
    np.save("f.npy", np.random.default_rng(0).normal(size=(4, 3)))


def write(comments: list[str]) -> list[bytes]:
    frames = frames_of(COUNTS, seed=3, comments=comments)
    write_frames(Path("s.xyz"), frames)
    return frames


def request(*columns: str, **given: object) -> ImportRequest:
    settings = {"features": "f.npy", "convention": "mean", "columns": columns} | given
    return ImportRequest("s.xyz", "o.h5", **settings)


def columns_of(*columns: str, **given: object) -> dict[str, list[object]]:
    import_features(request(*columns, **given))
    with open_store("o.h5") as store:
        return {name: store.column(name).tolist() for name in store.column_names}


def test_volume_and_density_are_stored():
    found = columns_of()
    numbers = np.split(species_of(frames_of(COUNTS, seed=3)), np.cumsum(COUNTS)[:-1])
    mass = [sum(MASSES[z] for z in each) for each in numbers]
    np.testing.assert_allclose(found["volume"], [120, np.nan, 8, np.nan])
    expected = [mass[0] * 1.66053906892 / 120, np.nan, mass[2] * 1.66053906892 / 8, np.nan]
    np.testing.assert_allclose(found["density"], expected, rtol=1e-12)


def test_without_cells_there_is_no_volume():
    write([PROPERTIES])
    assert columns_of() == {}


def test_left_out_structures_have_no_columns():
    rows = np.load("f.npy")
    rows[0, 0] = np.nan
    np.save("f.npy", rows)
    found = columns_of("REF_energy", skip_invalid=True)
    np.testing.assert_array_equal(found["REF_energy"], [2, np.nan, np.nan])
    assert len(found["density"]) == 3
    assert found["volume"][1] == 8


def test_backslashes_are_those_that_ase_reads_and_it_is_said(caplog):
    texts = [r"file=C:\data file2='a\\b' n=1", r'file="C:\new"', "file=c", "file=d"]
    write([f"{CELL} {PROPERTIES} {text}" for text in texts])
    found = columns_of("file", "file2")
    ours = [found["file"], found["file2"]]
    frames = read("s.xyz", ":", format="extxyz")
    assert ours == [[frame.info.get(key, "") for frame in frames] for key in ("file", "file2")]
    (warning,) = [each.getMessage() for each in caplog.records if "backslash" in each.getMessage()]
    assert warning.startswith(r"s.xyz, frame 0: file=C:\data reads C:data, in ASE too")


def test_backslashes_elsewhere_are_not_spoken_of(caplog):
    write([rf"{CELL} {PROPERTIES} file=C:\data name='a\\b'"] * 4)
    assert columns_of("name")["name"] == [r"a\b"] * 4
    assert "backslash" not in caplog.text


def test_keys_become_numbers_and_texts():
    found = columns_of("energy=REF_energy", "config_type", "n")
    np.testing.assert_array_equal(found["energy"], [-1.5, 2, np.nan, np.nan])
    assert found["config_type"] == ["bulk", "", "two words", "bulk"]
    np.testing.assert_array_equal(found["n"], [3, 4, np.nan, np.nan])


def test_numbers_among_texts_stay_as_they_are_written():
    assert columns_of("id")["id"] == ["007", "a7", "8", "9"]


def test_truth_values_are_one_and_zero(caplog):
    with caplog.at_level("INFO"):
        assert columns_of("done")["done"] == [1, 0, 1, 1]
    assert "true and false are stored as 1 and 0" in caplog.text


def test_absent_values_are_reported(caplog):
    with caplog.at_level("INFO"):
        columns_of("energy=REF_energy", "config_type")
    assert "column energy: key 'REF_energy' is absent in 1 of 4" in caplog.text
    assert "column config_type: key 'config_type' is absent in 1 of 4" in caplog.text


def test_an_energy_is_not_guessed():
    assert "energy" not in columns_of()


@pytest.mark.parametrize(
    ("column", "match"),
    [
        ("REF_enrgy", "'REF_enrgy' is in no structure"),
        ("v", "'v' is not a single number or text"),
        ("big", "integers too large"),
        ("energy=config_type", "column 'energy' holds numbers"),
    ],
)
def test_keys_that_make_no_column(column, match):
    with pytest.raises(FeatureError, match=match):
        import_features(request(column))
    assert not Path("o.h5").exists()


def test_absent_key_lists_those_that_are_there():
    with pytest.raises(FeatureError, match="in no structure") as caught:
        import_features(request("REF_enrgy"))
    assert "REF_energy, config_type, id" in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "match"),
    [
        (["a", "a=b"], "named twice"),
        (["a="], "no name or no key"),
        ([""], "no name or no key"),
        (["density"], "computed from the structures"),
        (["n_C=x"], "computed from the structures"),
        (["energy/pbe"], "cannot be the name"),
        (["features=x"], "cannot be the name"),
    ],
)
def test_names_that_cannot_be(texts, match):
    with pytest.raises(RequestError, match=match):
        import_features(request(*texts, features="absent.npy"))


def test_keys_with_signs_are_renamed():
    assert parse_columns(["pbe=energy/pbe", "n_Qq"]) == {"pbe": "energy/pbe", "n_Qq": "n_Qq"}


def test_filters_need_no_structures(tmp_path):
    import_features(request("energy=REF_energy"))

    def frames() -> Frames:
        raise AssertionError("must not be opened")

    Path("s.xyz").unlink()
    with Dataset([Part(open_store("o.h5"), range(4))], "pool") as data:
        columns = StructureColumns(data, frames)
        columns.fetch(["density", "volume", "energy", "n_C", "formula"])
        np.testing.assert_array_equal(columns["volume"], [120, np.nan, 8, np.nan])


def test_stored_values_are_those_of_the_frames():
    import_features(request())
    with Dataset([Part(open_store("o.h5"), range(4))], "pool") as data:
        stored = StructureColumns(data, lambda: Frames(data))
        fresh = StructureColumns(data, lambda: Frames(data))
        for name in ("density", "volume"):
            fresh._scan([name])
            np.testing.assert_allclose(
                np.asarray(stored[name], float), np.asarray(fresh[name], float), rtol=1e-14
            )
