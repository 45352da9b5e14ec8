from __future__ import annotations

import gzip
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import source_of

from prcli.data.dataset import Dataset, Part
from prcli.data.features import Features
from prcli.data.gradient_blocks import gradient_blocks
from prcli.errors import ExpressionError, FeatureError, InputFileError, RequestError
from prcli.workflows.frames import Frames
from prcli.workflows.loss_options import LossOptions
from prcli.workflows.row_weights import RowWeights

KINDS = ("energy", "force", "stress")
D = 4
SHEARS = np.array([1, 1, 1, 2, 2, 2.0])
MACE_KEYS = {
    "weight_key": "config_weight",
    "energy_weight_key": "config_energy_weight",
    "force_weight_key": "config_forces_weight",
    "stress_weight_key": "config_stress_weight",
}
MACE_NAMES = {
    "reference": "REF_energy",
    "predicted": "MACE_energy",
    "force_reference": "REF_forces",
    "force_predicted": "MACE_forces",
    "stress_reference": "REF_stress",
    "stress_predicted": "MACE_stress",
}


def text(values) -> str:
    return " ".join(repr(float(x)) for x in np.ravel(values))


@dataclass
class Structure:
    """One frame: references, predictions and whatever else its comment line says."""

    n_atoms: int
    rng: np.random.Generator = field(repr=False)
    keys: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        reference = self.rng.normal(size=(self.n_atoms, 3))
        self.columns["REF_forces"] = reference
        self.columns["MACE_forces"] = reference + 0.1 * self.rng.normal(size=reference.shape)
        self.keys["REF_energy"] = float(self.rng.normal())
        self.keys["MACE_energy"] = self.keys["REF_energy"] + 0.1 * float(self.rng.normal())
        stress = self.rng.normal(size=6)
        self.keys["REF_stress"] = stress
        self.keys["MACE_stress"] = stress + 0.1 * self.rng.normal(size=6)

    def frame(self) -> bytes:
        properties = "species:S:1:pos:R:3" + "".join(
            f":{name}:R:{np.shape(values)[1]}" for name, values in self.columns.items()
        )
        pairs = [f"Properties={properties}"]
        for key, value in self.keys.items():
            pairs.append(f'{key}="{text(value)}"' if np.ndim(value) else f"{key}={value}")
        atoms = [
            f"C 0 0 {k} "
            + text(np.concatenate([[], *(values[k] for values in self.columns.values())]))
            for k in range(self.n_atoms)
        ]
        return "\n".join([str(self.n_atoms), " ".join(pairs), *atoms, ""]).encode()


def structures_of(*counts: int, seed: int = 0) -> list[Structure]:
    rng = np.random.default_rng(seed)
    return [Structure(count, rng) for count in counts]


class Case:
    """A set in memory whose structures are in a file, and what its rows weigh."""

    def __init__(
        self, folder: Path, structures: list[Structure], *, n_features: int = D, **parts: Any
    ) -> None:
        self.structures = structures
        self.path = folder / parts.pop("name", "train.xyz")
        content = b"".join(structure.frame() for structure in structures)
        compress = gzip.compress if self.path.suffix == ".gz" else bytes
        self.path.write_bytes(compress(content))
        self.n_atoms = np.array([structure.n_atoms for structure in structures])
        has = parts.pop("has", [("force", "stress")] * len(structures))
        heights = [
            (code, i, n)
            for i, n_atoms in enumerate(self.n_atoms)
            for kind, code, n in (("force", 1, 3 * int(n_atoms)), ("stress", 2, 6))
            if kind in has[i]
        ]
        if parts.get("gradients_reduced"):
            heights = [(code, i, min(n, n_features)) for code, i, n in heights]
        kind = np.repeat([code for code, _, _ in heights], [n for _, _, n in heights])
        owner = np.repeat([i for _, i, _ in heights], [n for _, _, n in heights])
        self.features = Features(
            np.random.default_rng(1).normal(size=(len(structures), n_features)),
            n_atoms=self.n_atoms,
            gradients=np.random.default_rng(2).normal(size=(len(kind), n_features)),
            gradient_kind=kind,
            gradient_structure=owner,
            label="features",
            **parts,
        )
        self.features.source = source_of(self.path)

    def data(self, *positions: range) -> Dataset:
        chosen = positions or (range(len(self.structures)),)
        return Dataset([Part(self.features, each) for each in chosen], "train")

    def weights(
        self, options: LossOptions, kinds: Any = KINDS, energy: str = "per-atom", **given: Any
    ) -> RowWeights:
        data = given.get("data", self.data())
        return RowWeights(data, options, energy, set(kinds), lambda: Frames(data))

    def of_gradients(
        self, options: LossOptions, kinds: Any = KINDS, max_rows: int = 7, **given: Any
    ) -> np.ndarray:
        """All weights of gradient rows, read in blocks, ones where a block has nothing else."""
        data = given.get("data", self.data())
        weights = self.weights(options, kinds, data=data)
        weights.check()
        parts = []
        for block in gradient_blocks(data, max_rows):
            found = weights.of_gradients(block)
            parts.append(np.ones(len(block.kind)) if found is None else found)
        return np.concatenate(parts)


