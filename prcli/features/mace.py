"""Features of MACE models: inputs of their readouts, or the invariants of their layers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from prcli.elements import SYMBOLS
from prcli.features.autograd_rows import Traced, describe_traced
from prcli.features.energy_check import EnergyCheck
from prcli.features.featurizer import Description, FeaturizerOptions, refuse_gradients
from prcli.features.gradient_check import check_gradients
from prcli.features.mace_model import MaceModel, MaceRun
from prcli.features.model_options import (
    check_species,
    check_structure,
    choose_kind,
    count_edges,
    read_model_options,
)
from prcli.features.torch_package import digest_file
from prcli.records import Block, FeatureKind, RowKind

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

#: Arrays of the size of all messages that a run without gradients holds at a time; with them,
#: every intermediate result of all layers is kept.
_MESSAGES = {False: 4, True: 16}


def make_mace(options: FeaturizerOptions) -> Mace:
    """Make a featurizer of a MACE model; `hypers` are those of `ModelOptions`."""
    return Mace(options)


class Mace:
    """Features that a MACE model computes; see `Featurizer`.

    Parameters
    ----------
    options : FeaturizerOptions
        `hypers` hold the fields of `ModelOptions`, at least ``model``.

    Attributes
    ----------
    feature_kind : {"last-layer", "descriptor"}
        Last-layer features are the scalar inputs of the linear layers at the end of all
        readouts, side by side: the energy of an atom is scale · (features · weights + biases)
        + shift + the energy of the isolated atom. Descriptors are the invariant features of
        all layers, as ``MACECalculator.get_descriptors`` gives them.

    Raises
    ------
    RequestError
        If a package, the device, the head or last-layer features are not there.
    InputFileError, FormatError
        If the file is not there, or holds no MACE model.
    FeatureError
        If the model does not know the elements.
    """

    name = "mace"
    feature_kind: FeatureKind

    def __init__(self, options: FeaturizerOptions) -> None:
        asked = read_model_options(self.name, options)
        refuse_gradients(self.name, options.gradients, ("force", "stress"))
        digest = digest_file(asked.model)
        self._path = asked.model
        self._model = model = MaceModel(asked)
        check_species(options.species, model.species, asked.model)
        reason = model.readouts if isinstance(model.readouts, str) else None
        self.feature_kind = choose_kind(asked, reason is None, reason)
        self._readouts = [] if isinstance(model.readouts, str) else model.readouts
        blocks, self._invariants = model.layers()
        if self.feature_kind == "last-layer":
            blocks = [Block(each.name, len(each.columns)) for each in self._readouts]
        self.blocks: tuple[Block, ...] | None = tuple(blocks)
        self.n_features = sum(block.width for block in blocks)
        self._energies_checked = self._gradients_checked = False
        self.settings: Mapping[str, object] = {
            "model": digest,
            "feature_kind": self.feature_kind,
            "head": model.head,
            "precision": model.precision,
            "species": [SYMBOLS[number] for number in model.species],
            "cutoff": model.cutoff,
            "mace": model.version,
        }

    def check(self, structure: Atoms) -> None:
        """Refuse structures that the model cannot be run on; see `Featurizer`."""
        check_structure(structure, self._model.species)

    def n_bytes(self, structure: Atoms, gradients: Sequence[RowKind] = ()) -> int:
        """Estimate the memory that describing a structure takes."""
        per_edge, per_atom = self._model.widths()
        n_atoms = len(structure)
        n_edges = n_atoms * count_edges(structure, self._model.cutoff)
        numbers = n_edges * per_edge * _MESSAGES[bool(gradients)] + 8.0 * n_atoms * per_atom
        rows = n_atoms * self.n_features * (2 + 6 * ("force" in gradients))
        size = 4 if self._model.precision == "float32" else 8
        return int(size * (numbers + rows))

    def describe(
        self, structures: Sequence[Atoms], gradients: Sequence[RowKind] = ()
    ) -> Description:
        """Run the model; see `Featurizer`.

        Raises
        ------
        FeatureError
            If the features do not give the energies of the model, or the gradient rows are not
            their derivatives.
        """
        traced = self._trace(structures, gradients)
        description = describe_traced(traced, structures, gradients)
        if gradients and not self._gradients_checked:
            check_gradients(
                lambda structure: describe_traced(self._trace([structure]), [structure]).features,
                structures[0],
                description,
                self._model.precision,
                self._path,
            )
            self._gradients_checked = True
        return description

    def _trace(self, structures: Sequence[Atoms], gradients: Sequence[RowKind] = ()) -> Traced:
        """Run the model, and check the features that it gives."""
        import torch

        run = self._model.run(structures, bool(gradients), "stress" in gradients)
        if self.feature_kind == "last-layer":
            parts = [
                inputs[:, torch.as_tensor(readout.columns, device=inputs.device)]
                for inputs, readout in zip(run.inputs, self._readouts, strict=True)
            ]
            features = torch.cat(parts, dim=1)
            self._check_energies(run, features)
        else:
            invariants = torch.as_tensor(self._invariants, device=run.node_features.device)
            features = run.node_features[:, invariants]
        strains = [run.displacement] if "stress" in gradients else []
        return Traced(features, [run.positions], strains)

    def _check_energies(self, run: MaceRun, features: Any) -> None:
        """Refuse features that do not give the energies of atoms and structures."""
        if not bool(features.isfinite().all()):
            # Refused by whoever stores them, who knows the frame.
            return
        of_atoms = self._energies_of_atoms(run, features)
        error = of_atoms.require(self._model.precision, self._path)
        atoms_of = run.atoms_of.cpu().numpy()
        of_structures = EnergyCheck(
            "structure",
            expected=_as_array(run.energies),
            learned=np.bincount(atoms_of, weights=of_atoms.learned),
            magnitudes=np.bincount(atoms_of, weights=of_atoms.magnitudes),
            offsets=np.bincount(atoms_of, weights=of_atoms.offsets),
            n_summed=np.bincount(atoms_of),
        )
        of_structures.require(self._model.precision, self._path)
        if not self._energies_checked:
            self._energies_checked = True
            logger.info(
                "%s: features and last-layer weights give its energies to %.0e of their terms",
                self._path,
                error,
            )

    def _energies_of_atoms(self, run: MaceRun, features: Any) -> EnergyCheck:
        model, rows = self._model, _as_array(features)
        weights = np.concatenate([readout.weights for readout in self._readouts])
        bias = sum(readout.bias for readout in self._readouts)
        magnitudes = abs(model.scale) * (np.abs(rows) @ np.abs(weights) + abs(bias))
        return EnergyCheck(
            "atom",
            expected=_as_array(run.node_energies),
            learned=model.scale * (rows @ weights + bias) + model.shift,
            magnitudes=magnitudes + abs(model.shift),
            offsets=_as_array(run.offsets) + model.scale * _as_array(run.repulsion),
        )


def _as_array(tensor: Any) -> np.ndarray:
    """Copy a tensor, in double precision."""
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float64)
