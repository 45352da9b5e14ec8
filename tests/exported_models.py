"""Tiny models exported for metatomic; imported only where its packages are installed."""

# TorchScript reads annotations as they are, and knows only these.
# ruff: noqa: UP006, UP035, UP045

import copy
from typing import Dict, List, Optional

import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import (
    AtomisticModel,
    ModelCapabilities,
    ModelMetadata,
    ModelOutput,
    NeighborListOptions,
    System,
)
from metatrain.llpr import LLPRUncertaintyModel
from metatrain.pet import PET
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_energy_target_info

CUTOFF, WIDTH = 3.5, 0.5
COMPOSITION = {6: -1000.0, 14: -2000.0}
SCALE = 3.0
NODE_BIAS, EDGE_BIAS = -0.25, 0.375


def pet(**changes: object) -> PET:
    """Build a PET model with random weights, whose biases and energies of atoms are not zero."""
    hypers = copy.deepcopy(get_default_hypers("pet")["model"])
    hypers |= {"d_pet": 8, "d_node": 8, "d_head": 8, "d_feedforward": 8, "num_heads": 1}
    hypers |= {"num_attention_layers": 1, "cutoff": CUTOFF, "cutoff_width": WIDTH}
    target = {"quantity": "energy", "unit": "eV"}
    info = DatasetInfo(
        length_unit="angstrom",
        atomic_types=[*COMPOSITION],
        targets={"energy": get_energy_target_info("energy", target, add_position_gradients=False)},
    )
    torch.manual_seed(3)
    model = PET(hypers | changes, info)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "last_layers" in name and name.endswith("bias"):
                parameter.fill_(EDGE_BIAS if "edge" in name else NODE_BIAS)
    weights = model.additive_models[0].model.weights["energy"]
    weights.block().values[:, 0] = torch.tensor([*COMPOSITION.values()], dtype=torch.float64)
    for name in ("scales", "per_target_scales"):
        getattr(model.scaler.model, name)["energy"].block().values[:] = SCALE
    return model.to(torch.float64)


def uncertain(model: PET) -> LLPRUncertaintyModel:
    """Wrap a model in one that adds uncertainties."""
    wrapped = LLPRUncertaintyModel(get_default_hypers("llpr")["model"], model.dataset_info)
    wrapped.set_wrapped_model(model)
    return wrapped


class Toy(torch.nn.Module):
    """A model of two features, the distance from the first atom and its square.

    Parameters
    ----------
    named : bool
        Whether the weights of the last layer are named.
    skewed : bool
        Whether the energy is made of other features than those that are given.
    detached : bool
        Whether derivatives are wrong.
    """

    def __init__(self, named: bool, skewed: bool, detached: bool) -> None:
        super().__init__()
        self.last = torch.nn.Linear(2, 1, bias=False).to(torch.float64)
        self.last_layer_parameter_names: Dict[str, List[str]] = {}
        if named:
            self.last_layer_parameter_names["energy"] = ["last.weight"]
        self.skewed, self.detached = skewed, detached

    def requested_neighbor_lists(self) -> List[NeighborListOptions]:
        return []

    def forward(
        self,
        systems: List[System],
        outputs: Dict[str, ModelOutput],
        selected_atoms: Optional[Labels] = None,
    ) -> Dict[str, TensorMap]:
        features: List[torch.Tensor] = []
        samples: List[torch.Tensor] = []
        for i, system in enumerate(systems):
            away = system.positions - system.positions[0]
            distances = (away**2).sum(dim=1) + 0.1
            if self.detached:
                distances = distances + 0.5 * (away**2).sum(dim=1).detach()
            features.append(torch.stack([distances**0.5, distances], dim=1))
            atoms = torch.arange(len(system))
            samples.append(torch.stack([torch.full_like(atoms, i), atoms], dim=1))
        rows, labels = torch.cat(features), Labels(["system", "atom"], torch.cat(samples))
        energies = self.last(rows**1.5 if self.skewed else rows)
        result: Dict[str, TensorMap] = {}
        for name in outputs:
            values = energies if name.startswith("energy") else rows
            word = "energy" if name.startswith("energy") else "feature"
            block = TensorBlock(
                values, labels, [], Labels([word], torch.arange(values.shape[1])[:, None])
            )
            result[name] = TensorMap(Labels(["_"], torch.zeros(1, 1, dtype=torch.int64)), [block])
        return result


def toy(
    outputs: tuple[str, ...], named: bool = True, skewed: bool = False, detached: bool = False
) -> AtomisticModel:
    """Export a toy with some outputs."""
    units = {name: "eV" if name.startswith("energy") else "" for name in outputs}
    capabilities = ModelCapabilities(
        outputs={name: ModelOutput(unit=unit, sample_kind="atom") for name, unit in units.items()},
        atomic_types=[*COMPOSITION],
        interaction_range=100.0,
        length_unit="angstrom",
        supported_devices=["cpu"],
        dtype="float64",
    )
    return AtomisticModel(Toy(named, skewed, detached).eval(), ModelMetadata(), capabilities)