def robust(loss: str = "huber", **given: Any) -> LossOptions:
    widths = {"energy_delta": 0.05, "force_delta": 0.08, "stress_delta": 0.09}
    return LossOptions(loss, **(widths | MACE_NAMES | given))


def factors(loss: str, residuals: Any, delta: Any) -> np.ndarray:
    residuals = np.asarray(residuals)
    if loss == "log-cosh":
        return 1.0 / np.cosh(residuals / delta) ** 2
    return np.where(np.abs(residuals) <= delta, 1.0, 0.0)


def expected_gradients(structures: list[Structure], loss: str) -> np.ndarray:
    rows = []
    for structure in structures:
        forces = structure.columns["MACE_forces"] - structure.columns["REF_forces"]
        stress = structure.keys["MACE_stress"] - structure.keys["REF_stress"]
        rows += [factors(loss, forces.ravel(), 0.08), factors(loss, stress, 0.09)]
    return np.concatenate(rows)


# Nothing to weigh by.


def test_squared_errors_weigh_nothing(tmp_path):
    case = Case(tmp_path, structures_of(2, 1))
    weights = case.weights(LossOptions())
    weights.check()
    assert weights.energies() is None
    (block,) = gradient_blocks(case.data(), 1000)
    assert weights.of_gradients(block) is None


def test_squared_errors_open_no_structure_file(tmp_path):
    case = Case(tmp_path, structures_of(2, 1), columns={"w": [2.0, 3.0]})
    options = LossOptions(weight_key="w", stress_components=9)

    def frames() -> Frames:
        raise AssertionError("must not be opened")

    weights = RowWeights(case.data(), options, "per-atom", set(KINDS), frames)
    weights.check()
    np.testing.assert_array_equal(weights.energies(), [2, 3])
    (block,) = gradient_blocks(case.data(), 1000)
    expected = np.concatenate([np.full(6, 2.0), 2 * SHEARS, np.full(3, 3.0), 3 * SHEARS])
    np.testing.assert_array_equal(weights.of_gradients(block), expected)


# Weights of structures.


def weigh(structures: list[Structure], key: str, *values: Any) -> None:
    for structure, value in zip(structures, values, strict=True):
        if value is not None:
            structure.keys[key] = value


def test_weights_of_mace_multiply(tmp_path):
    structures = structures_of(1, 2, 1)
    weigh(structures, "config_weight", 2, 0.5, 1.0)
    weigh(structures, "config_energy_weight", 3, 1, 0)
    weigh(structures, "config_forces_weight", 5, 1, 7)
    weigh(structures, "config_stress_weight", 0, 11, 1)
    case = Case(tmp_path, structures)
    options = LossOptions(**MACE_KEYS)
    np.testing.assert_array_equal(case.weights(options).energies(), [6, 0.5, 0])
    expected = [[10] * 3, [0] * 6, [0.5] * 6, [5.5] * 6, [7] * 3, [1] * 6]
    np.testing.assert_array_equal(case.of_gradients(options), np.concatenate(expected))


def test_weights_of_kinds_that_do_not_enter_are_not_asked_for(tmp_path):
    case = Case(tmp_path, structures_of(1, 2), columns={"w": [2.0, 3.0]})
    options = LossOptions(energy_weight_key="w", force_weight_key="not there")
    weights = case.weights(options, {"energy"})
    weights.check()
    np.testing.assert_array_equal(weights.energies(), [2, 3])


