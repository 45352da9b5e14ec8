"""An ensemble from what a user typed: open, check, predict, derive."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from prcli.data.hessian_record import HessianRecord
from prcli.data.publish import check_not_input, check_output, publish_file
from prcli.errors import RequestError
from prcli.records import Progress, no_progress
from prcli.workflows.averages import average, check_temperature
from prcli.workflows.ensemble import Sampler, member_blocks
from prcli.workflows.ensemble_options import EnsembleOptions, alpha_unit, read_weights_file
from prcli.workflows.ensemble_table import (
    Column,
    Table,
    average_table,
    derived_table,
    member_columns,
    member_table,
)
from prcli.workflows.expressions import parse_expression
from prcli.workflows.frames import Frames
from prcli.workflows.inputs import DataArgument, InputOptions, load_hessian, open_input, paths_of
from prcli.workflows.propagation import propagate
from prcli.workflows.quantities import ENERGY, parse_quantity
from prcli.workflows.score import check_scorable

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EnsembleRequest:
    """Everything that decides a table of an ensemble.

    Attributes
    ----------
    hessian : path or HessianRecord
    data : tuple of DataArgument
    options : EnsembleOptions
    weights_file : str, optional
        npy, npz or HDF5 file of last-layer weights, in place of those in `options`.
    expressions : tuple of str
        Derived quantities, such as ``E['slab'] - E['bulk']``.
    name_key : str, optional
        Column or key that names rows in them.
    averages : tuple of str
        Observables to average over the set as a trajectory, such as ``volume``.
    temperature : float, optional
        Of the trajectory, K.
    with_members : bool, optional
        Whether the table has a column for each member; by default that of predictions has.
    save_weights : str, optional
        npy file to write with the weights of each member.
    structures : tuple of path
        Structure files in place of those that the stores name.
    inputs : InputOptions
    overwrite : bool
    """

    hessian: str | Path | HessianRecord
    data: tuple[DataArgument, ...]
    options: EnsembleOptions = field(default_factory=EnsembleOptions)
    weights_file: str | None = None
    expressions: tuple[str, ...] = ()
    name_key: str | None = None
    averages: tuple[str, ...] = ()
    temperature: float | None = None
    with_members: bool | None = None
    save_weights: str | None = None
    structures: tuple[str | Path, ...] = ()
    inputs: InputOptions = field(default_factory=InputOptions)
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Check that the parts of the request go together.

        Raises
        ------
        RequestError
        """
        derives = bool(self.expressions or self.averages)
        has_weights = self.weights_file is not None or self.options.weights is not None
        if self.expressions and self.averages:
            _refuse("there is one table at a time", "--expr and --average", "one of them")
        if derives and self.options.per != "structure":
            where = f"--per {self.options.per}"
            _refuse("only energies of structures are propagated", where, "--per structure")
        if derives and self.options.n_members < 2:
            _refuse("a spread needs two members", "--n-members 1", "at least 2")
        if self.expressions and self.options.deviations:
            _refuse("derived quantities need predictions", "--deviations", "predictions")
        if self.name_key is not None and not self.expressions:
            _refuse("names of rows are for --expr", "--name-key", "--expr")
        if bool(self.averages) != (self.temperature is not None):
            where = "--average" if self.averages else "--temperature"
            _refuse("averages need a temperature, and only they", where, "both, or neither")
        if self.temperature is not None:
            check_temperature(self.temperature)
        if self.save_weights is not None and not has_weights:
            _refuse("weights of members need those of the model", "--save-weights", "--weights")


