from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prcli.data.hessian_file import (
    HessianRecord,
    read_hessian,
    read_hessian_provenance,
    write_hessian,
)
from prcli.data.provenance import make_provenance, provenance_to_dict
from prcli.errors import FormatError, InputFileError, OutputError
from prcli.records import Block, Intercept, Loss

TRIANGLE = np.triu(np.arange(1.0, 10.0).reshape(3, 3))


def record(**changes: Any) -> HessianRecord:
    parts: dict[str, Any] = {
        "R": {"energy": TRIANGLE},
        "n_rows": {"energy": 7},
        "sum_sq_atoms": 1 / 3,
        "n_atoms": 10**10,
        "sum_sq_structures": 0.1,
        "n_structures": 7,
        "digests": np.array([0, 2**64 - 1], dtype=np.uint64),
        "energy": "per-atom",
        "scale_rule": "atom-rms",
        "scale": 0.7,
        "energy_weight": 1.0,
        "force_weight": 0.0,
        "stress_weight": 0.0,
        "reduction": "sum",
        "regularizer": 1e-5,
    }
    return HessianRecord(**(parts | changes))


def assert_equal(first: HessianRecord, second: HessianRecord) -> None:
    for field in dataclasses.fields(HessianRecord):
        one, two = getattr(first, field.name), getattr(second, field.name)
        if field.name == "R":
            assert list(one) == list(two)
            for kind in one:
                np.testing.assert_array_equal(one[kind], two[kind])
        elif isinstance(one, np.ndarray):
            assert one.dtype == two.dtype
            np.testing.assert_array_equal(one, two)
        else:
            assert one == two, field.name


def test_least_record(tmp_path: Path) -> None:
    write_hessian(tmp_path / "h.h5", record())
    assert_equal(read_hessian(tmp_path / "h.h5"), record())
    assert read_hessian_provenance(tmp_path / "h.h5") is None
    assert os.listdir(tmp_path) == ["h.h5"]


def test_full_record(tmp_path: Path) -> None:
    full = record(
        R={"energy": TRIANGLE, "force": 2 * TRIANGLE, "stress": np.zeros((3, 3))},
        n_rows={"energy": 7, "force": 300, "stress": 0},
        blocks=(Block("nu1", 1),),
        intercept=Intercept("species", (1, 8)),
        energy="total",
        scale_rule="value",
        reduction="mean",
        alpha_energy=0.1,
        alpha_force=0.2,
        alpha_stress=0.3,
        prior=np.array([1.0, 0.0, 0.0]),
        loss=Loss("huber", 0.01, 0.1, 0.002, 9),
        weights=("config_weight", "force:with space, and comma", "stress:\u00e9\"t\u00e9"),
    )
    provenance = make_provenance([], {"scale": 0.7}, "prcli hessian")
    write_hessian(tmp_path / "h.h5", full, provenance)
    assert_equal(read_hessian(tmp_path / "h.h5"), full)
    assert read_hessian_provenance(tmp_path / "h.h5") == provenance_to_dict(provenance)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30
)
@given(
    n=st.integers(1, 6),
    scale=st.floats(1e-300, 1e300),
    regularizer=st.floats(0, 1e300),
    seed=st.integers(0, 99),
    kinds=st.sets(st.sampled_from(["energy", "force", "stress"]), min_size=1),
    full_prior=st.booleans(),
)
def test_round_trip(
    tmp_path: Path,
    n: int,
    scale: float,
    regularizer: float,
    seed: int,
    kinds: set[str],
    full_prior: bool,
) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n, n))
    some = record(
        R={
            k: np.triu(rng.normal(size=(n, n))) for k in ("energy", "force", "stress") if k in kinds
        },
        n_rows={k: 3 for k in kinds},
        scale=scale,
        regularizer=regularizer,
        digests=rng.integers(0, 2**64, size=seed, dtype=np.uint64),
        prior=root @ root.T if full_prior else None,
    )
    write_hessian(tmp_path / "h.h5", some, overwrite=True)
    assert_equal(read_hessian(tmp_path / "h.h5"), some)


def test_features_and_intercept_are_counted() -> None:
    both = record(intercept=Intercept("atom"))
    assert (both.n_columns, both.n_features) == (3, 2)


def test_matrices_in_fortran_order(tmp_path: Path) -> None:
    write_hessian(tmp_path / "h.h5", record(R={"energy": np.asfortranarray(TRIANGLE)}))
    np.testing.assert_array_equal(read_hessian(tmp_path / "h.h5").R["energy"], TRIANGLE)