def test_energies_that_do_not_enter_weigh_nothing(tmp_path):
    case = Case(tmp_path, structures_of(1, 2), columns={"w": [2.0, 3.0]})
    assert case.weights(LossOptions(weight_key="w"), {"force"}).energies() is None


def test_column_of_the_store_goes_before_the_key(tmp_path):
    structures = structures_of(1, 1)
    weigh(structures, "w", 5, 6)
    case = Case(tmp_path, structures, columns={"w": [2.0, 3.0]})
    np.testing.assert_array_equal(case.weights(LossOptions(weight_key="w")).energies(), [2, 3])


def test_weight_that_a_frame_lacks_is_one_and_reported(tmp_path, caplog):
    structures = structures_of(1, 1, 1, 1)
    weigh(structures, "config_weight", 2, None, 3, None)
    case = Case(tmp_path, structures)
    with caplog.at_level(logging.WARNING):
        found = case.weights(LossOptions(weight_key="config_weight")).energies()
    np.testing.assert_array_equal(found, [2, 1, 3, 1])
    assert caplog.messages == [
        "2 of 4 structures of the train set lack config_weight, which counts as 1 there"
    ]


def test_weight_that_every_frame_lacks(tmp_path):
    case = Case(tmp_path, structures_of(1, 1))
    with pytest.raises(ExpressionError, match="'config_weigth' is not known") as caught:
        case.weights(LossOptions(weight_key="config_weigth")).check()
    assert "REF_energy" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1.0, "a weight is not valid"),
        ("nan", "a weight is not valid"),
        ("inf", "a weight is not valid"),
        ("heavy", "'w' is not a number everywhere"),
        ("T", "'w' is not a number everywhere"),
        (np.array([1.0, 2.0]), "'w' is not a number everywhere"),
    ],
)
def test_weight_that_is_none_names_structure_and_key(tmp_path, value, message):
    structures = structures_of(1, 1, 1)
    weigh(structures, "w", 1, 1, value)
    case = Case(tmp_path, structures)
    with pytest.raises(RequestError, match=message) as caught:
        case.weights(LossOptions(force_weight_key="w")).check()
    assert "features, structure 2, w" in str(caught.value)


def test_column_of_texts_is_no_weight(tmp_path):
    case = Case(tmp_path, structures_of(1, 1), columns={"w": ["a", "b"]})
    with pytest.raises(RequestError, match="'w' is not a number everywhere"):
        case.weights(LossOptions(weight_key="w")).check()


def test_weights_follow_slices_and_parts(tmp_path):
    structures = structures_of(1, 2, 3, 1)
    weigh(structures, "w", 2, 3, 4, 5)
    case = Case(tmp_path, structures)
    data = case.data(range(3, 0, -2), range(0, 2))
    options = LossOptions(weight_key="w")
    np.testing.assert_array_equal(case.weights(options, data=data).energies(), [5, 3, 2, 3])
    heights = [9, 12, 9, 12]
    found = case.of_gradients(options, data=data)
    np.testing.assert_array_equal(found, np.repeat([5.0, 3, 2, 3], heights))


# Robust losses.


@pytest.mark.parametrize("energy", ["per-atom", "total"])
@pytest.mark.parametrize("loss", ["huber", "log-cosh", "mace-universal"])
def test_energies_weigh_by_their_residuals(tmp_path, loss, energy):
    structures = structures_of(1, 4, 2, 3, 1, 5)
    case = Case(tmp_path, structures)
    residuals = np.array([s.keys["MACE_energy"] - s.keys["REF_energy"] for s in structures])
    if energy == "per-atom":
        residuals /= case.n_atoms
    expected = factors(loss, residuals, 0.05)
    assert 0 < np.count_nonzero(expected > 0.5) < len(expected)
    found = case.weights(robust(loss), energy=energy).energies()
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_energies_of_the_store(tmp_path):
    columns = {"energy": [0.0, 0.0], "energy_predicted": [0.04, 0.06]}
    case = Case(tmp_path, structures_of(1, 1), columns=columns)
    found = case.weights(LossOptions("huber", energy_delta=0.05), {"energy"}).energies()
    np.testing.assert_array_equal(found, [1, 0])


