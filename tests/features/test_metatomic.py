"""Tiny models, made here: the numbers mean nothing, but they are those of the package."""

from __future__ import annotations

import logging
from importlib.util import find_spec

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from prcli.errors import FeatureError, FormatError, InputFileError, RequestError
from prcli.features.featurizer import FeaturizerOptions
from prcli.features.metatomic import make_metatomic
from prcli.features.metatomic_last_layer import short_names
from prcli.features.torch_package import foreign_messages

needs_metatrain = pytest.mark.skipif(find_spec("metatrain") is None, reason="needs metatrain")

LAST_LAYER = "mtt::aux::energy_last_layer_features"


def crystal(seed: int = 1) -> Atoms:
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=seed)
    atoms.numbers[::3] = 6
    return atoms


def molecule() -> Atoms:
    """Three atoms, of which one sees another at the edge of the cutoff."""
    return Atoms("C2Si", [[0.0, 0.0, 0.0], [0.0, 0.0, 1.3], [0.3, 0.2, 3.2]])


STRUCTURES = [crystal(), molecule(), Atoms("Si")]


@pytest.fixture(scope="module")
def models():
    with foreign_messages():
        import exported_models

    return exported_models


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exported")


def save(exported, path) -> str:
    with foreign_messages():
        exported.save(str(path))
    return str(path)


@pytest.fixture(scope="module")
def pet(models):
    return models.pet()


@pytest.fixture(scope="module")
def pet_file(pet, folder):
    return save(pet.export(), folder / "double.pt")


@pytest.fixture(scope="module")
def single_file(models, folder):
    import torch

    return save(models.pet().to(torch.float32).export(), folder / "single.pt")


def featurizer(path, species=(6, 14), **hypers):
    return make_metatomic(FeaturizerOptions(species=species, hypers={"model": path, **hypers}))


def calculator(path):
    with foreign_messages():
        from metatomic_ase import MetatomicCalculator

        return MetatomicCalculator(path, device="cpu", uncertainty_threshold=None)


def learned_energy(path, structure: Atoms, models) -> float:
    """What the package gives, without the energies of isolated atoms."""
    with foreign_messages():
        energy = calculator(path).compute_energy(structure)["energy"]
    return energy - sum(models.COMPOSITION[number] for number in structure.numbers)


def weights_of(pet, models) -> np.ndarray:
    """Weights of the last layers, and the bias of edges, scaled."""
    parameters = dict(pet.named_parameters())
    names = pet.last_layer_parameter_names["energy"]
    weights = [parameters[name].detach().double().numpy().ravel() for name in names]
    return models.SCALE * np.concatenate([*weights, [models.EDGE_BIAS]])


@needs_metatrain
@pytest.mark.parametrize("index", range(3))
def test_features_and_weights_give_the_energy(pet, pet_file, models, index):
    structure = STRUCTURES[index]
    features = featurizer(pet_file).describe([structure]).features
    constant = models.SCALE * models.NODE_BIAS * len(structure)
    obtained = (features @ weights_of(pet, models)).sum() + constant
    # Rounding of the energies of isolated atoms, thousands of eV.
    assert obtained == pytest.approx(learned_energy(pet_file, structure, models), abs=1e-10)


@needs_metatrain
def test_a_float32_model_keeps_its_precision(single_file, pet, models):
    made = featurizer(single_file)
    features = made.describe([crystal()]).features
    assert features.dtype == np.float32
    assert made.settings["precision"] == "float32"
    obtained = (features.astype(float) @ weights_of(pet, models)).sum()
    obtained += 8 * models.SCALE * models.NODE_BIAS - 13000.0
    expected = calculator(single_file).compute_energy(crystal())["energy"]
    assert obtained == pytest.approx(float(expected), rel=1e-5)


@needs_metatrain
@pytest.mark.parametrize("name", ["pet_file", "single_file"])
def test_the_last_column_sums_the_cutoff_function(name, request, models):
    import torch
    from metatrain.pet.modules.utilities import cutoff_func_bump

    path = request.getfixturevalue(name)
    atoms = molecule()
    distances = atoms.get_all_distances()
    ends = torch.full((3, 3), models.CUTOFF, dtype=torch.float64)
    values = cutoff_func_bump(torch.tensor(distances), ends, models.WIDTH).numpy()
    np.fill_diagonal(values, 0.0)
    expected = np.where(distances < models.CUTOFF, values, 0.0).sum(axis=1)
    assert not np.allclose(expected, np.round(expected))
    column = featurizer(path).describe([crystal(), atoms]).features[8:, -1]
    np.testing.assert_allclose(column, expected, rtol=1e-5 if name == "single_file" else 1e-12)


