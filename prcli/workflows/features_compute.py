"""Compute features of structures and write them to a feature store."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prcli.data.batch_journal import BatchJournal
from prcli.data.checks import check_n_atoms
from prcli.data.featurizer_settings import named_settings
from prcli.data.provenance import make_provenance, stamp_file
from prcli.data.source import StoreSource
from prcli.data.store_writer import StoreWriter
from prcli.features.featurizer import (
    Featurizer,
    find_factory,
)
from prcli.parallel.pieces import pieces_of_all
from prcli.records import ALONE, Communicator, Progress, Provenance, no_progress
from prcli.workflows.compute_batches import (
    Batch,
    Describer,
    GradientPlaces,
    gradient_places,
    read_record,
)
from prcli.workflows.compute_request import ComputeRequest, ComputeSummary
from prcli.workflows.compute_setup import (
    check_paths,
    check_space,
    check_species,
    check_structures,
    model_path,
    prepare_featurizer,
    read_hypers,
)
from prcli.workflows.compute_spans import missing_spans, spans_of_part
from prcli.workflows.geometries import Structures, Survey
from prcli.workflows.import_columns import read_columns
from prcli.workflows.import_rows import ImportFrames, open_structures
from prcli.workflows.rank_limits import check_ranks
from prcli.workflows.species_option import parse_species

logger = logging.getLogger(__name__)


def compute_features(
    request: ComputeRequest,
    progress: Progress = no_progress,
    *,
    spooled: Path | None = None,
    communicator: Communicator = ALONE,
) -> ComputeSummary:
    """Write a feature store of structures.

    Parameters
    ----------
    request : ComputeRequest
    progress : callable
    spooled : Path, optional
        Where standard input has been kept by the caller, who needs its frames later.
    communicator : Communicator
        Ranks divide the structures among them; rank 0 writes the store.

    Returns
    -------
    summary : ComputeSummary

    Raises
    ------
    RequestError
        If the featurizer is not there or cannot do what is asked for.
    FormatError, FeatureError, InputFileError
        If settings or structures cannot be used.
    MismatchError
        If the checkpoint belongs to another request.
    OutputError
        If the store or the checkpoint cannot be written.
    """
    check_ranks(communicator, [request.structures])
    if communicator.rank == 0:
        check_paths(request)
    find_factory(request.featurizer)
    hypers = read_hypers(request)
    listed = parse_species(request.species)
    with ExitStack() as stack:
        frames = open_structures(request.structures, stack, spooled, progress)
        check_n_atoms(frames.n_atoms, frames.typed)
        structures = Structures(frames)
        # Reading all structures takes as long in every rank as in one.
        survey = structures.survey(progress) if communicator.rank == 0 else None
        survey = communicator.broadcast(survey)
        assert survey is not None
        species = check_species(listed, survey, frames) if listed else survey.species
        featurizer = prepare_featurizer(request, hypers, species, structures)
        check_structures(request, featurizer, survey, structures, frames)
        return store_features(
            request, featurizer, frames, structures, survey, progress, communicator
        )


def store_features(
    request: ComputeRequest,
    featurizer: Featurizer,
    frames: ImportFrames,
    structures: Structures,
    survey: Survey,
    progress: Progress = no_progress,
    communicator: Communicator = ALONE,
) -> ComputeSummary:
    """Describe structures that have been looked at and checked, and write their store.

    Parameters
    ----------
    request : ComputeRequest
    featurizer : Featurizer
        Made for the elements of the survey, and for the gradients of the request.
    frames : ImportFrames
    structures : Structures
        Those of the frames.
    survey : Survey
        Of the structures.
    progress : callable
    communicator : Communicator

    Returns
    -------
    summary : ComputeSummary
    """
    places = gradient_places(frames.n_atoms, request)
    describer = Describer(frames, structures, featurizer, request, places)
    n_resumed = 0
    if communicator.rank == 0:
        writer = _open_writer(request, featurizer, survey, places, frames)
        with ExitStack() as stack:
            journal = None
            if request.checkpoint_path is not None:
                check_space(request.checkpoint_path, writer.n_bytes)
                wanted = _journal_request(request, featurizer, frames)
                journal = stack.enter_context(BatchJournal(request.checkpoint_path, wanted))
            n_resumed = _write(writer, describer, journal, frames, places, progress, communicator)
    else:
        _send(describer, frames, progress, communicator)
    return ComputeSummary(
        path=request.output,
        n_structures=len(frames.frame),
        n_atoms=int(frames.offsets[-1]),
        n_features=featurizer.n_features,
        n_gradient_rows=len(places.kind),
        dtype=request.dtype,
        n_resumed=n_resumed,
    )


def _write(
    writer: StoreWriter,
    describer: Describer,
    journal: BatchJournal | None,
    frames: ImportFrames,
    places: GradientPlaces,
    progress: Progress,
    communicator: Communicator,
) -> int:
    """Write all batches, those of an interrupted run first; return how many structures it had."""
    done = 0
    total = len(frames.frame)
    spans: list[tuple[int, int]] = []
    with writer:
        for batch in _replayed(journal, frames.n_atoms):
            _write_batch(writer, batch, frames, places)
            spans.append((batch.start, batch.stop))
            done += batch.stop - batch.start
            progress("compute", done, total)
        n_resumed = done
        if n_resumed:
            logger.info("%d of %d structures were computed by an earlier run", done, total)
        missing = communicator.broadcast(missing_spans(spans, total))
        if communicator.size > 1:
            # From here on a signal is answered between two batches, by every rank alike.
            progress("compute", done, total)
        own = spans_of_part(missing, frames.offsets, 0, communicator.size)
        for batch in pieces_of_all(communicator, describer.batches(own)):
            if journal is not None:
                journal.append(batch.record())
            _write_batch(writer, batch, frames, places)
            done += batch.stop - batch.start
            progress("compute", done, total)
    return n_resumed


def _send(
    describer: Describer, frames: ImportFrames, progress: Progress, communicator: Communicator
) -> None:
    """Describe the share of a rank that does not write."""
    missing: list[range] = communicator.broadcast([])
    own = spans_of_part(missing, frames.offsets, communicator.rank, communicator.size)
    done, total = 0, sum(map(len, own))
    progress("compute", done, total)

    def reported() -> Iterator[Batch]:
        nonlocal done
        for batch in describer.batches(own):
            yield batch
            done += batch.stop - batch.start
            progress("compute", done, total)

    for _ in pieces_of_all(communicator, reported()):
        raise AssertionError("only rank 0 receives")


def _replayed(journal: BatchJournal | None, n_atoms: NDArray[np.int64]) -> Iterator[Batch]:
    """Batches that an earlier run has computed."""
    if journal is not None:
        for record in journal.replay():
            yield read_record(record, n_atoms)


def _write_batch(
    writer: StoreWriter, batch: Batch, frames: ImportFrames, places: GradientPlaces
) -> None:
    if batch.atoms is not None:
        writer.write_atoms(int(frames.offsets[batch.start]), batch.atoms)
    writer.write_structures(batch.start, batch.structures)
    if batch.gradients is not None:
        writer.write_gradients(int(places.offsets[batch.start]), batch.gradients)


def _open_writer(
    request: ComputeRequest,
    featurizer: Featurizer,
    survey: Survey,
    places: GradientPlaces,
    frames: ImportFrames,
) -> StoreWriter:
    columns = read_columns(request.columns, frames)
    everything = np.ones(len(frames.n_atoms), dtype=bool)
    return StoreWriter(
        request.output,
        n_atoms=frames.n_atoms,
        n_features=featurizer.n_features,
        dtype=request.dtype,
        convention="mean",
        structures=True,
        structures_dtype="float64" if request.with_atoms else None,
        atoms=request.with_atoms,
        species=survey.numbers,
        blocks=featurizer.blocks,
        columns=columns.kept(everything, frames.n_atoms, survey.numbers),
        feature_kind=getattr(featurizer, "feature_kind", None),
        featurizer=named_settings(featurizer.name, featurizer.settings),
        source=_source(frames),
        gradients=places.shape(request.dtype),
        provenance=_provenance(request, featurizer, frames),
        overwrite=request.overwrite,
    )


def _source(frames: ImportFrames) -> StoreSource | None:
    """Name the frames; those of standard input are gone."""
    if frames.index.stamp.path == "-":
        return None
    return StoreSource(
        files=(frames.index.stamp,),
        file=np.zeros(len(frames.frame), dtype=np.int32),
        frame=frames.frame,
        offset=frames.index.offset[frames.frame],
        typed=(frames.typed,),
    )


def _provenance(
    request: ComputeRequest, featurizer: Featurizer, frames: ImportFrames
) -> Provenance | None:
    if not request.with_provenance:
        return None
    settings = {
        "featurizer": featurizer.name,
        **featurizer.settings,
        "gradients": list(request.kinds),
    }
    stamps = [frames.index.stamp]
    model = model_path(request.hypers) if isinstance(request.hypers, Mapping) else None
    digest = featurizer.settings.get("model")
    if model is not None and isinstance(digest, str):
        stamps.append(stamp_file(model, digest))
    return make_provenance(stamps, settings)


def _journal_request(
    request: ComputeRequest, featurizer: Featurizer, frames: ImportFrames
) -> dict[str, object]:
    """Tell all that decides the rows."""
    first, last = int(frames.frame[0]), int(frames.frame[-1])
    return {
        "featurizer": featurizer.name,
        **featurizer.settings,
        "structures": frames.index.stamp.digest,
        "frames": f"{len(frames.frame)} from {first} to {last}",
        "dtype": request.dtype,
        "atoms": request.with_atoms,
        "gradients": list(request.kinds),
    }