def test_residuals_within_the_width_weigh_one(tmp_path):
    case = Case(tmp_path, structures_of(1, 2))
    options = robust(energy_delta=1e3, force_delta=1e3, stress_delta=1e3)
    weights = case.weights(options)
    assert weights.energies() is None
    (block,) = gradient_blocks(case.data(), 1000)
    assert weights.of_gradients(block) is None


@pytest.mark.parametrize("name", ["train.xyz", "train.xyz.gz"])
@pytest.mark.parametrize("max_rows", [1, 20, 1000])
@pytest.mark.parametrize("loss", ["huber", "log-cosh"])
def test_gradients_weigh_by_their_residuals(tmp_path, loss, max_rows, name):
    structures = structures_of(2, 1, 3, 2)
    found = Case(tmp_path, structures, name=name).of_gradients(robust(loss), max_rows=max_rows)
    expected = expected_gradients(structures, loss)
    assert 0 < np.count_nonzero(expected > 0.5) < len(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_weights_shears_and_factors_multiply(tmp_path):
    structures = structures_of(2, 1, 3)
    weigh(structures, "w", 2, 3, 4)
    options = robust("log-cosh", weight_key="w", stress_components=9)
    found = Case(tmp_path, structures).of_gradients(options)
    counted = [np.concatenate([np.ones(3 * s.n_atoms), SHEARS]) * s.keys["w"] for s in structures]
    expected = np.concatenate(counted) * expected_gradients(structures, "log-cosh")
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_gradients_of_slices_and_parts(tmp_path):
    structures = structures_of(2, 1, 3, 2)
    case = Case(tmp_path, structures)
    data = case.data(range(3, 0, -2), range(4))
    expected = expected_gradients([structures[i] for i in (3, 1, 0, 1, 2, 3)], "log-cosh")
    found = case.of_gradients(robust("log-cosh"), data=data)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_structures_without_rows_are_passed_over(tmp_path):
    structures = structures_of(2, 1, 3)
    case = Case(tmp_path, structures, has=[("force",), (), ("stress",)])
    del structures[0].keys["REF_stress"]
    structures[1].columns.clear()
    structures[2].columns.clear()
    case.path.write_bytes(b"".join(structure.frame() for structure in structures))
    case.features.source = source_of(case.path)
    whole = expected_gradients(structures_of(2, 1, 3), "log-cosh")
    found = case.of_gradients(robust("log-cosh"), {"force", "stress"})
    np.testing.assert_allclose(found, np.concatenate([whole[:6], whole[-6:]]), rtol=1e-10)


def test_blocks_may_come_out_of_order(tmp_path):
    structures = structures_of(2, 1, 3)
    case = Case(tmp_path, structures)
    blocks = list(gradient_blocks(case.data(), 1))
    weights = case.weights(robust("log-cosh"))
    expected = np.split(expected_gradients(structures, "log-cosh"), [12, 21])
    for i in (2, 0, 1, 1, 0, 2):
        np.testing.assert_allclose(weights.of_gradients(blocks[i]), expected[i], rtol=1e-10)


def test_blocks_in_order_read_each_file_once(tmp_path):
    case = Case(tmp_path, structures_of(2, 1, 3))
    data = case.data()
    calls = []

    class Counting(Frames):
        def read(self, indices):
            calls.append(list(indices))
            return super().read(indices)

    weights = RowWeights(data, robust(), "per-atom", {"force"}, lambda: Counting(data))
    weights.check()
    calls.clear()
    for block in gradient_blocks(data, 1):
        weights.of_gradients(block)
    assert calls == [[0, 1, 2]]


@pytest.mark.parametrize(("norm", "factor"), [(99, 1.0), (100, 0.7), (250, 0.4), (300, 0.1)])
def test_universal_loss_narrows_where_forces_are_large(tmp_path, norm, factor):
    (structure,) = structures_of(1)
    reference = np.array([[0.0, 0.0, float(norm)]])
    residuals = np.array([[0.99, 1.01, 0.0]]) * 0.08 * factor
    structure.columns = {"REF_forces": reference, "MACE_forces": reference + residuals}
    found = Case(tmp_path, [structure]).of_gradients(robust("mace-universal"), {"force"})
    np.testing.assert_array_equal(found[:3], [1, 0, 1])


@pytest.mark.parametrize(("value", "n_warnings"), [(0, 0), (2.0, 1)])
def test_universal_loss_says_where_mace_differs(tmp_path, caplog, value, n_warnings):
    structures = structures_of(1, 1)
    weigh(structures, "w", 1, value)
    case = Case(tmp_path, structures)
    with caplog.at_level(logging.WARNING):
        case.weights(robust("mace-universal", force_weight_key="w")).check()
    said = [message for message in caplog.messages if "MACE's own universal loss" in message]
    assert len(said) == n_warnings


@pytest.mark.parametrize("key", ["REF_stress", "stress"])
def test_stress_as_a_tensor(tmp_path, key):
    structures = structures_of(1, 2)
    expected = expected_gradients(structures, "log-cosh")
    for structure in structures:
        xx, yy, zz, yz, xz, xy = structure.keys.pop("REF_stress")
        # Not quite symmetric, as programs print it; the mean of each pair counts.
        tensor = [xx, xy + 0.2, xz, xy - 0.2, yy, yz, xz, yz, zz]
        structure.keys[key] = np.array(tensor)
    found = Case(tmp_path, structures).of_gradients(robust("log-cosh", stress_reference=key))
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_stress_that_ase_wrote(tmp_path):
    io = pytest.importorskip("ase.io")
    atoms = pytest.importorskip("ase").Atoms("C", cell=[3, 3, 3], pbc=True)
    (structure,) = structures_of(1)
    tensor = np.arange(9.0).reshape(3, 3)
    atoms.info = dict(structure.keys) | {"REF_stress": tensor + tensor.T}
    atoms.arrays.update(structure.columns)
    io.write(tmp_path / "ase.xyz", atoms, format="extxyz")
    case = Case(tmp_path, [structure])
    case.features.source = source_of(tmp_path / "ase.xyz")
    residuals = structure.keys["MACE_stress"] - [0, 8, 16, 12, 8, 4]
    found = case.of_gradients(robust("log-cosh", stress_delta=10.0), {"stress"})
    np.testing.assert_allclose(found[3:], factors("log-cosh", residuals, 10.0), rtol=1e-6)


# What a structure of no weight lacks.


def test_structure_of_weight_zero_needs_no_residuals(tmp_path):
    structures = structures_of(2, 1, 3)
    expected = expected_gradients(structures, "log-cosh")
    structures[1].keys = {}
    structures[1].columns = {}
    weigh(structures, "w", 1, 0, 1)
    case = Case(tmp_path, structures)
    options = robust("log-cosh", weight_key="w")
    expected[12:21] = 0.0
    np.testing.assert_allclose(case.of_gradients(options), expected, rtol=1e-10)
    energies = case.weights(options).energies()
    assert energies[1] == 0.0
    assert (energies[[0, 2]] > 0.0).all()


# Refusals.


@pytest.mark.parametrize("kind", KINDS)
def test_robust_loss_needs_widths_of_the_kinds_that_enter(tmp_path, kind):
    case = Case(tmp_path, structures_of(1, 1))
    options = robust(**{f"{kind}_delta": None})
    with pytest.raises(RequestError, match=f"needs a width for {kind} rows"):
        case.weights(options).check()
    case.weights(options, set(KINDS) - {kind}).check()


def reject(case: Case, options: LossOptions, match: str) -> str:
    with pytest.raises(FeatureError, match=match) as caught:
        case.weights(options).check()
    return str(caught.value)


def test_absent_energy_names_frame_and_keys(tmp_path):
    structures = structures_of(1, 1)
    del structures[1].keys["MACE_energy"]
    message = reject(Case(tmp_path, structures), robust(), "an energy that the loss needs")
    assert "train.xyz, frame 1, MACE_energy" in message
    assert "REF_energy" in message


def test_energy_that_is_nan(tmp_path):
    columns = {"energy": [0.0, np.nan], "energy_predicted": [0.0, 0.0]}
    case = Case(tmp_path, structures_of(1, 1), columns=columns)
    with pytest.raises(FeatureError, match="an energy that the loss needs") as caught:
        case.weights(LossOptions("huber", energy_delta=1.0), {"energy"}).check()
    assert "features, structure 1, energy" in str(caught.value)


@pytest.mark.parametrize("column", ["REF_forces", "MACE_forces"])
def test_absent_force_column_names_frame_and_columns(tmp_path, column):
    structures = structures_of(1, 1)
    structures[1].columns["other"] = structures[1].columns.pop(column)
    message = reject(Case(tmp_path, structures), robust(), f"column '{column}' is absent")
    assert "train.xyz, frame 1" in message
    assert "other:R:3" in message


def test_force_column_of_another_width(tmp_path):
    structures = structures_of(1, 1)
    structures[1].columns["REF_forces"] = np.ones((1, 2))
    message = reject(Case(tmp_path, structures), robust(), "does not hold forces")
    assert "train.xyz, frame 1" in message


def test_absent_stress_names_frame_and_keys(tmp_path):
    structures = structures_of(1, 1)
    del structures[1].keys["REF_stress"]
    message = reject(Case(tmp_path, structures), robust(), "stress 'REF_stress' is absent")
    assert "train.xyz, frame 1" in message
    assert "MACE_stress" in message


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (np.ones(3), "a stress is misshaped"),
        (1.0, "a stress is misshaped"),
        ("no", "a stress is misshaped"),
        (np.array([0, 0, 0, 0, np.nan, 0]), "a stress is not finite"),
    ],
)
def test_stress_that_is_none(tmp_path, value, match):
    structures = structures_of(1, 1)
    structures[1].keys["MACE_stress"] = value
    assert "train.xyz, frame 1, MACE_stress" in reject(Case(tmp_path, structures), robust(), match)


