"""MACE models: their files, what they take as structures, and running them."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from prcli.errors import FormatError, RequestError
from prcli.features.mace_readouts import Readout, find_readouts, scalar_columns, tapped
from prcli.features.model_options import ModelOptions
from prcli.features.torch_package import as_device, foreign_messages, load_package
from prcli.records import Block

if TYPE_CHECKING:
    from ase import Atoms

#: What `torch.load` raises for files that are not models, or not of the versions installed.
_UNREADABLE = (
    pickle.UnpicklingError,
    EOFError,
    RuntimeError,
    ImportError,
    AttributeError,
    KeyError,
    IndexError,
    TypeError,
    ValueError,
)

#: Keys of the comment line that some models read, by MACE's own words for them.
_INFO_KEYS = {"total_spin": "spin", "total_charge": "charge", "external_field": "external_field"}


@dataclass(frozen=True, eq=False)
class MaceRun:
    """What a model gives for a batch of structures; tensors.

    Attributes
    ----------
    inputs : list of (n, d) tensors
        Inputs of the last linear layers.
    node_features : (n, F) tensor
        Features of all layers, of all symmetries.
    positions : (n, 3) tensor
    displacement : (s, 3, 3) tensor
    node_energies : (n,) tensor
        Energies of the atoms, those of isolated atoms included; eV.
    energies : (s,) tensor
        Energies of the structures, eV.
    offsets : (n,) tensor
        Energies of isolated atoms, eV.
    repulsion : (n,) tensor
        What a fixed pair potential gives, eV.
    atoms_of : (n,) tensor of int
        Structure of each atom.
    """

    inputs: list[Any]
    node_features: Any
    positions: Any
    displacement: Any
    node_energies: Any
    energies: Any
    offsets: Any
    repulsion: Any
    atoms_of: Any


class MaceModel:
    """A trained model, read from its file.

    Parameters
    ----------
    options : ModelOptions

    Attributes
    ----------
    cutoff : float
        Angstrom.
    species : tuple of int
        Atomic numbers that the model knows.
    precision : {"float32", "float64"}
    heads : list of str
    head : str
        The one that is used.
    readouts : list of Readout or str
        The last linear layers, or why they are not known.
    scale, shift : float
        Of the energies that the readouts give.
        The repulsion at short distances is scaled as well.
    version : str
        Of the package.

    Raises
    ------
    RequestError
        If a package, the device or the head is not there.
    InputFileError, FormatError
        If the file is not there, or holds no MACE model.
    """

    def __init__(self, options: ModelOptions) -> None:
        # Before e3nn, which otherwise reads its own constants in a way that fails.
        self.version = str(load_package("mace", "mace").__version__)
        for module in ("mace.data", "mace.modules"):
            load_package(module, "mace")
        self._device = as_device(options.device)
        self._model = self._load(options)
        self.cutoff = float(self._model.r_max)
        self.species = tuple(int(number) for number in self._model.atomic_numbers)
        self.heads = list(getattr(self._model, "heads", None) or ["Default"])
        self.head = choose_head(self.heads, options)
        index = self.heads.index(self.head)
        self.readouts: list[Readout] | str = find_readouts(self._model, index)
        rescaling = getattr(self._model, "scale_shift", None)
        self.scale, self.shift = 1.0, 0.0
        if rescaling is not None:
            self.scale = float(np.atleast_1d(rescaling.scale.double().cpu().numpy())[index])
            self.shift = float(np.atleast_1d(rescaling.shift.double().cpu().numpy())[index])

    def _load(self, options: ModelOptions) -> Any:
        import torch
        from mace.modules import MACE

        with foreign_messages():
            try:
                model = torch.load(options.model, map_location=self._device, weights_only=False)
            except _UNREADABLE as error:
                raise FormatError(
                    "file is not a MACE model that can be read here",
                    where=options.model,
                    got=f"{type(error).__name__}: {str(error).strip()[:200]}",
                ) from error
        if not isinstance(model, MACE):
            raise FormatError(
                "file holds no MACE model of energies",
                where=options.model,
                expected="mace.modules.MACE, or a class that is one",
                got=_describe(model),
                remedy="give the file that mace_run_train writes as NAME.model, not a "
                "checkpoint, a compiled model or one converted for LAMMPS",
            )
        own = str(next(iter(model.parameters())).dtype).removeprefix("torch.")
        self.precision = options.precision or own
        model = model.to(device=self._device, dtype=getattr(torch, self.precision))
        return model.eval().requires_grad_(False)

    def layers(self) -> tuple[list[Block], np.ndarray]:
        """Find the invariant ones among the features of all layers.

        Returns
        -------
        blocks : list of Block
        columns : (D,) array of int
            Columns of `MaceRun.node_features`.
        """
        from e3nn import o3

        blocks, columns, start = [], [], 0
        for index, product in enumerate(self._model.products):
            irreps = o3.Irreps(str(product.linear.irreps_out))
            scalars = scalar_columns(irreps)
            blocks.append(Block(f"layer_{index + 1}", len(scalars)))
            columns.append(start + scalars)
            start += irreps.dim
        return blocks, np.concatenate(columns)

    def widths(self) -> tuple[int, int]:
        """Numbers that the model computes for each edge and for each atom, about."""
        edge = max(
            interaction.conv_tp.weight_numel + 2 * interaction.conv_tp.irreps_out.dim
            for interaction in self._model.interactions
        )
        node = sum(product.linear.irreps_out.dim for product in self._model.products)
        return int(edge), int(node)

    def run(self, structures: Sequence[Atoms], traced: bool, strained: bool) -> MaceRun:
        """Run the model.

        Parameters
        ----------
        structures : sequence of ase.Atoms
        traced : bool
            Whether the features shall be differentiated by positions.
        strained : bool
            Or by strain.
        """
        import torch

        data = self._batch(structures)
        positions, atoms_of = data["positions"], data["batch"]
        last_layers = [] if isinstance(self.readouts, str) else self.readouts
        added = [self._model.atomic_energies_fn, getattr(self._model, "pair_repulsion_fn", None)]
        with (
            torch.set_grad_enabled(traced or strained),
            tapped([readout.linear for readout in last_layers], _first_input) as inputs,
            tapped([module for module in added if module is not None], _output) as outputs,
        ):
            result = self._model(data, compute_force=False, compute_displacement=strained)
        offsets = torch.atleast_2d(outputs[0])[:, self.heads.index(self.head)]
        return MaceRun(
            inputs,
            result["node_feats"],
            positions,
            result["displacement"],
            result["node_energy"],
            result["energy"],
            offsets,
            outputs[1] if len(outputs) > 1 else torch.zeros_like(offsets),
            atoms_of,
        )

    def _batch(self, structures: Sequence[Atoms]) -> dict[str, Any]:
        """Make the graphs of structures one."""
        import torch
        from mace import data
        from mace.tools import AtomicNumberTable, torch_geometric, torch_tools

        keys = data.KeySpecification(info_keys=dict(_INFO_KEYS))
        table = AtomicNumberTable(list(self.species))
        with torch_tools.default_dtype(self.precision):
            graphs = [
                data.AtomicData.from_config(
                    data.config_from_atoms(_bare(each), keys, head_name=self.head),
                    z_table=table,
                    cutoff=self.cutoff,
                    heads=self.heads,
                )
                for each in structures
            ]
            batch = torch_geometric.Batch.from_data_list(graphs).to(self._device).to_dict()
        dtype = getattr(torch, self.precision)
        return {
            key: value.to(dtype)
            if isinstance(value, torch.Tensor) and value.is_floating_point()
            else value
            for key, value in batch.items()
        }


def _first_input(inputs: tuple[Any, ...], _: Any) -> Any:
    return inputs[0]


def _output(_: tuple[Any, ...], output: Any) -> Any:
    return output


def _bare(structure: Atoms) -> Atoms:
    """Copy what the model reads: weights and labels of the comment line may be anything."""
    from ase import Atoms

    info = {key: structure.info[key] for key in _INFO_KEYS.values() if key in structure.info}
    return Atoms(
        numbers=structure.numbers,
        positions=structure.positions,
        cell=structure.cell,
        pbc=structure.pbc,
        info=info,
    )


def choose_head(heads: Sequence[str], options: ModelOptions) -> str:
    """Choose the head of a model: the one asked for, the only one, or the default one.

    Raises
    ------
    RequestError
        If there is none such, with those that there are.
    """
    if options.head is not None:
        if options.head not in heads:
            raise RequestError(
                f"the model has no head {options.head!r}",
                where=options.model,
                expected=", ".join(heads),
            )
        return options.head
    default = [head for head in heads if head.lower() == "default"]
    if len(heads) > 1 and not default:
        raise RequestError(
            "the model has several heads",
            where=options.model,
            expected=f"one of {', '.join(heads)}",
            remedy="name one with --head",
        )
    return heads[0] if len(heads) == 1 else default[0]


def _describe(content: Any) -> str:
    kind = type(content)
    if isinstance(content, dict):
        return f"a dictionary of {', '.join(map(str, list(content)[:5]))}"
    return f"{kind.__module__}.{kind.__qualname__}"
