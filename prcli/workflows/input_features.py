"""Features of the structure files that a command names, computed on the way.

All files are looked at before any is described, so that the columns of all sets agree and what is
wrong is found before long work.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from prcli.data.alike import check_alike
from prcli.data.checks import check_n_atoms
from prcli.data.feature_table import FeatureTable
from prcli.data.features import Features
from prcli.data.file_kind import file_kind
from prcli.data.hessian_record import HessianRecord
from prcli.data.slices import split_slice
from prcli.data.store import FeatureStore, open_store
from prcli.data.streams import spool
from prcli.elements import SYMBOLS
from prcli.errors import OutputError, RequestError
from prcli.features.featurizer import Featurizer, find_factory
from prcli.records import Progress
from prcli.workflows.compute_request import ComputeRequest
from prcli.workflows.compute_setup import (
    check_species,
    check_structures,
    prepare_featurizer,
    read_hypers,
)
from prcli.workflows.features_compute import store_features
from prcli.workflows.featurizer_choice import KnownColumns, chosen_featurizer, known_columns
from prcli.workflows.geometries import Structures, Survey
from prcli.workflows.import_rows import ImportFrames, open_structures
from prcli.workflows.input_options import DataArgument, InputOptions, InputSet
from prcli.workflows.kept_stores import KeptStores
from prcli.workflows.species_option import parse_species

logger = logging.getLogger(__name__)

#: Up to so many atoms of all files together, positions are kept after the first look.
_KEPT_ATOMS = 1 << 20


@dataclass(frozen=True, eq=False)
class BareStructures:
    """Structures without features, looked at.

    Attributes
    ----------
    argument : str
        As the user named them.
    wanted : InputSet
        The set that they belong to.
    frames : ImportFrames
    structures : Structures
    survey : Survey
    """

    argument: str
    wanted: InputSet
    frames: ImportFrames
    structures: Structures
    survey: Survey


class InputFeatures:
    """The featurizer of a command, and the structures that it will describe.

    Parameters
    ----------
    options : InputOptions
        With a featurizer.
    reserved : iterable of path
        Files that the command reads or writes besides, which no store may replace.
    progress : callable

    Raises
    ------
    RequestError
        If there is no such featurizer.
    """

    def __init__(
        self, options: InputOptions, reserved: Iterable[str | Path], progress: Progress
    ) -> None:
        self._options = options
        self._progress = progress
        find_factory(chosen_featurizer(options).featurizer)
        self._kept = KeptStores(options.keep_features, options.overwrite, reserved)
        self._bare: list[BareStructures] = []
        self._n_atoms = self._n_structures = self._n_described = 0

    def look_at(self, argument: str, wanted: InputSet, resources: ExitStack) -> BareStructures:
        """Read structures once, without describing them.

        Standard input is kept on the stack, since its frames may be copied later.
        """
        typed = split_slice(argument)[0]
        self._kept.claim(typed)
        spooled = resources.enter_context(spool(sys.stdin.buffer)) if typed == "-" else None
        frames = open_structures(argument, resources, spooled, self._progress)
        bare = self._survey(argument, wanted, frames)
        self._n_structures += len(frames.frame)
        self._n_atoms += len(bare.survey.numbers)
        if self._n_atoms > _KEPT_ATOMS:
            bare.structures.forget()
        self._bare.append(bare)
        return bare

    def _survey(self, argument: str, wanted: InputSet, frames: ImportFrames) -> BareStructures:
        check_n_atoms(frames.n_atoms, frames.typed)
        structures = Structures(frames)
        survey = structures.survey(self._progress)
        return BareStructures(argument, wanted, frames, structures, survey)

    def settle(
        self,
        records: Sequence[HessianRecord],
        tables: Sequence[FeatureTable],
        also: Iterable[DataArgument] = (),
    ) -> None:
        """Make the featurizer, and check that it can describe all structures.

        Parameters
        ----------
        records : sequence of HessianRecord
            Hessians that the features shall go with.
        tables : sequence of FeatureTable
            Features of the command that are there already.
        also : iterable of DataArgument
            What the command opens later, whose elements get columns, too.

        Raises
        ------
        MismatchError
            If columns would not be those of features that are there already.
        RequestError
            If there are no columns for an element, or structures lack what is asked for.
        """
        if not self._bare:
            logger.info("nothing is computed by --featurizer: all inputs have features")
            return
        for other in tables[1:]:
            check_alike(tables[0], other)
        known = known_columns(records, tables)
        told = next((each for each in known if each.settings is not None), None)
        request = chosen_featurizer(self._options, told)
        self._check_needs(request)
        listed = self._listed(request, told)
        species = listed or self._elements(tables, also)
        hypers = read_hypers(request)
        featurizer = prepare_featurizer(request, hypers, species, self._bare[0].structures)
        for each in known:
            each.check(featurizer)
        # As a mapping, so that the store can name a model that is among them.
        self._request = replace(request, hypers=hypers)
        self._featurizer: Featurizer = featurizer
        for bare in self._bare:
            check_structures(
                self._request_of(bare), featurizer, bare.survey, bare.structures, bare.frames
            )

    def _check_needs(self, request: ComputeRequest) -> None:
        """Refuse to compute features without the gradients that a command is about."""
        for bare in self._bare:
            per = bare.wanted.per
            if per in ("force", "stress") and per not in request.kinds:
                raise RequestError(
                    f"{per} rows are needed, and would not be computed",
                    where=f"--per {per}, {bare.argument}",
                    expected=f"--gradients {per}, or both",
                    got=f"--gradients {request.gradients}" if request.kinds else "no --gradients",
                )

    def _listed(self, request: ComputeRequest, told: KnownColumns | None) -> tuple[int, ...] | None:
        """Elements that columns are made for, where they are said or known."""
        listed = parse_species(request.species)
        if listed is None:
            return None
        origin = None
        if self._options.species is None and told is not None:
            origin = f"{told.label} was built"
            symbols = ",".join(SYMBOLS[number] for number in listed)
            logger.info("columns for %s, as %s", symbols, origin)
        for bare in self._bare:
            check_species(listed, bare.survey, bare.frames, origin)
        return listed

    def _elements(
        self, tables: Sequence[FeatureTable], also: Iterable[DataArgument]
    ) -> tuple[int, ...]:
        """Elements that occur in the sets of the command, as far as they are known."""
        found = {number for bare in self._bare for number in bare.survey.species}
        memory = [argument for argument in also if isinstance(argument, Features)]
        for table in (*tables, *memory):
            if table.species is not None:
                found.update(np.flatnonzero(np.bincount(table.species)).tolist())
        for argument in also:
            if isinstance(argument, str | Path):
                found.update(self._elements_in(os.fspath(argument)))
        return tuple(sorted(found))

    def _elements_in(self, argument: str) -> tuple[int, ...]:
        """Elements in structures that are opened later; standard input cannot be read twice."""
        path = split_slice(argument)[0]
        if path == "-" or file_kind(path) not in ("extxyz", "structures"):
            return ()
        with ExitStack() as stack:
            frames = open_structures(argument, stack, None)
            return self._survey(argument, InputSet("", ()), frames).survey.species

    def _request_of(self, bare: BareStructures, output: str = "") -> ComputeRequest:
        """Say what to compute of some structures."""
        options, wanted = self._options, bare.wanted
        is_kept = options.keep_features is not None
        return replace(
            self._request,
            structures=bare.argument,
            output=output,
            gradients=options.gradients if wanted.needs_gradients else None,
            with_atoms=wanted.needs_atoms or is_kept,
            # A store that vanishes tells its frames by what provenance is made of.
            with_provenance=options.with_provenance or not is_kept,
        )

    def describe(self, bare: BareStructures) -> FeatureStore:
        """Compute the features of structures, into a store that vanishes if it is not kept."""
        path = self._kept.path(self._bare.index(bare))
        if path is not None:
            logger.info("features of %s go to %s", bare.argument, path)
            return self._store(bare, str(path))
        with tempfile.TemporaryDirectory(prefix="prcli-") as folder:
            try:
                # The open store keeps the file alive after its name is gone.
                return self._store(bare, os.path.join(folder, "features.h5"))
            except OutputError as error:
                error.remedy = (
                    "set TMPDIR to a folder with more space, or name one with --keep-features"
                )
                raise

    def _store(self, bare: BareStructures, path: str) -> FeatureStore:
        """Describe structures, write their store and open it."""
        before = self._n_described

        def report(task: str, done: int, total: int | None) -> None:
            self._progress(task, before + done, self._n_structures)

        request = self._request_of(bare, path)
        store_features(request, self._featurizer, bare.frames, bare.structures, bare.survey, report)
        self._n_described += len(bare.frames.frame)
        bare.structures.forget()
        store = open_store(path)
        store.label = bare.argument
        return store
