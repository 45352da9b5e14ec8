"""Compare what several models know of the same structures: learning dynamics."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.file_kind import file_kind
from prcli.data.hessian_record import HessianRecord
from prcli.data.publish import check_not_input, check_output
from prcli.errors import MismatchError, RequestError
from prcli.numerics.dynamics import Dynamics, learning_dynamics
from prcli.records import Progress, no_progress
from prcli.wording import counted
from prcli.workflows.compare_table import PLOTS, curves_table, dynamics_figures, write_curves
from prcli.workflows.hessian_options import HessianOptions, override
from prcli.workflows.inputs import InputOptions, check_stdin, load_hessian, open_input, paths_of
from prcli.workflows.plots import check_plots, write_figures
from prcli.workflows.score import check_scorable, score_rows
from prcli.workflows.scores import Scores

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

ComparedPer: TypeAlias = Literal["structure", "atom"]


@dataclass(frozen=True)
class ComparedModel:
    """A model, and the set as it sees it.

    Attributes
    ----------
    name : str
    hessian : str
        Hessian file of its training set.
    data : str
        Features that it gives the structures that all models are compared on.
    """

    name: str
    hessian: str
    data: str


@dataclass(frozen=True)
class CompareRequest:
    """Everything that decides a comparison.

    Attributes
    ----------
    models : tuple of ComparedModel
        At least two, with different names.
    reference : str, optional
        Name of the model that the others are compared with; by default the last.
    per : {"structure", "atom"}
    curves : str, optional
        File for the table of all normalized rigidities.
    plots : str, optional
        Directory for the plot.
    hessian_options : HessianOptions
        Numbers in place of those stored, of all models.
    inputs : InputOptions
    overwrite : bool
    """

    models: tuple[ComparedModel, ...]
    reference: str | None = None
    per: ComparedPer = "atom"
    curves: str | None = None
    plots: str | None = None
    hessian_options: HessianOptions = field(default_factory=HessianOptions)
    inputs: InputOptions = field(default_factory=InputOptions)
    overwrite: bool = False

    @property
    def position(self) -> int:
        """Position of the reference among the models."""
        names = [model.name for model in self.models]
        return len(names) - 1 if self.reference is None else names.index(self.reference)

    def check(self) -> None:
        """Refuse, before long work, what cannot be compared or written.

        Raises
        ------
        PrcliError
        """
        names = [model.name for model in self.models]
        if len(names) < 2:
            raise RequestError(
                "a comparison needs at least two models",
                where="--model",
                got=counted(len(names), "model"),
            )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise RequestError(
                "two models have the same name",
                where=f"--model {twice[0]}",
                remedy="name them with --model NAME=HESSIAN DATA",
            )
        if self.reference is not None and self.reference not in names:
            raise RequestError(
                "there is no model of that name",
                where="--reference",
                expected="one of " + ", ".join(names),
                got=self.reference,
            )
        check_stdin([model.data for model in self.models])
        for path in paths_of(
            [each for model in self.models for each in (model.hessian, model.data)]
        ):
            if path != "-":
                # Sets are opened one by one; what is missing is not found out in the end.
                file_kind(path)
        if self.curves is not None:
            check_output(self.curves, self.overwrite)
            read = paths_of([model.data for model in self.models])
            check_not_input(self.curves, [*read, *(model.hessian for model in self.models)])
        if self.plots is not None:
            check_plots(self.plots, PLOTS, self.overwrite)


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a comparison found.

    Attributes
    ----------
    names : tuple of str
        Of the models.
    reference : int
        Position of the reference among them.
    per : {"structure", "atom"}
    dynamics : Dynamics
    """

    names: tuple[str, ...]
    reference: int
    per: ComparedPer
    dynamics: Dynamics


def parse_model(argument: str, data: str) -> ComparedModel:
    """Read ``[NAME=]HESSIAN`` and the set beside it; the file's stem is the name by default."""
    name, sign, path = argument.partition("=")
    if not (sign and name and path) or os.path.exists(argument):
        name, path = Path(argument).stem, argument
    return ComparedModel(name, path, data)


