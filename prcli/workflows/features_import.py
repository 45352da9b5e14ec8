"""Turn features that another program wrote into a feature store."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from prcli.data.provenance import make_provenance, stamp_file
from prcli.data.publish import check_not_input, check_output
from prcli.data.row_offsets import atom_offsets
from prcli.data.slices import split_slice
from prcli.data.source import StoreSource
from prcli.data.store_writer import StoreWriter
from prcli.errors import FeatureError, RequestError
from prcli.records import Progress, Provenance, no_progress
from prcli.wording import counted
from prcli.workflows.finite import is_finite
from prcli.workflows.gradient_readers import FILES
from prcli.workflows.gradient_sources import check_gradient_options
from prcli.workflows.import_columns import parse_columns, read_columns
from prcli.workflows.import_gradients import ImportGradients, open_gradient_rows
from prcli.workflows.import_profiles import find_profile
from prcli.workflows.import_request import ImportRequest, ImportSummary
from prcli.workflows.import_rows import ImportFrames, ImportRows, open_structures
from prcli.workflows.profile_rows import open_rows

logger = logging.getLogger(__name__)

#: Parts of a request that are recorded where they are given.
_NOTED = ("program", "array", "systems", "per_species", "species", "feature_kind", "columns")


def import_features(
    request: ImportRequest, progress: Progress = no_progress, *, spooled: Path | None = None
) -> ImportSummary:
    """Write a feature store from structures, features and perhaps their gradients.

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
        If rows and structures do not fit each other, or features or gradients are absent or
        not finite.
    RequestError
        If the request contradicts itself, or no structure can have the gradients asked for.
    OutputError
        If the store cannot be written.
    """
    _check_request(request)
    with ExitStack() as stack:
        frames = open_structures(request.structures, stack, spooled, progress)
        rows = open_rows(request, frames, stack)
        gradients = open_gradient_rows(request, frames, rows, stack)
        notes = rows.notes + (gradients.notes if gradients else ())
        if rows.gradient_names and not request.gradients:
            notes += ("gradients in the file are not read without --gradients",)
        for note in notes:
            logger.info("%s", note)
        columns = read_columns(request.columns, frames)
        kept = _choose(request, frames, rows, gradients)
        with _open_store(request, frames, rows, gradients, kept) as writer:
            numbers = _write_features(writer, request, frames, rows, kept, progress)
            writer.write_columns(columns.kept(kept, frames.n_atoms[kept], numbers))
            if gradients is not None:
                gradients.write(writer, kept, progress)
        return _summarize(request, frames, rows, gradients, kept, notes)


def _check_request(request: ImportRequest) -> None:
    """Refuse what contradicts itself, before any file is read."""
    check_output(request.output, request.overwrite)
    check_not_input(request.output, [split_slice(request.structures)[0], *_array_files(request)])
    find_profile(request.program)
    # Of some programs it is known where features are.
    is_known = request.program not in (None, "array")
    both = request.features is not None and request.feature_key is not None
    neither = request.features is None and request.feature_key is None
    if (both or neither) and not is_known:
        raise RequestError(
            "features must come from one place",
            expected="either --features FILE or --feature-key KEY",
            got="both" if both else "neither",
            remedy=None if both else "or name with --from the program that wrote them",
        )
    if request.systems and request.program != "deepmd":
        raise RequestError("--system is an option of --from deepmd", where="--system")
    if request.species and not request.per_species:
        raise RequestError("--species is an option of --per-species", where="--species")
    parse_columns(request.columns)
    check_gradient_options(request)


def _choose(
    request: ImportRequest,
    frames: ImportFrames,
    rows: ImportRows,
    gradients: ImportGradients | None,
) -> NDArray[np.bool_]:
    """Tell of each structure whether it comes into the store, and list those that do not."""
    kept = np.ones(len(frames.frame), dtype=np.bool_)
    if not request.skip_invalid:
        return kept
    kept[_find_invalid(rows, frames)] = False
    if gradients is not None:
        kept[gradients.find_invalid()] = False
    if not kept.any():
        what = "features" if gradients is None else "features and gradients"
        raise FeatureError(f"no structure has finite {what}", where=request.structures)
    skipped = frames.frame[~kept].tolist()
    if skipped:
        logger.warning(
            "%s left out because %s is not finite: %s %s",
            counted(len(skipped), "structure"),
            "a feature" if gradients is None else "a feature or gradient",
            "frame" if len(skipped) == 1 else "frames",
            ", ".join(map(str, skipped)),
        )
    return kept


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


def _open_store(
    request: ImportRequest,
    frames: ImportFrames,
    rows: ImportRows,
    gradients: ImportGradients | None,
    kept: NDArray[np.bool_],
) -> StoreWriter:
    """Begin the store of the structures that are kept."""
    per_atom = rows.convention == "per-atom"
    return StoreWriter(
        request.output,
        n_atoms=frames.n_atoms[kept],
        n_features=rows.n_features,
        dtype=rows.dtype,
        convention="sum" if rows.convention == "sum" else "mean",
        structures=True,
        structures_dtype=np.float64 if per_atom else None,
        atoms=per_atom,
        blocks=rows.blocks,
        feature_kind=rows.feature_kind,
        source=_source(frames, kept),
        gradients=None if gradients is None else gradients.shape(kept),
        provenance=_provenance(request, frames, rows),
        overwrite=request.overwrite,
    )


def _write_features(
    writer: StoreWriter,
    request: ImportRequest,
    frames: ImportFrames,
    rows: ImportRows,
    kept: NDArray[np.bool_],
    progress: Progress,
) -> NDArray[np.uint8]:
    """Write features and species of the structures that are kept; return the species."""
    per_atom = rows.convention == "per-atom"
    numbers = np.empty(int(frames.n_atoms[kept].sum()), dtype=np.uint8)
    structure = atom = 0
    for start, stop, block, species_block in rows.runs(frames):
        keep = kept[start:stop]
        if not (request.skip_invalid or is_finite(block)):
            _refuse(block, rows, frames, start)
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
    return numbers


def _summarize(
    request: ImportRequest,
    frames: ImportFrames,
    rows: ImportRows,
    gradients: ImportGradients | None,
    kept: NDArray[np.bool_],
    notes: tuple[str, ...],
) -> ImportSummary:
    """Say what was imported."""
    return ImportSummary(
        path=request.output,
        n_structures=int(np.count_nonzero(kept)),
        n_atoms=int(frames.n_atoms[kept].sum()),
        n_features=rows.n_features,
        dtype=rows.dtype.name,
        convention=rows.convention,
        n_force_rows=0 if gradients is None else gradients.n_rows("force", kept),
        n_stress_rows=0 if gradients is None else gradients.n_rows("stress", kept),
        skipped=tuple(frames.frame[~kept].tolist()),
        notes=notes,
    )


def _refuse(
    block: NDArray[np.floating],
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
    raise FeatureError(
        "feature is not finite",
        where=f"{rows.origin}, column {column}, "
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


def _provenance(
    request: ImportRequest, frames: ImportFrames, rows: ImportRows
) -> Provenance | None:
    if not request.with_provenance:
        return None
    inputs = [frames.index.stamp, *map(stamp_file, _array_files(request))]
    settings: dict[str, object] = {
        "convention": rows.convention,
        "feature_key": None if request.features is not None else rows.origin,
    }
    for name in _NOTED:
        if value := getattr(request, name):
            settings[name] = list(value) if isinstance(value, tuple) else value
    gradient_files = {
        origin.field: os.fspath(path)
        for origin in FILES
        if (path := getattr(request, origin.field)) is not None
    }
    if request.gradients or gradient_files:
        settings |= gradient_files
        settings |= {"gradients": request.gradients, "reduce_gradients": request.reduce_gradients}
    return make_provenance(inputs, settings)


def _array_files(request: ImportRequest) -> list[str]:
    """Files of features and gradients that are read."""
    paths = [request.features, *(getattr(request, origin.field) for origin in FILES)]
    given = dict.fromkeys(os.fspath(path) for path in paths if path is not None)
    return [file for path in given for file in _files_of(path)]


def _files_of(path: str) -> list[str]:
    """Return a file, or those of features in a folder."""
    if not os.path.isdir(path):
        return [path]
    return sorted(str(file) for file in Path(path).glob("*.npy"))
