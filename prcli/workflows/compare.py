"""Compare what several models know of the same structures: learning dynamics."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.errors import RequestError
from prcli.numerics.dynamics import Dynamics, learning_dynamics
from prcli.records import Progress, no_progress
from prcli.wording import counted
from prcli.workflows.compare_request import ComparedModel, ComparedPer, CompareRequest
from prcli.workflows.compare_table import curves_table, dynamics_figures, write_curves
from prcli.workflows.compared_structures import ComparedStructures
from prcli.workflows.hessian_options import override
from prcli.workflows.inputs import load_hessian, open_input
from prcli.workflows.plots import write_figures
from prcli.workflows.score import check_scorable, score_rows
from prcli.workflows.scores import Scores

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]


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

    @property
    def differences(self) -> dict[str, float]:
        """Mean of |x - x_ref|/x_ref of each model, by name; 0 for the reference."""
        return dict(zip(self.names, self.dynamics.differences.tolist(), strict=True))

    def curve(self, name: str) -> FloatArray:
        """Give the normalized rigidities of a model, (n,), in the order of the reference."""
        return self.dynamics.curve(self.names.index(name))


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
    first: ComparedStructures | None = None
    with ExitStack() as stack:
        for model in ordered:
            stack.close()
            record, data = _opened(request, model, progress)
            stack.enter_context(data)
            own = ComparedStructures.of(data, model.name)
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
        model.data,
        repr(model.name),
        request.inputs,
        needs_atoms=request.per == "atom",
        needs_gradients=False,
        per=request.per,
        records=[record],
        reserved=model.files,
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