def test_prior_may_leave_out_the_intercept(tmp_path: Path) -> None:
    some = record(intercept=Intercept("atom"), prior=np.eye(2))
    write_hessian(tmp_path / "h.h5", some)
    assert_equal(read_hessian(tmp_path / "h.h5"), some)


def test_equal_records_give_equal_bytes(tmp_path: Path) -> None:
    write_hessian(tmp_path / "a.h5", record(blocks=(Block("nu1", 3),)))
    time.sleep(1.1)  # HDF5 counts seconds
    write_hessian(tmp_path / "b.h5", record(blocks=(Block("nu1", 3),)))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_existing_file_is_refused(tmp_path: Path) -> None:
    write_hessian(tmp_path / "h.h5", record())
    with pytest.raises(OutputError, match="give --overwrite"):
        write_hessian(tmp_path / "h.h5", record())


def test_existing_file_is_overwritten(tmp_path: Path) -> None:
    write_hessian(tmp_path / "h.h5", record())
    write_hessian(tmp_path / "h.h5", record(scale=3.0), overwrite=True)
    assert read_hessian(tmp_path / "h.h5").scale == 3.0


NAN = np.triu(np.where(np.eye(3), np.nan, 1.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"R": {}, "n_rows": {}}, "holds no matrix"),
        ({"R": {"virial": TRIANGLE}, "n_rows": {"virial": 1}}, "holds no matrix"),
        ({"n_rows": {}}, "numbers of rows differ"),
        ({"n_rows": {"energy": -1}}, "number of rows is negative"),
        ({"R": {"energy": np.ones((2, 3))}}, "wrong shape"),
        ({"R": {"energy": TRIANGLE.T}}, "R/energy[\\s\\S]*zeros below the diagonal"),
        ({"R": {"energy": NAN}}, "not finite"),
        (
            {"R": {"energy": TRIANGLE, "force": np.eye(2)}, "n_rows": {"energy": 1, "force": 1}},
            "R/force",
        ),
        ({"blocks": (Block("a", 2),)}, "do not cover"),
        ({"intercept": Intercept("species", (1, 6, 8))}, "no feature columns"),
        ({"intercept": Intercept("species")}, "species of the intercept"),
        ({"intercept": Intercept("species", (6, 6))}, "species of the intercept"),
        ({"intercept": Intercept("atom", (6,))}, "species of the intercept"),
        ({"scale": 0.0}, "scale is out of range"),
        ({"scale": float("nan")}, "scale is out of range"),
        ({"regularizer": -1e-9}, "regularizer is out of range"),
        ({"force_weight": float("inf")}, "force_weight is out of range"),
        ({"alpha_energy": 0.0}, "alpha_energy is out of range"),
        ({"n_atoms": -1}, "n_atoms is out of range"),
        ({"energy": "atom"}, "per-atom or total"),
        ({"scale_rule": "0.7"}, "scale_rule is absent or unknown"),
        ({"reduction": "max"}, "sum or mean"),
        ({"digests": np.zeros((2, 2), np.uint64)}, "digests has the wrong shape"),
        ({"prior": np.ones(2)}, "prior has the wrong shape"),
        ({"prior": np.ones((3, 1))}, "prior has the wrong shape"),
        ({"prior": np.float64(1)}, "prior has the wrong shape"),
        ({"prior": TRIANGLE}, "prior is not symmetric"),
        ({"prior": np.array([1, 1, np.inf])}, "prior is not finite"),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        write_hessian(tmp_path / "h.h5", record(**changes))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("prior", "where", "got"),
    [
        (np.array([1, 1, np.inf]), "entry (2,)", "inf"),
        (np.array([[1, 0, 0], [0, np.nan, 0], [0, 0, 1]]), "entry (1, 1)", "nan"),
        (np.array([[1, 0, 0], [0, 1, 2.5], [0, 0, 1]]), "entry (1, 2)", "2.5"),
    ],
)
def test_entry_that_spoils_a_prior_is_named(
    tmp_path: Path, prior: np.ndarray, where: str, got: str
) -> None:
    with pytest.raises(FormatError) as caught:
        write_hessian(tmp_path / "h.h5", record(prior=prior))
    assert str(caught.value.where).endswith(where)
    assert caught.value.got == got


def test_entry_below_the_diagonal_of_a_large_matrix_is_found(tmp_path: Path) -> None:
    matrix = np.triu(np.ones((600, 600)))
    matrix[599, 598] = 1e-300
    with pytest.raises(FormatError, match="not upper triangular[\\s\\S]*rows from 512"):
        write_hessian(tmp_path / "h.h5", record(R={"energy": matrix}))


