"""Turn features that another program wrote into a feature store."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from prcli.data.checks import atom_offsets
from prcli.data.conventions import parse_blocks
from prcli.data.provenance import make_provenance, stamp_file
from prcli.data.publish import check_not_input, check_output
from prcli.data.slices import split_slice
from prcli.data.source import StoreSource
from prcli.data.store_writer import StoreWriter
from prcli.errors import FeatureError, RequestError
from prcli.records import Progress, Provenance, no_progress
from prcli.workflows.finite import is_finite
from prcli.workflows.import_request import ImportRequest, ImportSummary
from prcli.workflows.import_rows import (
    ArrayFileRows,
    FrameRows,
    ImportFrames,
    ImportRows,
    open_structures,
)

logger = logging.getLogger(__name__)


def import_features(
    request: ImportRequest, progress: Progress = no_progress, *, spooled: Path | None = None
) -> ImportSummary:
    """Write a feature store from structures and features.

    Parameters
    ----------
    request : ImportRequest
    progress : callable
    spooled : Path, optional
        Where standard input has been kept by the caller, who needs its frames later.

    Returns
    -------
    summary : ImportSummary

    Raises
    ------
    FeatureError
        If rows and structures do not fit each other, or features are absent or not finite.
    OutputError
        If the store cannot be written.
    """
    check_output(request.output, request.overwrite)
    inputs = [split_slice(request.structures)[0], request.features or ""]
    check_not_input(request.output, inputs)
    if (request.features is None) == (request.feature_key is None):
        raise RequestError(
            "features must come from one place",
            expected="either --features FILE or --feature-key KEY",
            got="both" if request.features else "neither",
        )
    with ExitStack() as stack:
        frames = open_structures(request.structures, stack, spooled)
        if request.features is not None:
            rows: ImportRows = ArrayFileRows(request, frames, stack)
        else:
            rows = FrameRows(request, frames)
        for note in rows.notes:
            logger.info("%s", note)
        skipped = _find_invalid(rows, frames) if request.skip_invalid else np.empty(0, np.int64)
        return _write(request, frames, rows, skipped, progress)


def _find_invalid(rows: ImportRows, frames: ImportFrames) -> NDArray[np.int64]:
    """Structures of which a feature is not finite."""
    found: list[NDArray[np.int64]] = []
    for start, stop, block, _ in rows.runs(frames):
        bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if rows.convention == "per-atom":
            atoms = bad + frames.offsets[start]
            found.append(np.unique(np.searchsorted(frames.offsets, atoms, side="right") - 1))
        else:
            found.append(bad + start)
        if found[-1].size and found[-1][-1] >= stop:
            raise AssertionError("a block reaches past its structures")
    return np.concatenate(found) if found else np.empty(0, np.int64)


def _write(
    request: ImportRequest,
    frames: ImportFrames,
    rows: ImportRows,
    skipped: NDArray[np.int64],
    progress: Progress,
) -> ImportSummary:
    kept = np.ones(len(frames.frame), dtype=bool)
    kept[skipped] = False
    if not kept.any():
        raise FeatureError("no structure has finite features", where=request.structures)
    n_atoms = frames.n_atoms[kept]
    numbers = np.empty(int(n_atoms.sum()), dtype=np.uint8)
    per_atom = rows.convention == "per-atom"
    blocks = parse_blocks(request.blocks, rows.n_features) if request.blocks else rows.blocks
    writer = StoreWriter(
        request.output,
        n_atoms=n_atoms,
        n_features=rows.n_features,
        dtype=rows.dtype,
        convention="sum" if rows.convention == "sum" else "mean",
        structures=True,
        structures_dtype=np.float64 if per_atom else None,
        atoms=per_atom,
        blocks=blocks,
        source=_source(frames, kept),
        provenance=_provenance(request, frames),
        overwrite=request.overwrite,
    )
    with writer:
        structure = atom = 0
        for start, stop, block, species_block in rows.runs(frames):
            keep = kept[start:stop]
            if not (request.skip_invalid or is_finite(block)):
                _refuse(block, request, rows, frames, start)
            keep_atoms = np.repeat(keep, frames.n_atoms[start:stop])
            chosen = block[keep_atoms if per_atom else keep]
            numbers[atom : atom + np.count_nonzero(keep_atoms)] = species_block[keep_atoms]
            if per_atom and len(chosen):
                writer.write_atoms(atom, chosen)
                chosen = _means(chosen, frames.n_atoms[start:stop][keep])
            if len(chosen):
                writer.write_structures(structure, chosen)
            structure += int(np.count_nonzero(keep))
            atom += int(np.count_nonzero(keep_atoms))
            progress("import", stop, len(frames.frame))
        writer.write_species(numbers)
    skipped_frames = tuple(int(i) for i in frames.frame[skipped])
    if skipped_frames:
        logger.warning(
            "%d structures left out because a feature is not finite: frames %s",
            len(skipped_frames),
            ", ".join(map(str, skipped_frames)),
        )
    return ImportSummary(
        path=request.output,
        n_structures=len(n_atoms),
        n_atoms=int(n_atoms.sum()),
        n_features=rows.n_features,
        dtype=rows.dtype.name,
        convention=rows.convention,
        skipped=skipped_frames,
        notes=rows.notes,
    )


def _refuse(
    block: NDArray[np.floating],
    request: ImportRequest,
    rows: ImportRows,
    frames: ImportFrames,
    start: int,
) -> NoReturn:
    """Name frame, row and column of the first value that is not finite."""
    row, column = divmod(int(np.argmin(np.isfinite(block))), block.shape[1])
    structure, place = start + row, ""
    if rows.convention == "per-atom":
        atom = int(frames.offsets[start]) + row
        structure = int(np.searchsorted(frames.offsets, atom, side="right")) - 1
        place = f", atom {atom - int(frames.offsets[structure])}"
    origin = request.features or request.feature_key
    raise FeatureError(
        "feature is not finite",
        where=f"{origin}, column {column}, "
        f"for {frames.typed}, frame {int(frames.frame[structure])}{place}",
        expected="a finite number",
        got=str(block[row, column]),
        remedy="compute the features again, or leave such structures out with --skip-invalid",
    )


def _means(rows: NDArray[np.floating], n_atoms: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean over the atoms of each structure, in float64."""
    starts = atom_offsets(n_atoms)[:-1]
    sums = np.add.reduceat(rows.astype(np.float64), starts)
    means: NDArray[np.float64] = sums / n_atoms[:, np.newaxis]
    return means


def _source(frames: ImportFrames, kept: NDArray[np.bool_]) -> StoreSource | None:
    if frames.index.stamp.path == "-":
        return None
    frame = frames.frame[kept]
    return StoreSource(
        files=(frames.index.stamp,),
        file=np.zeros(len(frame), dtype=np.int32),
        frame=frame,
        offset=frames.index.offset[frame],
        typed=(frames.typed,),
    )


def _provenance(request: ImportRequest, frames: ImportFrames) -> Provenance | None:
    if not request.with_provenance:
        return None
    inputs = [frames.index.stamp]
    if request.features is not None:
        inputs.append(stamp_file(os.fspath(request.features)))
    settings = {"convention": request.convention, "feature_key": request.feature_key}
    return make_provenance(inputs, settings)
