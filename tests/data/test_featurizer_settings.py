from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from prcli import hessian
from prcli.data.dataset import Dataset
from prcli.data.featurizer_settings import (
    check_same_settings,
    format_settings,
    named_settings,
    other_versions,
    parse_settings,
)
from prcli.data.hessian_file import read_hessian, write_hessian
from prcli.data.part import Part
from prcli.data.store import open_store
from prcli.data.store_writer import StoreWriter
from prcli.errors import FormatError, MismatchError
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.model import check_fits

HYPERS = {"cutoff": {"radius": 4.0}, "points": (1, 2)}
SETTINGS = named_settings("soap", {"hypers": HYPERS, "species": ["C"], "featomic": "0.6.7"})
OTHER = named_settings("soap", {"hypers": HYPERS, "species": ["C", "H"], "featomic": "0.6.7"})


def write(path: Path, settings=None) -> Path:
    rows = np.random.default_rng(len(str(path))).normal(size=(3, 2))
    writer = StoreWriter(
        path,
        n_atoms=[1, 2, 3],
        n_features=2,
        dtype="float64",
        convention="mean",
        featurizer=settings,
    )
    with writer:
        writer.write_structures(0, rows)
    return path


def dataset_of(path: Path, name: str = "pool") -> Dataset:
    return Dataset([Part(open_store(path), range(3))], name)


def test_text_gives_the_settings_back():
    assert SETTINGS["hypers"]["points"] == [1, 2]
    assert parse_settings(format_settings(SETTINGS), "here") == SETTINGS
    assert parse_settings(None, "here") is None


@pytest.mark.parametrize("text", ["soap", "[1]", '{"hypers": {}}', '{"featurizer": 1}'])
def test_text_that_is_none(text):
    with pytest.raises(FormatError, match=r"featurizer cannot be understood\n.*s.h5"):
        parse_settings(text, "s.h5")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"species": ["C", "H"]}, r'expected: species \["C"\]\n  got: +species \["C", "H"\]'),
        ({"hypers": {"cutoff": {"radius": 5.0}, "points": [1, 2]}}, r"cutoff.radius 4.0\n.*5.0"),
        ({"featurizer": "lode"}, 'featurizer "soap"\n.*"lode"'),
        ({"distinct": True}, "distinct none\n.*distinct true"),
    ],
)
def test_settings_that_differ_are_told(change, message):
    with pytest.raises(MismatchError, match=message):
        check_same_settings(SETTINGS, SETTINGS | change, "two sets")


@pytest.mark.parametrize("other", [None, dict(SETTINGS), SETTINGS | {"featomic": "0.6.8"}])
def test_settings_that_go_together(other):
    check_same_settings(SETTINGS, other, "two sets")
    check_same_settings(other, SETTINGS, "two sets")


def test_versions_that_differ_are_named():
    assert other_versions(SETTINGS, SETTINGS | {"featomic": "0.7"}) == ["featomic 0.6.7 and 0.7"]
    assert other_versions(SETTINGS, SETTINGS) == []


@pytest.mark.parametrize("settings", [SETTINGS, None])
def test_a_store_tells_them(tmp_path, settings):
    with open_store(write(tmp_path / "s.h5", settings)) as store:
        assert store.featurizer == settings


def test_they_change_no_digest(tmp_path):
    paths = [write(tmp_path / "a.h5", SETTINGS), write(tmp_path / "b.h5")]
    digests = []
    for path in paths:
        with open_store(path) as store:
            digests.append(store.content_digest)
    assert digests[0] == digests[1]


def test_a_store_with_something_else_there(tmp_path):
    path = write(tmp_path / "s.h5")
    with h5py.File(path, "a") as file:
        file.attrs["featurizer"] = "soap"
    with pytest.raises(FormatError, match="cannot be understood"):
        open_store(path)


def test_a_hessian_file_tells_them(tmp_path):
    record = hessian(write(tmp_path / "s.h5", SETTINGS))
    assert record.featurizer == SETTINGS
    write_hessian(tmp_path / "h", record)
    assert read_hessian(tmp_path / "h").featurizer == SETTINGS


def test_a_hessian_file_without_them(tmp_path):
    write_hessian(tmp_path / "h", hessian(write(tmp_path / "s.h5")))
    with h5py.File(tmp_path / "h") as file:
        assert "featurizer" not in file.attrs
    assert read_hessian(tmp_path / "h").featurizer is None


def test_parts_of_a_set_agree(tmp_path):
    known, unknown = write(tmp_path / "s.h5", SETTINGS), write(tmp_path / "st.h5")
    other = write(tmp_path / "sto.h5", OTHER)
    parts = [Part(open_store(path), range(3)) for path in (unknown, known, other)]
    assert Dataset(parts[:2], "pool").featurizer == SETTINGS
    with pytest.raises(MismatchError, match=r"different settings\n.*s.h5 and .*sto.h5"):
        Dataset(parts[1:], "pool")


def test_sets_and_hessians_agree(tmp_path):
    record = hessian(write(tmp_path / "s.h5", SETTINGS))
    check_fits(record, dataset_of(write(tmp_path / "st.h5")))
    with pytest.raises(MismatchError, match=r"different settings\n.*the Hessian and the pool set"):
        check_fits(record, dataset_of(write(tmp_path / "sto.h5", OTHER)))


def test_hessians_that_are_merged_agree(tmp_path):
    first = hessian(write(tmp_path / "s.h5", SETTINGS))
    second = hessian(write(tmp_path / "st.h5"))
    options = HessianOptions()
    assert sum_hessian([], [second, first], options).featurizer == SETTINGS
    other = replace(second, featurizer=OTHER)
    with pytest.raises(MismatchError, match="different settings\n.*the training sets"):
        sum_hessian([], [first, other], options)
