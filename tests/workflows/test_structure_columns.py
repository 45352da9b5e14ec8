from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builders import (
    counts_of,
    features_of,
    frames_of,
    source_of,
    species_of,
    symbols_of,
    write_frames,
    write_store,
)

from prcli.data.dataset import Dataset, Part
from prcli.data.store import open_store
from prcli.elements import MASSES
from prcli.errors import ExpressionError
from prcli.workflows import structure_columns
from prcli.workflows.frames import Frames
from prcli.workflows.structure_columns import StructureColumns

N, SEED = 8, 6
COUNTS = counts_of(N, SEED)
FRAMES = frames_of(COUNTS, seed=SEED)
VOLUMES = [4.1 * 4.2 * 4.3, np.nan, 125.0, np.nan] * 2


def columns_of(data: Dataset) -> StructureColumns:
    return StructureColumns(data, lambda: Frames(data))


@pytest.fixture
def data(tmp_path: Path):
    columns = {"energy": np.arange(N, dtype=float), "group": list("aabbccdd")}
    path = write_store(tmp_path / "s.h5", N, seed=SEED, xyz=tmp_path / "s.xyz", columns=columns)
    store = open_store(path)
    with Dataset([Part(store, range(N))], "pool") as data:
        yield data


def formula(numbers: np.ndarray) -> str:
    symbols = sorted(symbols_of(numbers))
    counts = [(symbol, symbols.count(symbol)) for symbol in dict.fromkeys(symbols)]
    return "".join(symbol + (str(n) if n > 1 else "") for symbol, n in counts)


def expected_columns() -> dict[str, np.ndarray]:
    numbers = np.split(species_of(FRAMES), np.cumsum(COUNTS)[:-1])
    masses = np.array([sum(MASSES[z] for z in each) for each in numbers])
    return {
        "n_atoms": COUNTS,
        "n_C": np.array([np.count_nonzero(each == 6) for each in numbers]),
        "n_Si": np.zeros(N),
        "volume": np.array(VOLUMES),
        "density": masses * 1.66053906892 / np.array(VOLUMES),
        "formula": np.array([formula(each) for each in numbers], dtype=object),
    }


@pytest.mark.parametrize("name", ["n_atoms", "n_C", "n_Si", "volume", "density", "formula"])
@pytest.mark.parametrize("has_species", [True, False])
def test_derived_columns(tmp_path, name, has_species):
    write_frames(tmp_path / "s.xyz", FRAMES)
    parts = {} if has_species else {"species": None}
    path = write_store(
        tmp_path / "s.h5", N, seed=SEED, source=source_of(tmp_path / "s.xyz"), **parts
    )
    with Dataset([Part(open_store(path), range(N))], "pool") as data:
        assert data.has_species == has_species
        found = columns_of(data)[name]
    expected = expected_columns()[name]
    if expected.dtype == object:
        assert found.tolist() == expected.tolist()
    else:
        np.testing.assert_allclose(np.asarray(found, float), expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["n_C", "formula", "config_type", "group"])
@pytest.mark.parametrize("at_a_time", [1, 3, 1 << 14])
def test_slices_and_parts(data, monkeypatch, name, at_a_time):
    monkeypatch.setattr(structure_columns, "_STRUCTURES_AT_A_TIME", at_a_time)
    whole = columns_of(data)[name]
    order = [5, 3, 1, 0, 1, 2]
    store = data.parts[0].table
    chosen = Dataset([Part(store, range(5, 0, -2)), Part(store, range(3))], "pool")
    assert columns_of(chosen)[name].tolist() == whole[order].tolist()


def test_keys_of_the_comment_line(data):
    columns = columns_of(data)
    assert columns["config_type"].tolist() == [None, "bulk", "bulk", "surface"] * 2
    assert columns["flag"].tolist()[:2] == [False, None]


def test_column_of_the_store_goes_before_a_key(data):
    np.testing.assert_array_equal(columns_of(data)["energy"], np.arange(N))


def test_several_names_cost_one_pass(data):
    calls = []

    def frames() -> Frames:
        calls.append(1)
        return Frames(data)

    columns = StructureColumns(data, frames)
    columns.fetch(["volume", "config_type", "n_atoms", "note"])
    assert len(columns["volume"]) == len(columns["note"]) == N
    assert len(calls) == 1


def test_cheap_names_need_no_structures(data):
    def frames() -> Frames:
        raise AssertionError("must not be opened")

    columns = StructureColumns(data, frames)
    columns.fetch(["n_atoms", "n_H", "formula", "energy", "group"])
    assert set(columns) >= {"n_atoms", "n_H", "formula", "energy", "group", "volume", "density"}
    assert len(columns) == len(set(columns))


@pytest.mark.parametrize("name", ["enrgy", "n_Qq", "N_atoms", "n_c"])
def test_unknown_name_lists_the_known(data, name):
    with pytest.raises(ExpressionError, match=f"{name!r} is not known") as caught:
        columns_of(data).fetch([name])
    for known in ("n_atoms", "density", "group", "config_type", "task"):
        assert known in str(caught.value)
    with pytest.raises(KeyError):
        columns_of(data)[name]


def test_unknown_name_without_structures():
    features = features_of(3, columns={"energy": np.zeros(3)})
    data = Dataset([Part(features, range(3))], "pool")
    with pytest.raises(ExpressionError, match="'energi' is not known") as caught:
        columns_of(data).fetch(["energi"])
    assert "did you mean 'energy'" in str(caught.value)
    assert "--structures" in str(caught.value)


def test_frame_without_cell_has_no_volume(tmp_path):
    write_frames(tmp_path / "s.xyz", [b"1\nplain\nC 0 0 0\n"] * 2)
    path = write_store(
        tmp_path / "s.h5", 2, source=source_of(tmp_path / "s.xyz"), species=None, per_atom=False
    )
    with Dataset([Part(open_store(path), range(2))], "pool") as data:
        data.n_atoms[:] = 1
        assert np.isnan(np.asarray(columns_of(data)["volume"], float)).all()
