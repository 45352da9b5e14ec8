from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from prcli.data.dataset import Dataset
from prcli.data.features import Features
from prcli.data.part import Part
from prcli.data.store import open_store
from prcli.data.store_writer import StoreWriter
from prcli.errors import FormatError
from prcli.records import FeatureKind


def write(path: Path, feature_kind: FeatureKind | None) -> Path:
    writer = StoreWriter(
        path,
        n_atoms=[1, 2],
        n_features=2,
        dtype="float64",
        convention="mean",
        feature_kind=feature_kind,
    )
    with writer:
        writer.write_structures(0, np.arange(4.0).reshape(2, 2))
    return path


@pytest.mark.parametrize("feature_kind", ["last-layer", "descriptor", None])
def test_a_store_says_what_features_of_a_network_are(tmp_path, feature_kind):
    path = write(tmp_path / "s.h5", feature_kind)
    with open_store(path) as store:
        assert store.feature_kind == feature_kind
    with h5py.File(path) as file:
        assert file.attrs.get("feature_kind") == feature_kind


def test_it_changes_no_digest(tmp_path):
    paths = [write(tmp_path / f"{kind}.h5", kind) for kind in ("descriptor", None)]
    digests = []
    for path in paths:
        with open_store(path) as store:
            digests.append(store.content_digest)
    assert digests[0] == digests[1]


def test_a_kind_that_is_not_known(tmp_path):
    path = write(tmp_path / "s.h5", None)
    with h5py.File(path, "a") as file:
        file.attrs["feature_kind"] = "embedding"
    with pytest.raises(
        FormatError, match=r"not known(.*\n)+.*last-layer or descriptor(.*\n)+.*emb"
    ):
        open_store(path)


def test_a_set_tells_the_kinds_of_its_parts():
    tables = [
        Features(np.ones((2, 3)), feature_kind=kind)
        for kind in ("last-layer", None, "descriptor", "last-layer")
    ]
    parts = [Part(table, range(2)) for table in tables]
    assert Dataset(parts, "training").feature_kinds == ("descriptor", "last-layer")
    assert Dataset(parts[1:2], "training").feature_kinds == ()
