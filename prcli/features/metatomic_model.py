"""Models exported for metatomic: their files, what they take as structures, and running them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from prcli.errors import FeatureError, FormatError, RequestError
from prcli.features.model_options import ModelOptions
from prcli.features.torch_package import as_device, foreign_messages, load_package

if TYPE_CHECKING:
    from ase import Atoms

#: Output of a model whose features are invariants of some layer, not those of the last one.
DESCRIPTORS = ("feature", "features")


@dataclass(frozen=True, eq=False)
class Systems:
    """Structures as a model takes them.

    Attributes
    ----------
    systems : list of metatomic.torch.System
    counts : (s,) array of int
        Atoms of each structure.
    positions : list of (n_i, 3) tensors
    strains : list of (3, 3) tensors
        Deformations that positions and cells were multiplied by: the identity.
    """

    systems: list[Any]
    counts: np.ndarray
    positions: list[Any]
    strains: list[Any]


class MetatomicModel:
    """An exported model, read from its file.

    Parameters
    ----------
    options : ModelOptions
        `head` is the name of the output that is the energy.

    Attributes
    ----------
    species : tuple of int
        Atomic numbers that the model knows.
    precision : {"float32", "float64"}
    outputs : tuple of str
    energy : str, optional
        Output that is the energy.
    last_layer : str, optional
        Output of its last-layer features.
    descriptor : str, optional
        Output of other features.
    cutoff : float
        Largest distance of neighbours, angstrom.
    module : torch.nn.Module
        What has been exported, with its parameters.
    version : str
        Of the package.

    Raises
    ------
    RequestError
        If a package, the device or an output is not there, or another precision is asked for.
    FormatError
        If the file holds no such model.
    """

    def __init__(self, options: ModelOptions) -> None:
        self.version = str(load_package("metatomic.torch", "metatomic").__version__)
        self._vesin = load_package("vesin.metatomic", "metatomic")
        self._path = options.model
        self._device = as_device(options.device)
        self._model = self._load(options.extensions)
        capabilities = self._model.capabilities()
        self.precision = self._check_precision(str(capabilities.dtype), options)
        self.species = tuple(sorted(int(number) for number in capabilities.atomic_types))
        self.outputs = tuple(str(name) for name in capabilities.outputs)
        self.energy = choose_energy(self.outputs, options)
        self.last_layer = self._last_layer_output()
        self.descriptor = next((name for name in DESCRIPTORS if name in self.outputs), None)
        self.module = self._model.module
        self._inputs = dict(self._model.requested_inputs(use_new_names=True))
        lists = self._model.requested_neighbor_lists()
        self.cutoff = max((float(each.engine_cutoff("angstrom")) for each in lists), default=0.0)
        self._neighbours = self._vesin.neighbor_lists_for_model("angstrom", self._model, skin=0.0)

    def _load(self, extensions: str | None) -> Any:
        from metatomic.torch import load_atomistic_model

        with foreign_messages():
            try:
                model = load_atomistic_model(self._path, extensions)
            except (RuntimeError, ValueError) as error:
                raise FormatError(
                    "file is not a model that metatomic can run here",
                    where=self._path,
                    got=str(error).strip().splitlines()[0][:200],
                    remedy="give an exported model (mtt export model.ckpt), and the folder of the "
                    "extensions that it was exported with (--extensions)",
                ) from error
        self._check_device(list(model.capabilities().supported_devices))
        return model.to(self._device).requires_grad_(False)

    def _check_device(self, supported: Sequence[str]) -> None:
        if self._device.type not in supported:
            raise RequestError(
                "the model does not run on this device",
                where="--device",
                expected=" or ".join(supported),
                got=self._device.type,
            )

    def _check_precision(self, own: str, options: ModelOptions) -> str:
        if options.precision not in (None, own):
            raise RequestError(
                "an exported model computes in the precision that it was exported in",
                where=options.model,
                expected=own,
                got=options.precision,
            )
        return own

    def _last_layer_output(self) -> str | None:
        """Name of the output that has the last-layer features of the energy."""
        if self.energy is None:
            return None
        name = f"mtt::aux::{self.energy.removeprefix('mtt::')}_last_layer_features"
        return name if name in self.outputs else None

    def systems(
        self, structures: Sequence[Atoms], traced: bool = False, strained: bool = False
    ) -> Systems:
        """Make structures systems, with the lists of neighbours that the model asks for.

        Parameters
        ----------
        structures : sequence of ase.Atoms
        traced : bool
            Whether features shall be differentiated by positions.
        strained : bool
            Or by strain.
        """
        made = [self._system(each, traced or strained, strained) for each in structures]
        systems = [system for system, _, _ in made]
        for neighbours in self._neighbours:
            # Without a copy a list lives until that of the next structure is made.
            neighbours.add_neighbor_list(systems, copy=len(systems) > 1)
        return Systems(
            systems,
            np.array([len(structure) for structure in structures]),
            [positions for _, positions, _ in made],
            [strain for _, _, strain in made] if strained else [],
        )

    def _system(self, structure: Atoms, traced: bool, strained: bool) -> tuple[Any, Any, Any]:
        import torch
        from metatomic.torch import System

        kind = {"dtype": getattr(torch, self.precision), "device": self._device}
        vectors = np.where(structure.pbc[:, np.newaxis], structure.cell.array, 0.0)
        positions = torch.tensor(structure.positions, **kind).requires_grad_(traced)
        cell = torch.tensor(vectors, **kind)
        strain = torch.eye(3, **kind).requires_grad_(strained)
        placed = positions @ strain if strained else positions
        system = System(
            types=torch.tensor(structure.numbers, dtype=torch.int32, device=self._device),
            positions=placed,
            cell=cell @ strain if strained else cell,
            pbc=torch.tensor(structure.pbc, device=self._device),
        )
        for name, option in self._inputs.items():
            system.add_data(name, self._input(structure, name, option, kind))
        return system, positions, strain

    def _input(self, structure: Atoms, name: str, option: Any, kind: dict[str, Any]) -> Any:
        """Find what the model asks for besides, such as the charge of a structure."""
        from metatomic_ase._calculator import _get_ase_input

        try:
            return _get_ase_input(structure, name, option, **kind)
        except (ValueError, NotImplementedError) as error:
            raise FeatureError(
                f"the model needs {name!r}, which a structure does not have",
                where=self._path,
                got=str(error),
            ) from error

    def run(self, systems: Systems, names: Sequence[str], traced: bool = False) -> list[Any]:
        """Compute outputs, atom by atom.

        Parameters
        ----------
        systems : Systems
        names : sequence of str
        traced : bool
            Whether the outputs shall be differentiated.

        Returns
        -------
        list of (n, d) tensors
            In the order of `names`, rows in that of the atoms.

        Raises
        ------
        FeatureError
            If an output is not one block with a row per atom.
        """
        import torch
        from metatomic.torch import ModelEvaluationOptions, ModelOutput

        options = ModelEvaluationOptions(
            length_unit="angstrom",
            outputs={name: ModelOutput(sample_kind="atom") for name in names},
        )
        with torch.set_grad_enabled(traced):
            results = self._model(systems.systems, options, check_consistency=False)
            return [self._rows(results[name], name, systems.counts) for name in names]

    def _rows(self, result: Any, name: str, counts: np.ndarray) -> Any:
        """Bring the rows of an output into the order of the atoms."""
        import torch

        n_atoms = int(counts.sum())
        block = result.block(0) if len(result) == 1 else None
        if block is None or len(block.samples) != n_atoms or block.components:
            raise FeatureError(
                f"output {name!r} of the model is not a row of invariants for each atom",
                where=self._path,
                expected=f"one block of {n_atoms} rows",
                got=f"{len(result)} blocks"
                + (f", {tuple(block.values.shape)}" if block is not None else ""),
            )
        samples = block.samples.values.cpu().numpy()
        starts = np.cumsum(counts) - counts
        order = np.argsort(starts[samples[:, 0]] + samples[:, 1], kind="stable")
        return block.values[torch.as_tensor(order, device=block.values.device)]


def choose_energy(outputs: Sequence[str], options: ModelOptions) -> str | None:
    """Choose the output that is the energy: the one asked for, ``energy``, or its only variant.

    Returns
    -------
    str or None
        None if the model has no energy.

    Raises
    ------
    RequestError
        If there is no such output, or there are several variants.
    """
    variants = [name for name in outputs if name == "energy" or name.startswith("energy/")]
    if options.head is not None:
        if options.head not in outputs:
            raise RequestError(
                f"the model has no output {options.head!r}",
                where=options.model,
                expected=", ".join(name for name in outputs if "aux::" not in name),
            )
        return options.head
    if "energy" in variants or not variants:
        return "energy" if variants else None
    if len(variants) > 1:
        raise RequestError(
            "the model has several energies",
            where=options.model,
            expected=f"one of {', '.join(variants)}",
            remedy="name one with --head",
        )
    return variants[0]
