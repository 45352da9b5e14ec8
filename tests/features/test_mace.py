"""Tiny models, made here: the numbers mean nothing, but they are those of the package."""

from __future__ import annotations

import logging
import pickle
from importlib.util import find_spec

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from mace_models import ISOLATED, SPECIES, build, save

from prcli.errors import FeatureError, FormatError, InputFileError, RequestError
from prcli.features.featurizer import FeaturizerOptions
from prcli.features.mace import make_mace
from prcli.features.torch_package import foreign_messages

pytestmark = pytest.mark.skipif(find_spec("mace") is None, reason="needs mace-torch")


def crystal(seed: int = 1) -> Atoms:
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=seed)
    atoms.numbers[::3] = 6
    return atoms


def molecule() -> Atoms:
    return Atoms("C2Si", [[0.0, 0.0, 0.0], [0.0, 0.0, 1.3], [1.5, 0.2, 2.0]])


STRUCTURES = [crystal(), molecule(), Atoms("Si")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def model_file(folder):
    return save(build("ScaleShiftMACE", "float64"), folder / "double.model")


@pytest.fixture(scope="module")
def single_file(folder):
    return save(build("ScaleShiftMACE", "float32"), folder / "single.model")


@pytest.fixture(scope="module")
def heads_file(folder):
    return save(build("ScaleShiftMACE", "float64", ["pbe", "r2scan"]), folder / "heads.model")


@pytest.fixture(scope="module")
def plain_file(folder):
    changes = {"pair_repulsion": True, "distance_transform": "Agnesi"}
    return save(build("MACE", "float64", **changes), folder / "plain.model")


def featurizer(path, species=SPECIES, **hypers):
    return make_mace(FeaturizerOptions(species=species, hypers={"model": path, **hypers}))


def load(path):
    import torch

    with foreign_messages():
        return torch.load(path, weights_only=False)


def raw_weights(path, head: int = 0, n_heads: int = 1) -> np.ndarray:
    """Weights as they are stored; e3nn divides by the root of the number of inputs."""
    first, last = load(path).readouts
    linear = first.linear.weight.detach().numpy().reshape(4, n_heads)[:, head] / 2
    width = 3 * n_heads
    hidden = last.linear_2.weight.detach().numpy().reshape(width, n_heads)[:, head]
    return np.concatenate([linear, hidden[3 * head : 3 * head + 3] / width**0.5])


def total_energy(model, structure: Atoms, **choices) -> float:
    """What the calculator of the package gives."""
    with foreign_messages():
        from mace.calculators import MACECalculator

        structure = structure.copy()
        structure.calc = MACECalculator(models=[model], device="cpu", **choices)
        return structure.get_potential_energy()


def interaction_energy(path, structure: Atoms, **choices) -> float:
    """Energy without those of isolated atoms, which are thousands of eV."""
    isolated = sum(ISOLATED[number] for number in structure.numbers)
    return total_energy(load(path), structure, **choices) - isolated


@pytest.mark.parametrize("index", range(3))
def test_features_and_stored_weights_give_the_energy(model_file, index):
    structure = STRUCTURES[index]
    features = featurizer(model_file).describe([structure]).features
    obtained = 1.7 * (features @ raw_weights(model_file)).sum() + 0.1 * len(structure)
    expected = interaction_energy(model_file, structure)
    assert obtained == pytest.approx(expected, rel=1e-10, abs=1e-11)


def test_a_float32_model_keeps_its_precision(single_file):
    made = featurizer(single_file)
    features = made.describe([crystal()]).features
    assert features.dtype == np.float32
    assert made.settings["precision"] == "float32"
    obtained = 1.7 * (features @ raw_weights(single_file)).sum() + 0.1 * 8
    expected = interaction_energy(single_file, crystal(), default_dtype="float64")
    assert obtained == pytest.approx(expected, rel=1e-5)


def test_a_float32_model_can_be_run_in_double(single_file):
    rows = featurizer(single_file, precision="float64").describe([crystal()]).features
    assert rows.dtype == np.float64
    np.testing.assert_allclose(rows, featurizer(single_file).describe([crystal()]).features, 1e-4)


def test_blocks_are_the_layers(model_file):
    made = featurizer(model_file)
    assert made.feature_kind == "last-layer"
    assert [(block.name, block.width) for block in made.blocks] == [("layer_1", 4), ("layer_2", 3)]
    assert made.n_features == 7


@pytest.mark.parametrize(("head", "scale", "shift"), [("pbe", 1.7, 0.1), ("r2scan", 0.6, -0.2)])
def test_each_head_has_features_of_its_own(heads_file, head, scale, shift):
    features = featurizer(heads_file, head=head).describe([crystal()]).features
    assert features.shape == (8, 7)
    weights = raw_weights(heads_file, ["pbe", "r2scan"].index(head), 2)
    obtained = scale * (features @ weights).sum() + 8 * shift
    assert obtained == pytest.approx(
        interaction_energy(heads_file, crystal(), head=head), rel=1e-10, abs=1e-11
    )


def test_a_model_of_several_heads_needs_one(heads_file):
    with pytest.raises(RequestError, match=r"several heads(.*\n)+.*pbe, r2scan(.*\n)+.*--head"):
        featurizer(heads_file)


def test_a_head_that_is_not_there(heads_file):
    with pytest.raises(RequestError, match=r"no head 'pbe0'(.*\n)+.*pbe, r2scan"):
        featurizer(heads_file, head="pbe0")


def test_a_pair_potential_is_not_learned(plain_file):
    import torch

    close = Atoms("CSi", [[0.0, 0.0, 0.0], [0.0, 0.0, 0.9]])
    features = featurizer(plain_file).describe([close]).features
    silent = load(plain_file)
    with torch.no_grad():
        for readout in silent.readouts:
            for parameter in readout.parameters():
                parameter.zero_()
    whole, rest = (total_energy(each, close) for each in (load(plain_file), silent))
    assert rest + 3000.0 > 0.01
    # Rounding of what is not learned, thousands of eV.
    assert (features @ raw_weights(plain_file)).sum() == pytest.approx(whole - rest, abs=1e-8)


def test_biases_of_the_last_layer_belong_to_no_feature(folder):
    import torch
    from mace.modules import NonLinearBiasReadoutBlock

    model = build("ScaleShiftMACE", "float64", readout_cls=NonLinearBiasReadoutBlock)
    with torch.no_grad():
        model.readouts[1].linear_2.bias.fill_(0.3)
        model.readouts[1].linear_mid.bias.copy_(torch.tensor([0.1, -0.2, 0.4]))
    path = save(model, folder / "biases.model")
    features = featurizer(path).describe([crystal()]).features
    obtained = 1.7 * ((features @ raw_weights(path)).sum() + 8 * 0.3) + 8 * 0.1
    assert obtained == pytest.approx(interaction_energy(path, crystal()), rel=1e-10)


def test_descriptors_are_those_of_the_package(model_file):
    made = featurizer(model_file, feature_kind="descriptor")
    assert made.feature_kind == "descriptor"
    with foreign_messages():
        from mace.calculators import MACECalculator

        package = MACECalculator(models=[load(model_file)], device="cpu")
        expected = package.get_descriptors(crystal())
    np.testing.assert_allclose(made.describe([crystal()]).features, expected, rtol=1e-12)


def test_structures_do_not_see_each_other(model_file):
    made = featurizer(model_file)
    alone = np.concatenate([made.describe([each]).features for each in STRUCTURES])
    np.testing.assert_allclose(made.describe(STRUCTURES).features, alone, rtol=1e-10, atol=1e-14)


def test_no_hook_stays_in_the_model(model_file):
    made = featurizer(model_file)
    made.describe([crystal()])
    assert not any(module._forward_hooks for module in made._model._model.modules())


@pytest.mark.parametrize("name", ["model_file", "plain_file"])
def test_gradient_rows_and_weights_give_forces_and_stress(name, request):
    path = request.getfixturevalue(name)
    description = featurizer(path).describe([crystal(2), crystal()], ("force", "stress"))
    model = load(path)
    # Without the pair potential, which has no features.
    vars(model).get("_modules").pop("pair_repulsion_fn", None)
    vars(model).pop("pair_repulsion", None)
    with foreign_messages():
        from mace.calculators import MACECalculator

        atoms = crystal()
        atoms.calc = MACECalculator(models=[model], device="cpu")
        forces, stress = atoms.get_forces(), atoms.get_stress()
    weights = raw_weights(path) * (1.7 if name == "model_file" else 1.0)
    np.testing.assert_allclose(description.forces[24:] @ weights, forces.ravel(), atol=1e-12)
    np.testing.assert_allclose(description.stress[6:] @ weights, stress, atol=1e-13)


def test_rows_of_stress_without_those_of_forces(model_file):
    made = featurizer(model_file)
    both = made.describe([crystal()], ("force", "stress"))
    alone = made.describe([crystal()], ("stress",))
    assert alone.forces is None
    np.testing.assert_allclose(alone.stress, both.stress, rtol=1e-12, atol=1e-18)


def test_elements_that_the_model_does_not_know(model_file):
    with pytest.raises(FeatureError, match=r"all elements(.*\n)+.*C, Si(.*\n)+.*got: +O"):
        featurizer(model_file, species=(6, 8))
    with pytest.raises(FeatureError, match=r"all elements(.*\n)+.*got: +O"):
        featurizer(model_file).check(Atoms("CO", [[0, 0, 0], [0, 0, 1.1]]))


def test_a_cell_without_extent(model_file):
    with pytest.raises(FeatureError, match=r"does not span(.*\n)+.*3 independent"):
        featurizer(model_file).check(Atoms("C", pbc=True))


def test_a_structure_without_atoms(model_file):
    with pytest.raises(FeatureError, match="no atoms"):
        featurizer(model_file).check(Atoms())


def test_comment_lines_may_hold_anything(model_file):
    odd = crystal()
    odd.info |= {"config_weight": "heavy", "head": "unknown", "energy": "low"}
    odd.arrays["charges"] = np.array(["a"] * 8)
    made = featurizer(model_file)
    np.testing.assert_array_equal(
        made.describe([odd]).features, made.describe([crystal()]).features
    )


@pytest.mark.parametrize("content", [b"", b"not a model", pickle.dumps({"weights": 1})])
def test_a_file_that_is_no_model(tmp_path, content):
    path = tmp_path / "some.model"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"is not a MACE model(.*\n)+.*some\.model"):
        featurizer(str(path))