def test_force_that_is_not_finite(tmp_path):
    structures = structures_of(1, 2)
    structures[1].columns["REF_forces"][1, 2] = np.inf
    case = Case(tmp_path, structures)
    with pytest.raises(FeatureError, match="a force is not finite") as caught:
        case.of_gradients(robust())
    assert "train.xyz, frame 1, REF_forces, atom 1, z" in str(caught.value)


@pytest.mark.parametrize("kind", ["force", "stress"])
def test_robust_loss_needs_single_rows(tmp_path, kind):
    case = Case(tmp_path, structures_of(1, 2), gradients_reduced=True)
    with pytest.raises(FeatureError, match=f"the {kind} rows of a structure were reduced"):
        case.weights(robust(), {"energy", kind}).check()
    case.weights(robust(), {"energy"}).check()


def test_nine_components_need_single_rows(tmp_path):
    case = Case(tmp_path, structures_of(1, 2), gradients_reduced=True)
    options = LossOptions(stress_components=9)
    with pytest.raises(FeatureError, match="the stress rows of a structure were reduced"):
        case.weights(options).check()
    case.weights(options, {"energy", "force"}).check()


def test_blocks_too_low_to_reduce_have_single_rows(tmp_path):
    case = Case(tmp_path, structures_of(5, 1), n_features=8, gradients_reduced=True)
    found = case.of_gradients(LossOptions(stress_components=9))
    expected = [np.ones(8), SHEARS, np.ones(3), SHEARS]
    np.testing.assert_array_equal(found, np.concatenate(expected))


def test_reduced_rows_take_weights_of_structures(tmp_path):
    columns = {"w": [2.0, 3.0]}
    case = Case(tmp_path, structures_of(3, 2), columns=columns, gradients_reduced=True)
    found = case.of_gradients(LossOptions(weight_key="w"))
    np.testing.assert_array_equal(found, np.repeat([2.0, 3.0], 2 * D))


def test_set_without_structures_has_no_residuals(tmp_path):
    case = Case(tmp_path, structures_of(1, 1))
    case.features.source = None
    with pytest.raises(RequestError, match="the structures behind the features are not known"):
        case.weights(robust(), {"force"}).check()


def test_structure_file_that_is_gone(tmp_path):
    case = Case(tmp_path, structures_of(1, 1))
    case.path.unlink()
    with pytest.raises(InputFileError, match="is gone"):
        case.weights(robust(), {"force"}).check()
