"""Thermodynamic averages over a trajectory, for each member of an ensemble."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.errors import RequestError
from prcli.numerics.reweighting import Averages, TrajectoryAverages
from prcli.records import Progress, no_progress
from prcli.workflows.ensemble import Ensemble, Sampler, member_blocks
from prcli.workflows.expressions import Expression
from prcli.workflows.frames import Frames
from prcli.workflows.quantities import ENERGY
from prcli.workflows.structure_columns import StructureColumns
from prcli.workflows.structure_weights import place_of

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

#: Share of the frames below which a direct average rests on too few of them.
FEW_FRAMES = 0.1


def check_temperature(temperature: float) -> None:
    """Refuse a temperature at which nothing can be averaged.

    Raises
    ------
    RequestError
    """
    if not (math.isfinite(temperature) and temperature > 0.0):
        raise RequestError(
            "--temperature must be a positive number", expected="kelvin", got=str(temperature)
        )


def average(
    sampler: Sampler,
    data: Dataset,
    observables: Sequence[Expression],
    temperature: float,
    open_frames: Callable[[], Frames],
    progress: Progress = no_progress,
) -> list[Averages]:
    """Average observables over a trajectory, and reweight the averages to each member.

    Parameters
    ----------
    sampler : Sampler
        Predictions are needed only where an observable is made of the energy.
    data : Dataset
        Frames that sample the potential of the model at the temperature.
    observables : sequence of Expression
        Of columns of the structures, and ``E``, the total energy in eV. The average of a
        condition is the share of frames that fulfil it.
    temperature : float
        K.
    open_frames : callable
    progress : callable

    Returns
    -------
    averages : list of Averages
        In the order of `observables`.

    Raises
    ------
    PrcliError
        If a column or a prediction is not found, or an observable is not a number.
    """
    check_temperature(temperature)
    for observable in observables:
        if not observable.names:
            raise RequestError("an observable is constant", where=f"--average {observable.text!r}")
    needs_energy = any(ENERGY in observable.names for observable in observables)
    if needs_energy and sampler.options.deviations:
        raise RequestError(
            f"the energy {ENERGY} needs predictions",
            where="--deviations",
            remedy="leave --deviations out",
        )
    columns = StructureColumns(data, open_frames)
    names = sorted({name for each in observables for name in each.names} - {ENERGY})
    columns.fetch(names)
    values = {name: columns[name] for name in names}
    sums = [TrajectoryAverages(sampler.options.n_members, temperature) for _ in observables]
    start = 0
    for block in member_blocks(sampler, data, open_frames, with_predicted=needs_energy):
        stop = start + len(block.sigma)
        here = {name: column[start:stop] for name, column in values.items()}
        for each, observable in zip(sums, observables, strict=True):
            own, members = _observe(observable, here, block)
            _check_finite(own, observable, data, start)
            each.add(own, block.deviations, members)
        start = stop
        progress("ensemble", start, data.n_structures)
    averages = [each.result() for each in sums]
    _warn_of_few(averages[0])
    for found, observable in zip(averages, observables, strict=True):
        _warn_of_impossible(found, observable)
    return averages


def _observe(
    observable: Expression, columns: Mapping[str, NDArray[np.generic]], block: Ensemble
) -> tuple[FloatArray, FloatArray | None]:
    """Evaluate an observable of some frames, and by each member where it has the energy."""
    if ENERGY not in observable.names:
        return _numbers(observable, columns), None
    assert block.predicted is not None
    own = _numbers(observable, {**columns, ENERGY: block.predicted})
    members = _by_member(observable, columns, block)
    return own, np.stack(list(members), axis=1)


def _by_member(
    observable: Expression, columns: Mapping[str, NDArray[np.generic]], block: Ensemble
) -> Iterator[FloatArray]:
    for energies in block.members.T:
        yield _numbers(observable, {**columns, ENERGY: energies})


def _numbers(observable: Expression, columns: Mapping[str, NDArray[np.generic]]) -> FloatArray:
    """Evaluate an observable as numbers, 1 and 0 for conditions."""
    values = observable.evaluate(columns)
    if values.dtype.kind not in "fb":
        raise RequestError(
            "an observable is not a number",
            where=f"--average {observable.text!r}",
            expected="numbers, or a condition",
            got=f"values such as {values.tolist()[0]!r}",
        )
    return values.astype(np.float64)


def _check_finite(values: FloatArray, observable: Expression, data: Dataset, start: int) -> None:
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise RequestError(
            "an observable is absent or not finite",
            where=place_of(data, start + int(wrong[0]), observable.text),
            expected="a finite number for every frame",
            got=str(values[wrong[0]]),
            remedy="leave such frames out by a slice",
        )


def _warn_of_few(averages: Averages) -> None:
    """Say where direct averages rest on few frames, whatever the observable."""
    fewest = float(averages.n_effective.min())
    if fewest < FEW_FRAMES * averages.n_frames:
        logger.warning(
            "direct averages rest on as few as %.3g of %d frames for some members: rather trust "
            "the cumulant form",
            fewest,
            averages.n_frames,
        )


def _warn_of_impossible(averages: Averages, observable: Expression) -> None:
    """Say where members differ so much from the model that the cumulant form fails."""
    n_impossible = averages.n_impossible
    if n_impossible:
        logger.warning(
            "%s: averages by the cumulant form leave the range of the frames for %d of %d members: "
            "these differ from the model by far more than kT, and neither form holds",
            observable.text,
            n_impossible,
            len(averages.cumulant),
        )