@needs_metatrain
def test_blocks_are_named_after_the_layers(pet_file):
    made = featurizer(pet_file)
    assert made.feature_kind == "last-layer"
    names = [(block.name, block.width) for block in made.blocks]
    assert names == [("node", 8), ("edge", 8), ("bias", 1)]
    assert made.settings["biases"] == ["backend.edge_last_layers.energy.0.energy___0.bias"]


@needs_metatrain
def test_equal_columns_of_biases_become_one(models, pet_file, folder):
    # Two readouts, each with a bias that is multiplied by the same sums.
    path = save(models.pet(featurizer_type="residual").export(), folder / "residual.pt")
    made = featurizer(path)
    assert made.n_features == 33
    rows = made.describe([crystal(), molecule()]).features
    alone = featurizer(pet_file).describe([crystal(), molecule()]).features
    np.testing.assert_allclose(rows[:, -1], 2**0.5 * alone[:, -1], rtol=1e-12)


@needs_metatrain
def test_other_terms_of_the_energy_do_not_matter(models, pet_file, folder):
    path = save(models.pet(zbl=True).export(), folder / "zbl.pt")
    close = Atoms("CSi", [[0.0, 0.0, 0.0], [0.0, 0.0, 0.6]])
    expected = featurizer(pet_file).describe([close]).features
    np.testing.assert_allclose(featurizer(path).describe([close]).features, expected, rtol=1e-12)


@needs_metatrain
def test_a_wrapped_model_gives_the_features_of_the_one_inside(models, pet, pet_file, folder):
    path = save(models.uncertain(models.pet()).export(), folder / "llpr.pt")
    expected = featurizer(pet_file).describe([crystal()]).features
    made = featurizer(path)
    assert made.blocks == featurizer(pet_file).blocks
    np.testing.assert_allclose(made.describe([crystal()]).features, expected, rtol=1e-12)


@needs_metatrain
def test_the_model_is_left_as_it_was(pet_file):
    made = featurizer(pet_file)
    before = made._model.module.state_dict()
    kept = {name: value.clone() for name, value in before.items()}
    made.describe([crystal()])
    assert all(
        np.array_equal(value, kept[name]) for name, value in made._model.module.state_dict().items()
    )


@needs_metatrain
def test_descriptors_are_the_output_of_the_model(pet_file):
    made = featurizer(pet_file, feature_kind="descriptor")
    assert made.feature_kind == "descriptor"
    assert made.settings["output"] == "feature"
    with foreign_messages():
        from metatomic.torch import ModelOutput

        outputs = calculator(pet_file).run_model(
            [crystal(), molecule()], {"feature": ModelOutput(sample_kind="atom")}
        )
    expected = outputs["feature"].block().values.numpy()
    obtained = made.describe([crystal(), molecule()]).features
    np.testing.assert_allclose(obtained, expected, rtol=1e-10, atol=1e-14)


@needs_metatrain
def test_structures_do_not_see_each_other(pet_file):
    made = featurizer(pet_file)
    alone = np.concatenate([made.describe([each]).features for each in STRUCTURES])
    np.testing.assert_allclose(made.describe(STRUCTURES).features, alone, rtol=1e-10, atol=1e-14)


