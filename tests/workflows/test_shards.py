"""Shares of a set, scored or summed one by one, are together what the whole is."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import (
    assert_same_hessian,
    atoms_for,
    counts_of,
    features_of,
    frames_of,
    gradients_of,
    source_of,
    split_frames,
    write_frames,
    write_store,
)
from hypothesis import given
from hypothesis import strategies as st

from prcli.data.dataset import Dataset, Part
from prcli.data.features import Features
from prcli.data.hessian_file import read_hessian, read_hessian_provenance
from prcli.data.hessian_record import HessianRecord
from prcli.data.shards import Shard, parse_shard, take_shard
from prcli.errors import DuplicateRowsError, ExpressionError, MismatchError, RequestError
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.hessian_run import HessianRequest, build_hessian
from prcli.workflows.hessian_shard import sum_shard
from prcli.workflows.loss_options import LossOptions
from prcli.workflows.score_run import ScoreRequest, ScoreRun
from prcli.workflows.score_table import Limits


def whole_of(*tables: Any) -> Dataset:
    return Dataset([Part(table, range(table.n_structures)) for table in tables], "train")


def shares(n_shards: int) -> list[Shard]:
    return [Shard(i + 1, n_shards) for i in range(n_shards)]


# What a share is.


@given(n_structures=st.integers(1, 10**9), count=st.integers(1, 50))
def test_shares_follow_each_other_and_differ_by_one_at_most(n_structures, count):
    count = min(count, n_structures)
    bounds = [shard.bounds(n_structures) for shard in shares(count)]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == n_structures
    assert all(one[1] == two[0] for one, two in zip(bounds[:-1], bounds[1:], strict=True))
    lengths = {stop - start for start, stop in bounds}
    assert max(lengths) - min(lengths) <= 1
    assert min(lengths) >= 1


def test_more_shares_than_structures_are_refused_by_all():
    for shard in shares(5):
        with pytest.raises(RequestError, match="more shards than structures") as caught:
            take_shard(whole_of(features_of(4)), shard)
        assert "at most 4 shards" in str(caught.value)


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "1/0", "-1/3", "1/3 ", "a/b", "1/2/3", ""])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(RequestError, match="shard is not valid"):
        parse_shard(text)


def test_a_share_is_written_as_it_is_typed():
    assert parse_shard("03/8") == Shard(3, 8)
    assert str(Shard(3, 8)) == "3/8"


@pytest.mark.parametrize("n_shards", [1, 2, 3, 5, 13])
def test_shares_cut_across_parts_and_slices(n_shards):
    one, two = features_of(8, seed=1), features_of(9, seed=2)
    whole = Dataset(
        [Part(one, range(7, 0, -1)), Part(two, range(9)), Part(one, range(0, 8, 3))], "train"
    )
    cut = [take_shard(whole, shard) for shard in shares(n_shards)]
    np.testing.assert_array_equal(np.concatenate([s.digests for s, _ in cut]), whole.digests)
    assert [first for _, first in cut] == [0, *np.cumsum([s.n_structures for s, _ in cut])[:-1]]


def test_without_a_share_the_set_is_whole():
    whole = whole_of(features_of(4))
    assert take_shard(whole, None) == (whole, 0)


# Hessians of shares.

STRESSED = gradients_of(counts_of(9, 4), seed=4, forces=[0, 1], stresses=[8])


def species_in_one() -> Features:
    """Oxygen only in the last structure."""
    counts = counts_of(9, 4)
    numbers = np.full(int(counts.sum()), 6)
    numbers[-1] = 8
    return features_of(9, seed=4, species=numbers)


SETS: dict[str, Sequence[Features]] = {
    "plain": [features_of(9, seed=4)],
    "species": [species_in_one()],
    "gradients": [features_of(9, seed=4, **STRESSED)],
    "some atoms": [
        features_of(5, seed=4),
        Features(structures=np.random.default_rng(0).normal(size=(4, 3))),
    ],
}
OPTIONS = {
    "default": HessianOptions(),
    "total": HessianOptions(energy="total", intercept="atom", scale="structure-rms"),
    "value": HessianOptions(scale=2.5, regularizer=1e-3, prior=np.array([1.0, 2.0, 3.0])),
    "no regularizer": HessianOptions(regularizer=0.0),
    "mean": HessianOptions(reduction="mean"),
}


def merged(data: Dataset, options: HessianOptions, n_shards: int) -> HessianRecord:
    records = [sum_shard(data, shard, options) for shard in shares(n_shards)]
    again = HessianOptions(allow_duplicates=options.allow_duplicates)
    return sum_hessian([], records, again)


@pytest.mark.parametrize("n_shards", [1, 2, 4, 9])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("name", SETS)
def test_merged_shares_are_the_whole(name, options, n_shards):
    data = whole_of(*SETS[name])
    whole = sum_hessian([data], [], options)
    found = merged(data, options, n_shards)
    assert_same_hessian(found, whole)
    assert found.reduction == whole.reduction
    assert (found.force_weight, found.stress_weight) == (whole.force_weight, whole.stress_weight)
    np.testing.assert_array_equal(found.digests, whole.digests)


def test_columns_of_elements_are_those_of_the_whole():
    data = whole_of(species_in_one())
    options = HessianOptions(intercept="species")
    records = [sum_shard(data, shard, options) for shard in shares(3)]
    assert {record.intercept.species for record in records} == {(6, 8)}
    assert_same_hessian(
        sum_hessian([], records, HessianOptions()), sum_hessian([data], [], options)
    )


def test_weights_of_kinds_may_be_given_where_a_share_has_no_such_row():
    data = whole_of(*SETS["gradients"])
    options = HessianOptions(force_weight=3.0, stress_weight=0.0)
    records = [sum_shard(data, shard, options) for shard in shares(3)]
    assert [record.n_rows["force"] > 0 for record in records] == [True, False, False]
    assert {record.force_weight for record in records} == {3.0}
    found = sum_hessian([], records, HessianOptions())
    assert_same_hessian(found, sum_hessian([data], [], options))
    assert (found.force_weight, found.stress_weight) == (3.0, 0.0)


def test_weights_of_kinds_that_the_whole_lacks_are_refused():
    with pytest.raises(RequestError, match="no force rows to weigh"):
        sum_shard(whole_of(features_of(5)), Shard(1, 2), HessianOptions(force_weight=3.0))


def test_robust_losses_and_weights_of_structures(tmp_path):
    rng = np.random.default_rng(1)
    counts = counts_of(9, 4)
    columns = {name: rng.normal(size=9) for name in ("energy", "energy_predicted")}
    columns["w"] = rng.uniform(0.5, 2.0, size=9)
    path = write_store(tmp_path / "s.h5", 9, seed=4, columns=columns)
    loss = LossOptions("huber", energy_delta=0.1, weight_key="w")
    options = HessianOptions(loss=loss)
    requests = [
        HessianRequest((path,), str(tmp_path / f"{shard.number}"), options, shard=shard)
        for shard in shares(4)
    ]
    records = [build_hessian(request) for request in requests]
    whole = build_hessian(HessianRequest((path,), str(tmp_path / "whole"), options))
    found = sum_hessian([], records, HessianOptions())
    assert counts.sum() == found.n_atoms
    assert_same_hessian(found, whole)
    assert found.loss == whole.loss
    assert found.weights == whole.weights == ("w",)


def test_a_key_that_only_other_shares_have_counts_as_one(tmp_path, caplog):
    comments = ["Properties=species:S:1:pos:R:3"] * 8 + ["Properties=species:S:1:pos:R:3 w=2.5"]
    xyz = write_frames(tmp_path / "s.xyz", frames_of(counts_of(9, 4), seed=4, comments=comments))
    path = write_store(tmp_path / "s.h5", 9, seed=4, source=source_of(xyz))
    options = HessianOptions(loss=LossOptions(weight_key="w"))

    def build(name: str, shard: Shard | None = None) -> HessianRecord:
        return build_hessian(HessianRequest((path,), str(tmp_path / name), options, shard=shard))

    with caplog.at_level(logging.WARNING):
        records = [build(f"{shard.number}", shard) for shard in shares(3)]
    assert caplog.text.count("no structure of this shard has w: all count as 1") == 2
    whole = build("whole")
    found = sum_hessian([], records, HessianOptions())
    assert_same_hessian(found, whole)
    assert found.weights == whole.weights
    absent = replace(options, loss=LossOptions(weight_key="v"))
    with pytest.raises(ExpressionError, match="name 'v' is not known"):
        build_hessian(HessianRequest((path,), str(tmp_path / "v"), absent, shard=Shard(1, 3)))


def test_forces_of_a_robust_loss_need_no_width_of_energies(tmp_path):
    """The first share has no forces, and nothing is asked of its energies."""
    counts = counts_of(4, 4)
    rng = np.random.default_rng(2)
    frames = []
    for count in counts:
        lines = [str(count), "Properties=species:S:1:pos:R:3:forces:R:3:forces_predicted:R:3"]
        lines += ["C " + " ".join(f"{x:.6f}" for x in rng.normal(size=9)) for _ in range(count)]
        frames.append(("\n".join(lines) + "\n").encode())
    xyz = write_frames(tmp_path / "s.xyz", frames)
    rows = gradients_of(counts, seed=4, forces=[2, 3], stresses=[])
    species = np.full(int(counts.sum()), 6)
    path = write_store(
        tmp_path / "s.h5", 4, seed=4, source=source_of(xyz), gradients=rows, species=species
    )
    options = HessianOptions(energy_weight=0.0, loss=LossOptions("huber", force_delta=0.5))
    records = [
        build_hessian(HessianRequest((path,), str(tmp_path / str(s.number)), options, shard=s))
        for s in shares(2)
    ]
    whole = build_hessian(HessianRequest((path,), str(tmp_path / "whole"), options))
    found = sum_hessian([], records, HessianOptions())
    # What has no rows has no say about its weight.
    assert_same_hessian(replace(found, energy_weight=0.0), whole)
    assert found.loss == whole.loss


def test_the_file_says_which_share_it_is(tmp_path):
    path = write_store(tmp_path / "s.h5")
    build_hessian(HessianRequest((path,), str(tmp_path / "h"), shard=Shard(2, 3)))
    assert read_hessian_provenance(tmp_path / "h")["settings"]["shard"] == "2/3"
    assert read_hessian(tmp_path / "h").n_structures == 3


def test_structures_that_occur_twice_are_found(tmp_path):
    one = features_of(4, seed=1)
    data = whole_of(one, one)
    with pytest.raises(DuplicateRowsError, match="counted twice"):
        merged(data, HessianOptions(), 2)
    with pytest.raises(DuplicateRowsError, match="counted twice"):
        sum_shard(data, Shard(1, 1), HessianOptions())
    assert merged(data, HessianOptions(allow_duplicates=True), 2).n_structures == 8


def test_hessian_files_cannot_be_divided(tmp_path):
    path = write_store(tmp_path / "s.h5")
    build_hessian(HessianRequest((path,), str(tmp_path / "h")))
    inputs = (path, str(tmp_path / "h"))
    with pytest.raises(RequestError, match="cannot be divided") as caught:
        build_hessian(HessianRequest(inputs, str(tmp_path / "o"), shard=Shard(1, 2)))
    assert "merge it with the shards" in caught.value.remedy


def test_the_regularizer_auto_waits_for_the_whole(tmp_path):
    path = write_store(tmp_path / "s.h5")
    options = HessianOptions(regularizer="auto")
    with pytest.raises(RequestError, match="depends on the whole training set"):
        build_hessian(HessianRequest((path,), str(tmp_path / "o"), options, shard=Shard(1, 2)))
    data = whole_of(features_of(9))
    records = [sum_shard(data, shard, HessianOptions()) for shard in shares(2)]
    found = sum_hessian([], records, options).regularizer
    assert found == pytest.approx(sum_hessian([data], [], options).regularizer, rel=1e-6)


def test_shares_built_with_other_numbers_do_not_merge():
    data = whole_of(features_of(9))
    records = [
        sum_shard(data, shard, HessianOptions(regularizer=value))
        for shard, value in zip(shares(2), (1e-3, 1e-4), strict=True)
    ]
    with pytest.raises(MismatchError, match="differ in regularizer"):
        sum_hessian([], records, HessianOptions())


# Scores of shares.


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Two stores, forces in one structure of the second."""
    monkeypatch.chdir(tmp_path)
    write_store(Path("train.h5"), 10, seed=1)
    build_hessian(HessianRequest(("train.h5",), "h"))
    write_store(Path("a.h5"), 6, seed=2, xyz=Path("a.xyz"))
    rows = gradients_of(counts_of(7, 3), seed=3, forces=[5], stresses=[5, 6])
    write_store(Path("b.h5"), 7, seed=3, xyz=Path("b.xyz"), gradients=rows)
    return ("a.h5@::2", "b.h5", "a.h5@5:0:-1")