def test_a_checkpoint_is_no_model(folder, model_file):
    path = save({"model": load(model_file).state_dict(), "epoch": 3}, folder / "run.pt")
    with pytest.raises(FormatError, match=r"no MACE model(.*\n)+.*model, epoch(.*\n)+.*\.model"):
        featurizer(path)


def test_a_compiled_model_is_refused(folder, model_file):
    import torch

    with foreign_messages():
        compiled = torch.jit.script(torch.nn.Linear(2, 1))
        compiled.save(str(folder / "compiled.model"))
    with pytest.raises(FormatError, match="no MACE model"):
        featurizer(str(folder / "compiled.model"))


def test_a_missing_file(tmp_path):
    with pytest.raises(InputFileError, match=r"missing(.*\n)+.*nowhere\.model"):
        featurizer(str(tmp_path / "nowhere.model"))


def test_a_model_with_another_energy_fails_before_long_work(folder, model_file):
    import torch

    model = load(model_file)
    with torch.no_grad():
        # The readout no longer gives what its last layer gives.
        model.readouts[0].forward = Doubled(model.readouts[0])
    path = save(model, folder / "other.model")
    with pytest.raises(FeatureError, match=r"do not give the energies(.*\n)+.*descriptor"):
        featurizer(path).describe([crystal()])
    assert featurizer(path, feature_kind="descriptor").describe([crystal()]).features.all()