@needs_metatrain
def test_gradient_rows_and_weights_give_forces_and_stress(pet, pet_file, models):
    both = featurizer(pet_file).describe([crystal(2), crystal()], ("force", "stress"))
    with foreign_messages():
        expected = calculator(pet_file).compute_energy(crystal(), compute_forces_and_stresses=True)
    weights = weights_of(pet, models)
    np.testing.assert_allclose(both.forces[24:] @ weights, expected["forces"].ravel(), atol=1e-10)
    # PET is not quite invariant under rotations: its stress has an antisymmetric part.
    symmetric = (expected["stress"] + expected["stress"].T) / 2
    voigt = symmetric[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    np.testing.assert_allclose(both.stress[6:] @ weights, voigt, atol=1e-11)


@needs_metatrain
def test_force_rows_of_the_bias_at_the_edge_of_the_cutoff(pet, pet_file, models):
    rows = featurizer(pet_file).describe([molecule()], ("force",)).forces
    assert np.abs(rows[:, -1]).max() > 0.1
    with foreign_messages():
        atoms = molecule()
        atoms.calc = calculator(pet_file)
        expected = atoms.get_forces()
    np.testing.assert_allclose(rows @ weights_of(pet, models), expected.ravel(), atol=1e-10)


@needs_metatrain
def test_elements_that_the_model_does_not_know(pet_file):
    with pytest.raises(FeatureError, match=r"all elements(.*\n)+.*C, Si(.*\n)+.*got: +O"):
        featurizer(pet_file, species=(8,))
    with pytest.raises(FeatureError, match=r"all elements(.*\n)+.*got: +O"):
        featurizer(pet_file).check(Atoms("O"))


@needs_metatrain
def test_a_file_that_is_no_model(tmp_path):
    path = tmp_path / "some.pt"
    path.write_bytes(b"not a model")
    with pytest.raises(FormatError, match=r"is not a model(.*\n)+.*some\.pt(.*\n)+.*mtt export"):
        featurizer(str(path))
    with pytest.raises(InputFileError, match="missing"):
        featurizer(str(tmp_path / "nowhere.pt"))


@needs_metatrain
def test_another_precision_than_that_of_the_export(single_file):
    with pytest.raises(RequestError, match=r"exported in(.*\n)+.*float32(.*\n)+.*float64"):
        featurizer(single_file, precision="float64")


@needs_metatrain
def test_an_energy_that_is_not_there(pet_file):
    with pytest.raises(RequestError, match=r"no output 'mtt::U0'(.*\n)+.*energy"):
        featurizer(pet_file, head="mtt::U0")


@needs_metatrain
def test_several_energies_need_one(models, folder):
    path = save(models.toy(("energy/pbe", "energy/r2scan", "feature")), folder / "variants.pt")
    with pytest.raises(RequestError, match=r"several energies(.*\n)+.*energy/pbe, energy/r2scan"):
        featurizer(path)


@needs_metatrain
def test_a_device_that_the_model_does_not_run_on(models, folder):
    path = save(models.toy(("energy", "feature")), folder / "cpu.pt")
    with pytest.raises(RequestError, match=r"does not run(.*\n)+.*expected: +cpu"):
        featurizer(path, device="meta")


@needs_metatrain
def test_a_model_without_last_layer_features_gives_descriptors(models, folder, caplog):
    path = save(models.toy(("energy", "feature")), folder / "descriptors.pt")
    with caplog.at_level(logging.WARNING):
        made = featurizer(path)
    assert made.feature_kind == "descriptor"
    assert "no last-layer features" in caplog.text
    with pytest.raises(RequestError, match=r"no last-layer(.*\n)+.*feature-kind descriptor"):
        featurizer(path, feature_kind="last-layer")


@needs_metatrain
def test_a_model_without_any_features(models, folder):
    path = save(models.toy(("energy",)), folder / "bare.pt")
    with pytest.raises(RequestError, match=r"has no features(.*\n)+.*'feature'"):
        featurizer(path)


@needs_metatrain
def test_weights_without_names_cannot_be_checked_and_it_is_said(models, folder, caplog):
    path = save(models.toy(("energy", LAST_LAYER), named=False), folder / "unnamed.pt")
    with caplog.at_level(logging.WARNING):
        made = featurizer(path)
    assert "cannot be checked" in caplog.text
    assert made.settings["checked"] is False
    assert made.describe([molecule()]).features.shape == (3, 2)


@needs_metatrain
def test_named_weights_of_one_layer(models, folder):
    path = save(models.toy(("energy", LAST_LAYER)), folder / "named.pt")
    made = featurizer(path)
    assert made.settings["checked"] is True
    assert [block.name for block in made.blocks] == ["last_layer"]
    made.describe([molecule()], ("force",))


@needs_metatrain
def test_features_that_are_not_those_of_the_energy(models, folder):
    path = save(models.toy(("energy", LAST_LAYER), skewed=True), folder / "skewed.pt")
    with pytest.raises(FeatureError, match=r"do not give the energies(.*\n)+.*skewed\.pt, atom"):
        featurizer(path).describe([molecule()])


@needs_metatrain
def test_derivatives_that_are_wrong(models, folder):
    path = save(models.toy(("energy", LAST_LAYER), detached=True), folder / "detached.pt")
    made = featurizer(path)
    made.describe([molecule()])
    with pytest.raises(FeatureError, match=r"not the derivatives(.*\n)+.*force rows, column"):
        made.describe([molecule()], ("force",))


def test_short_names_are_what_differs():
    one = "backend.node_last_layers.energy.0.energy___0.weight"
    other = one.replace("node", "edge")
    assert short_names([one]) == ["last_layer"]
    assert short_names([one, other]) == ["node", "edge"]
    later = [name.replace(".0.", ".1.") for name in (one, other)]
    assert short_names([one, other, *later]) == ["node.0", "edge.0", "node.1", "edge.1"]
    assert short_names([one, "last.weight"]) == [one, "last.weight"]