class EnsembleRun:
    """An ensemble under way; use it in a ``with`` block, which opens and closes the data.

    Parameters
    ----------
    request : EnsembleRequest
    progress : callable
    """

    def __init__(self, request: EnsembleRequest, progress: Progress = no_progress) -> None:
        self._request = request
        self._progress = progress
        self._quantities = [parse_quantity(text) for text in request.expressions]
        self._observables = [parse_expression(text) for text in request.averages]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Open and check everything before long work starts."""
        request = self._request
        if request.save_weights is not None:
            _check_output(request)
        with ExitStack() as stack:
            self._record = load_hessian(request.hessian)
            self._options = request.options
            if request.weights_file is not None:
                weights = read_weights_file(request.weights_file, self._record)
                self._options = replace(self._options, weights=weights)
            data = open_input(
                request.data,
                "predicted",
                request.inputs,
                needs_atoms=self._options.per == "atom",
                needs_gradients=self._options.per in ("force", "stress"),
                records=[self._record],
                reserved=_other_files(request),
                progress=self._progress,
            )
            self._data = stack.enter_context(data)
            check_scorable(self._record, data, self._options.per)
            self._sampler = Sampler(self._record, self._options)
            self._open_frames = cache(lambda: Frames(data, request.structures))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the data."""
        self._stack.close()

    def table(self) -> tuple[tuple[str, ...], Iterable[Mapping[str, Column]]]:
        """Write the weights where that was asked for, and give the table.

        Returns
        -------
        columns : tuple of str
        batches : iterable of mapping of str to array
            Predictions are computed as they are taken, and never held together.
        """
        options = self._options
        logger.info(
            "%d members, seed %d, alpha %.6g %s",
            options.n_members,
            options.seed,
            self._sampler.alpha,
            alpha_unit(self._record, options.per),
        )
        if self._request.save_weights is not None:
            self._save_weights(self._request.save_weights)
        if self._uses_energy and ENERGY in self._data.column_names:
            logger.warning("%s is the predicted energy, not the column of that name", ENERGY)
        if self._quantities:
            return _whole(self._derived())
        if self._observables:
            return _whole(self._averaged())
        return self._predicted()

    @property
    def _uses_energy(self) -> bool:
        return bool(self._quantities) or any(ENERGY in each.names for each in self._observables)

    def _predicted(self) -> tuple[tuple[str, ...], Iterable[Mapping[str, Column]]]:
        options = self._options
        with_members = self._request.with_members is not False
        n_members = options.n_members if with_members else 0
        columns = member_columns(options.per, n_members, with_predicted=not options.deviations)
        blocks = member_blocks(self._sampler, self._data, self._open_frames)
        batches = member_table(blocks, self._data, options.per, columns)
        return columns, _started(batches)

    def _derived(self) -> Table:
        derived = propagate(
            self._sampler,
            self._data,
            self._quantities,
            self._open_frames,
            self._request.name_key,
            self._progress,
        )
        for each in derived:
            n_wrong = int(np.count_nonzero(~np.isfinite(each.members).all(axis=0)))
            if n_wrong:
                n_members = self._options.n_members
                logger.warning("%s: not finite for %d of %d members", each.text, n_wrong, n_members)
        return derived_table(derived, with_members=bool(self._request.with_members))

    def _averaged(self) -> Table:
        temperature = self._request.temperature
        assert temperature is not None
        averages = average(
            self._sampler,
            self._data,
            self._observables,
            temperature,
            self._open_frames,
            self._progress,
        )
        texts = [each.text for each in self._observables]
        return average_table(texts, averages, with_members=bool(self._request.with_members))

    def _save_weights(self, path: str) -> None:
        with publish_file(path, self._request.overwrite) as temporary:
            with open(temporary, "wb") as file:
                np.save(file, self._sampler.weights())


def _refuse(what: str, where: str, expected: str) -> None:
    raise RequestError(what, where=where, expected=expected)


def _started(batches: Iterator[Mapping[str, Column]]) -> Iterator[Mapping[str, Column]]:
    """Compute the first batch at once, so that most of what is wrong is found before output."""
    first = next(batches)
    return chain([first], batches)


def _whole(table: Table) -> tuple[tuple[str, ...], Iterable[Mapping[str, Column]]]:
    return tuple(table), [table]


def _check_output(request: EnsembleRequest) -> None:
    """Refuse an output that cannot be written, or that is read."""
    path = str(request.save_weights)
    check_output(path, request.overwrite)
    check_not_input(path, [*_read_files(request), *paths_of(request.data)])


def _other_files(request: EnsembleRequest) -> list[str | Path]:
    """Files beside the data that are read or written."""
    written = [] if request.save_weights is None else [request.save_weights]
    return [*_read_files(request), *written]


def _read_files(request: EnsembleRequest) -> list[str | Path]:
    """Files beside the data that are read."""
    files: list[str | Path] = list(request.structures)
    files += [] if isinstance(request.hessian, HessianRecord) else [request.hessian]
    return files + ([] if request.weights_file is None else [request.weights_file])