class Doubled:
    """A readout that gives twice what it should."""

    def __init__(self, readout) -> None:
        self.linear = readout.linear

    def __call__(self, x, heads=None):
        return 2 * self.linear(x)


def test_unknown_readouts_leave_descriptors(folder, model_file, caplog):
    model = load(model_file)
    model.readouts[1] = Unknown(model.readouts[1])
    path = save(model, folder / "unknown.model")
    with caplog.at_level(logging.WARNING):
        made = featurizer(path)
    assert made.feature_kind == "descriptor"
    assert "no last-layer features" in caplog.text
    assert "Unknown" in caplog.text
    with pytest.raises(RequestError, match=r"no last-layer(.*\n)+.*Unknown(.*\n)+.*descriptor"):
        featurizer(path, feature_kind="last-layer")


def Unknown(readout):  # noqa: N802
    """A readout of a class that is not known, which torch can save."""
    readout.__class__ = type("Unknown", (type(readout),), {"__module__": __name__})
    globals()["Unknown"] = readout.__class__
    return readout


def test_a_device_that_is_not_there(model_file):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(RequestError, match=r"device is not there(.*\n)+.*cpu(.*\n)+.*cuda"):
        featurizer(model_file, device="cuda")
    with pytest.raises(RequestError, match=r"device is not known(.*\n)+.*got: +gpu"):
        featurizer(model_file, device="gpu")


def test_settings_tell_models_apart(model_file, single_file):
    one, other = featurizer(model_file).settings, featurizer(single_file).settings
    assert one["model"] != other["model"]
    assert featurizer(model_file).settings == one