def scored(request: ScoreRequest) -> dict[str, np.ndarray]:
    with ScoreRun(request) as run:
        run.run()
        batches = list(run.table())
        if not batches:
            return dict.fromkeys(run.columns, np.empty(0))
        return {name: np.concatenate([b[name] for b in batches]) for name in run.columns}


@pytest.mark.parametrize("n_shards", [1, 2, 5, 15])
@pytest.mark.parametrize("per", ["structure", "atom", "force", "stress"])
def test_tables_of_shares_are_that_of_the_whole(stores, per, n_shards):
    request = ScoreRequest("h", stores, per=per, order="file")
    whole = scored(request)
    parts = [scored(replace(request, order=None, shard=shard)) for shard in shares(n_shards)]
    assert list(parts[0]) == [name for name in whole if name != "rank"]
    for name in parts[0]:
        values = np.concatenate([part[name] for part in parts if part[name].size])
        if values.dtype.kind == "f":
            # Blocks of rows of other heights may round differently.
            np.testing.assert_allclose(values, whole[name], rtol=1e-12)
        else:
            np.testing.assert_array_equal(values, whole[name])


def test_elements_that_only_some_parts_know(tmp_path):
    counts = counts_of(4, 6)
    named = features_of(5, seed=5)
    nameless = Features(atoms=atoms_for(counts, 3, 6), n_atoms=counts)
    record = sum_hessian([whole_of(features_of(10, seed=1))], [], HessianOptions())
    request = ScoreRequest(record, (named, nameless), per="atom", order="file")
    parts = [scored(replace(request, shard=shard))["species"] for shard in shares(3)]
    species = scored(request)["species"]
    np.testing.assert_array_equal(np.concatenate(parts), species)
    assert set(species[-int(counts.sum()) :]) == {"X"}
    assert "X" not in species[: -int(counts.sum())]


