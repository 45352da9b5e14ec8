"""Features of models exported for metatomic: their own outputs, atom by atom."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prcli.elements import SYMBOLS
from prcli.errors import RequestError
from prcli.features.autograd_rows import Traced, describe_traced
from prcli.features.featurizer import Description, FeaturizerOptions, refuse_gradients
from prcli.features.gradient_check import check_gradients
from prcli.features.metatomic_last_layer import LastLayer, parameter_names, probes
from prcli.features.metatomic_model import MetatomicModel, Systems
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

#: Numbers that a run holds for each pair of neighbours, in units of D; with gradients every
#: intermediate result is kept.
_PER_EDGE = {False: 20, True: 100}


def make_metatomic(options: FeaturizerOptions) -> Metatomic:
    """Make a featurizer of an exported model; `hypers` are those of `ModelOptions`."""
    return Metatomic(options)


class Metatomic:
    """Features that a model exported for metatomic computes; see `Featurizer`.

    Parameters
    ----------
    options : FeaturizerOptions
        `hypers` hold the fields of `ModelOptions`, at least ``model``; ``head`` is the output
        that is the energy.

    Attributes
    ----------
    feature_kind : {"last-layer", "descriptor"}
        Last-layer features are the output ``mtt::aux::…_last_layer_features``, and a column for
        each bias of the last layers that is not multiplied by a constant: in PET, the sum of
        the cutoff function over the neighbours. Descriptors are the output ``feature``.

    Raises
    ------
    RequestError
        If a package, the device or an output is not there.
    InputFileError, FormatError
        If the file is not there, or holds no such model.
    FeatureError
        If the model does not know the elements.
    """

    name = "metatomic"
    feature_kind: FeatureKind

    def __init__(self, options: FeaturizerOptions) -> None:
        asked = read_model_options(self.name, options)
        refuse_gradients(self.name, options.gradients, ("force", "stress"))
        digest = digest_file(asked.model)
        self._path = asked.model
        self._model = model = MetatomicModel(asked)
        check_species(options.species, model.species, asked.model)
        self.feature_kind = choose_kind(
            asked, model.last_layer is not None, f"its outputs are {', '.join(model.outputs)}"
        )
        self._layer: LastLayer | None = None
        self._energies_checked = self._gradients_checked = False
        if self.feature_kind == "last-layer":
            self.blocks, self.n_features = self._find_last_layer()
        else:
            self.blocks, self.n_features = self._find_descriptors()
        self.settings: Mapping[str, object] = {
            "model": digest,
            "feature_kind": self.feature_kind,
            "output": self._output,
            "biases": [] if self._layer is None else self._layer.group_names(),
            "checked": self._layer is not None,
            "precision": model.precision,
            "species": [SYMBOLS[number] for number in model.species],
            "cutoff": model.cutoff,
            "metatomic": model.version,
        }

    @property
    def _output(self) -> str:
        """Output of the model that has the features."""
        model = self._model
        name = model.last_layer if self.feature_kind == "last-layer" else model.descriptor
        assert name is not None
        return name

    def _find_last_layer(self) -> tuple[tuple[Block, ...] | None, int]:
        """Find the weights that belong to the features, if the model names them."""
        if parameter_names(self._model):
            self._layer = LastLayer(self._model)
            return self._layer.blocks(), self._layer.n_columns
        logger.warning(
            "%s does not name the weights of its last layer: its features cannot be checked "
            "against its energies, and columns of biases are not known",
            self._path,
        )
        return None, self._width()

    def _find_descriptors(self) -> tuple[None, int]:
        if self._model.descriptor is None:
            raise RequestError(
                "the model has no features",
                where=self._path,
                expected="an output 'feature', or last-layer features of its energy",
                got=", ".join(self._model.outputs),
            )
        return None, self._width()

    def _width(self) -> int:
        """Columns of the output: describe a few atoms."""
        systems = self._model.systems(probes(self._model))
        return int(self._model.run(systems, [self._output])[0].shape[1])

    def check(self, structure: Atoms) -> None:
        """Refuse structures that the model cannot be run on; see `Featurizer`."""
        check_structure(structure, self._model.species)

    def n_bytes(self, structure: Atoms, gradients: Sequence[RowKind] = ()) -> int:
        """Estimate the memory that describing a structure takes."""
        n_atoms = len(structure)
        n_edges = n_atoms * count_edges(structure, self._model.cutoff)
        numbers = n_edges * self.n_features * _PER_EDGE[bool(gradients)]
        rows = n_atoms * self.n_features * (2 + 6 * ("force" in gradients))
        return int((4 if self._model.precision == "float32" else 8) * (numbers + rows))

    def describe(
        self, structures: Sequence[Atoms], gradients: Sequence[RowKind] = ()
    ) -> Description:
        """Run the model; see `Featurizer`.

        Raises
        ------
        FeatureError
            If the features of the first batch do not give the energies of the model, or its
            gradient rows are not their derivatives.
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
        """Run the model, and check the features of the first batch."""
        traced = bool(gradients)
        systems = self._model.systems(structures, traced, "stress" in gradients)
        if self._layer is None:
            features = self._model.run(systems, [self._output], traced)[0]
        else:
            features = self._layer.features(systems, traced)
            self._check_energies(self._layer, systems, features)
        return Traced(features, systems.positions, systems.strains)

    def _check_energies(self, layer: LastLayer, systems: Systems, features: Any) -> None:
        """Refuse features that do not give the energies; it takes two more runs."""
        if self._energies_checked or not bool(features.isfinite().all()):
            # What is not finite is refused by whoever stores it, who knows the frame.
            return
        error = layer.energy_check(systems, features).require(self._model.precision, self._path)
        self._energies_checked = True
        logger.info(
            "%s: features and last-layer weights give its energies to %.0e of their terms",
            self._path,
            error,
        )