def edited(path: Path, **attributes: Any) -> Path:
    write_hessian(path, record())
    with h5py.File(path, "a") as file:
        for name, value in attributes.items():
            del file.attrs[name]
            if value is not None:
                file.attrs[name] = value
    return path


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"format": "prcli-features"}, "another format"),
        ({"version": 2}, "newer version"),
        ({"scale": None}, "attribute scale is absent"),
        ({"scale": "big"}, "attribute scale is not a number"),
        ({"energy": None}, "energy is absent or unknown"),
        ({"intercept": "bias"}, "none or atom or species"),
        ({"regularizer": -1.0}, "regularizer is out of range"),
    ],
)
def test_broken_attributes_are_refused(tmp_path: Path, attributes: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_hessian(edited(tmp_path / "h.h5", **attributes))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("R", None, "holds no matrix"),
        ("R/energy", np.ones((3, 3)), "n_rows is absent"),
        ("R/energy", np.ones((3, 3), int), "not an array of float64"),
        ("digests", None, "digests of the training structures are absent"),
        ("digests", np.ones(3), "digests of the training structures are absent"),
        ("blocks", "nu1", "blocks cannot be understood"),
    ],
)
def test_broken_datasets_are_refused(tmp_path: Path, name: str, value: Any, message: str) -> None:
    write_hessian(tmp_path / "h.h5", record())
    with h5py.File(tmp_path / "h.h5", "a") as file:
        if name == "blocks":
            file.attrs[name] = value
        else:
            del file[name]
            if value is not None:
                file[name] = value
    with pytest.raises(FormatError, match=message):
        read_hessian(tmp_path / "h.h5")


def test_big_endian_chunked_file(tmp_path: Path) -> None:
    write_hessian(tmp_path / "h.h5", record())
    with h5py.File(tmp_path / "h.h5", "a") as file:
        del file["R/energy"]
        file.create_dataset("R/energy", data=TRIANGLE.astype(">f8"), chunks=(1, 2))
        file["R/energy"].attrs["n_rows"] = 7
    assert_equal(read_hessian(tmp_path / "h.h5"), record())


def test_files_that_say_nothing_of_a_loss_are_of_squared_errors(tmp_path: Path) -> None:
    write_hessian(tmp_path / "h.h5", record())
    with h5py.File(tmp_path / "h.h5", "a") as file:
        for name in ("loss", "stress_components"):
            del file.attrs[name]
        assert "weights" not in file.attrs
        assert not [name for name in file.attrs if name.endswith("_delta")]
    found = read_hessian(tmp_path / "h.h5")
    assert found.loss == Loss("squared", None, None, None, 6)
    assert found.weights == ()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("loss", "absolute", "loss is absent or unknown"),
        ("loss", "huber", "energy_delta does not fit the loss huber"),
        ("loss", 3, "attribute loss is not a string"),
        ("energy_delta", 1.0, "energy_delta does not fit the loss squared"),
        ("stress_components", 7, "stress_components is out of range"),
        ("stress_components", 6.5, "stress_components is out of range"),
        ("stress_components", "six", "attribute stress_components is not a number"),
        ("weights", "w", "attribute weights cannot be understood"),
        ("weights", "[1]", "attribute weights cannot be understood"),
        ("weights", '{"w": 1}', "attribute weights cannot be understood"),
    ],
)
def test_broken_losses_are_refused(tmp_path: Path, name: str, value: Any, message: str) -> None:
    write_hessian(tmp_path / "h.h5", record())
    with h5py.File(tmp_path / "h.h5", "a") as file:
        file.attrs[name] = value
    with pytest.raises(FormatError, match=message):
        read_hessian(tmp_path / "h.h5")


@pytest.mark.parametrize("delta", [0.0, -1.0, float("nan"), float("inf")])
def test_widths_out_of_range_are_refused(tmp_path: Path, delta: float) -> None:
    with pytest.raises(FormatError, match="energy_delta does not fit"):
        write_hessian(tmp_path / "h.h5", record(loss=Loss("log-cosh", energy_delta=delta)))


def test_kinds_without_rows_need_no_width(tmp_path: Path) -> None:
    some = record(
        R={"energy": TRIANGLE, "force": np.zeros((3, 3))},
        n_rows={"energy": 7, "force": 0},
        loss=Loss("log-cosh", energy_delta=1.0, stress_delta=2.0),
    )
    write_hessian(tmp_path / "h.h5", some)
    assert_equal(read_hessian(tmp_path / "h.h5"), some)


def test_truncated_file(tmp_path: Path) -> None:
    write_hessian(tmp_path / "h.h5", record())
    os.truncate(tmp_path / "h.h5", 1500)
    with pytest.raises(InputFileError, match="truncated"):
        read_hessian(tmp_path / "h.h5")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="No such file"):
        read_hessian(tmp_path / "h.h5")