def test_limits_hold_in_every_share(stores):
    limit = float(np.median(scored(ScoreRequest("h", stores))["pr"]))
    request = ScoreRequest("h", stores, limits=Limits(below=limit), order="file")
    parts = [scored(replace(request, shard=shard))["index"] for shard in shares(4)]
    whole = scored(request)["index"]
    np.testing.assert_array_equal(np.concatenate(parts).astype(int), whole)
    assert 0 < len(whole) < 15


@pytest.mark.parametrize("choice", [{"order": "rank"}, {"top": 3}])
def test_what_needs_ranks_of_the_whole_is_refused(stores, choice):
    with pytest.raises(RequestError, match="ranks are known only of a whole set") as caught:
        ScoreRun(ScoreRequest("h", stores, shard=Shard(1, 2), **choice))
    assert f"--{next(iter(choice))}" in caught.value.where


@pytest.mark.parametrize("structures", [(), ("a.xyz", "b.xyz")])
@pytest.mark.parametrize("per", ["structure", "atom", "force"])
def test_frames_of_shares_are_those_of_the_whole(stores, per, structures):
    request = ScoreRequest("h", stores, per=per, write="whole.xyz", structures=structures)
    scored(request)
    for shard in shares(4):
        scored(replace(request, shard=shard, write=f"{shard.number}.xyz"))
    parts = [Path(f"{shard.number}.xyz").read_bytes() for shard in shares(4)]
    frames, whole = split_frames(b"".join(parts)), split_frames(Path("whole.xyz").read_bytes())
    assert len(frames) == len(whole) == 15
    assert [f.splitlines()[2].split()[:4] for f in frames] == [
        f.splitlines()[2].split()[:4] for f in whole
    ]
    assert all((b"prcli_" in frame.splitlines()[1]) for frame in frames)