def compare(request: CompareRequest, progress: Progress = no_progress) -> Comparison:
    """Score the set under every model, compare, and write curves and plot where asked for.

    One set is open at a time; of each model one number per row is kept.

    Raises
    ------
    PrcliError
        If a set does not fit its Hessian, the sets are not of the same structures, or nothing
        has a finite rigidity.
    """
    request.check()
    reference = request.models[request.position]
    # The reference comes last, so that its set is open to tell where rows come from.
    ordered = [*(each for each in request.models if each is not reference), reference]
    found: dict[str, Scores] = {}
    first: _Structures | None = None
    with ExitStack() as stack:
        for model in ordered:
            stack.close()
            record, data = _opened(request, model, progress)
            stack.enter_context(data)
            own = _Structures.of(data, model.name)
            first = first or own
            first.check_same(own)
            found[model.name] = score_rows(record, data, request.per, progress)
        return _compared(request, [found[model.name] for model in request.models], data)


def _opened(
    request: CompareRequest, model: ComparedModel, progress: Progress
) -> tuple[HessianRecord, Dataset]:
    """Open the set of a model, which has to be closed."""
    record = override(load_hessian(model.hessian), request.hessian_options)
    data = open_input(
        [model.data],
        model.name,
        request.inputs,
        needs_atoms=request.per == "atom",
        needs_gradients=False,
        per=request.per,
        records=[record],
        reserved=[model.hessian],
        progress=progress,
    )
    with ExitStack() as stack:
        stack.enter_context(data)
        check_scorable(record, data, request.per)
        stack.pop_all()
    return record, data


def _compared(request: CompareRequest, scores: Sequence[Scores], data: Dataset) -> Comparison:
    """Compare all scores, with the set of the reference open."""
    rigidities = [each.rigidity for each in scores]
    names = tuple(model.name for model in request.models)
    try:
        dynamics = learning_dynamics(rigidities, request.position)
    except ValueError as error:
        raise RequestError(str(error), where=data.label) from error
    if dynamics.n_left_out:
        logger.warning(
            "%s of infinite rigidity under some model: left out",
            counted(dynamics.n_left_out, request.per),
        )
    comparison = Comparison(names, request.position, request.per, dynamics)
    if request.curves is not None:
        table = curves_table(comparison, scores[request.position], data)
        write_curves(request.curves, request.per, table, request.overwrite)
    if request.plots is not None:
        write_figures(request.plots, dynamics_figures(comparison), request.overwrite)
    return comparison


@dataclass(frozen=True, eq=False)
class _Structures:
    """What tells whether two sets are of the same structures."""

    label: str
    model: str
    n_atoms: NDArray[np.integer]
    species: NDArray[np.uint8] | None

    @classmethod
    def of(cls, data: Dataset, model: str) -> _Structures:
        species = None
        if data.has_species:
            species = np.concatenate(
                [
                    np.asarray(part.table.species)[part.atoms_of(part.positions)[1]]
                    for part in data.parts
                ]
            )
        return cls(data.label, model, data.n_atoms, species)

    def check_same(self, other: _Structures) -> None:
        """Refuse sets of other structures, as far as numbers of atoms and elements tell.

        Raises
        ------
        MismatchError
        """
        where = f"{self.label} of {self.model}, and {other.label} of {other.model}"
        if len(self.n_atoms) != len(other.n_atoms):
            raise MismatchError(
                "models are compared on the same structures",
                where=where,
                expected=counted(len(self.n_atoms), "structure"),
                got=counted(len(other.n_atoms), "structure"),
            )
        differing = np.flatnonzero(self.n_atoms != other.n_atoms)
        if differing.size:
            i = int(differing[0])
            raise MismatchError(
                "models are compared on the same structures, in the same order",
                where=f"{where}, structure {i}",
                expected=counted(int(self.n_atoms[i]), "atom"),
                got=counted(int(other.n_atoms[i]), "atom"),
            )
        if self.species is None or other.species is None:
            return
        strange = np.flatnonzero(self.species != other.species)
        if strange.size:
            starts = np.concatenate([[0], np.cumsum(self.n_atoms)])
            i = int(np.searchsorted(starts, strange[0], side="right")) - 1
            raise MismatchError(
                "models are compared on the same structures, in the same order",
                where=f"{where}, structure {i}, atom {int(strange[0] - starts[i])}",
                expected="the same element in both",
            )
