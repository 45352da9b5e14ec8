"""What stands between a request for features and the first batch: settings, elements, checks."""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from prcli.data.featurizer_settings import NAME
from prcli.data.publish import check_not_input, check_output, unfinished_files
from prcli.data.slices import split_slice
from prcli.elements import SYMBOLS
from prcli.errors import FormatError, InputFileError, MismatchError, OutputError, RequestError
from prcli.features.featurizer import Featurizer, FeaturizerOptions, make_featurizer
from prcli.wording import counted
from prcli.workflows.compute_batches import check_structure
from prcli.workflows.compute_request import ComputeRequest
from prcli.workflows.geometries import Structures, Survey
from prcli.workflows.import_rows import ImportFrames

logger = logging.getLogger(__name__)

#: Features from which on the cost of a Hessian is worth a word.
MANY_FEATURES = 2000

#: Files that a message names.
_NAMED = 3


def check_paths(request: ComputeRequest) -> None:
    """Refuse, before anything is read, outputs that could not be written."""
    check_output(request.output, request.overwrite)
    _say_unfinished(request.output)
    inputs = [split_slice(request.structures)[0]]
    if isinstance(request.hypers, (str, os.PathLike)):
        inputs.append(os.fspath(request.hypers))
    elif (model := model_path(request.hypers)) is not None:
        inputs.append(model)
    check_not_input(request.output, inputs)
    if request.checkpoint_path is not None:
        check_output(request.checkpoint_path, overwrite=True)
        check_not_input(request.checkpoint_path, [*inputs, request.output])


def _say_unfinished(output: str) -> None:
    """Name what runs that were killed have left, which takes as much space as a store."""
    found = unfinished_files(output)
    if found:
        size = sum(path.stat().st_size for path in found if path.exists())
        logger.warning(
            "%s of %s (%.0f MiB), left by runs that were killed: remove what no other run is "
            "writing now: %s",
            counted(len(found), "unfinished file"),
            output,
            size / 2**20,
            " ".join(map(str, found[:_NAMED])) + " …" * (len(found) > _NAMED),
        )


def model_path(hypers: Mapping[str, Any] | None) -> str | None:
    """File of the model that a featurizer runs."""
    model = (hypers or {}).get("model")
    return model if isinstance(model, str) else None


def check_space(checkpoint: str, n_bytes: int) -> None:
    """Refuse a checkpoint that would fill the disk together with the store."""
    folder = Path(os.path.realpath(checkpoint)).parent
    usage = os.statvfs(folder)
    free = usage.f_bavail * usage.f_frsize
    kept = os.path.getsize(checkpoint) if os.path.exists(checkpoint) else 0
    if 2 * n_bytes - kept > free:
        raise OutputError(
            "not enough space for the store and, until it is complete, its checkpoint",
            where=checkpoint,
            expected=f"{2 * n_bytes - kept} bytes",
            got=f"{free} bytes free",
            remedy="free some space, put the checkpoint elsewhere, or give --no-checkpoint",
        )


def read_hypers(request: ComputeRequest) -> Mapping[str, Any] | None:
    """Read settings from their file, where they are in one."""
    if request.hypers is None or isinstance(request.hypers, Mapping):
        return request.hypers
    name, hypers = read_settings(request.hypers)
    if name not in (None, request.featurizer):
        raise MismatchError(
            "the hyperparameters are those of another featurizer",
            where=os.fspath(request.hypers),
            expected=request.featurizer,
            got=str(name),
        )
    return hypers


def read_settings(source: str | Path) -> tuple[str | None, Mapping[str, Any]]:
    """Read a TOML file of settings.

    Returns
    -------
    name : str or None
        The featurizer that the file names by the key ``featurizer``.
    hypers : mapping
        All else, in the featurizer's own words.
    """
    content = _read_toml(os.fspath(source))
    name = content.pop(NAME, None)
    if not isinstance(name, str | None):
        raise FormatError(
            f"key {NAME!r} is not valid",
            where=os.fspath(source),
            expected="the name of a featurizer",
            got=repr(name)[:80],
        )
    return name, content


def _read_toml(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputFileError(
            "the hyperparameters cannot be read", where=path, got=error.strerror
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FormatError(
            "the hyperparameters are not valid TOML", where=path, got=str(error)
        ) from error


def prepare_featurizer(
    request: ComputeRequest,
    hypers: Mapping[str, Any] | None,
    species: tuple[int, ...],
    structures: Structures,
) -> Featurizer:
    """Make the featurizer, and say what was chosen."""
    options = FeaturizerOptions(
        species=species,
        hypers=hypers,
        per_species=request.per_species,
        distinct=request.distinct,
        gradients=request.kinds,
        example=next(structures.read(range(1))),
        where=os.fspath(request.hypers) if isinstance(request.hypers, (str, Path)) else "hypers",
    )
    featurizer = make_featurizer(request.featurizer, options)
    logger.info("%s: %d features per atom", featurizer.name, featurizer.n_features)
    _say_width(featurizer)
    for name, value in featurizer.settings.items():
        logger.debug("%s: %s %s", featurizer.name, name, value)
    if hypers is None and featurizer.settings.get("hypers"):
        logger.info("default hyperparameters: %s", featurizer.settings["hypers"])
    # Functions and models have columns of their own, whatever the elements.
    by_element = "species" in featurizer.settings and model_path(hypers) is None
    if request.species is None and len(species) > 1 and by_element:
        symbols = ",".join(SYMBOLS[number] for number in species)
        logger.info(
            "columns for the elements that occur; for other sets give --species %s", symbols
        )
    return featurizer


def _say_width(featurizer: Featurizer) -> None:
    """Say what many features cost, and what makes them fewer."""
    n, settings = featurizer.n_features, featurizer.settings
    if n <= MANY_FEATURES or "hypers" not in settings:
        return
    ways = []
    if settings.get("per_species"):
        n_species = len(cast("Sequence[str]", settings["species"]))
        ways.append(f"--no-per-species ({n // n_species}; all elements share columns)")
    if settings.get("distinct") is False:
        ways.append("--distinct (the same rigidities)")
    ways.append("smaller hyperparameters, such as max_radial and max_angular")
    logger.info(
        "D = %d is large: a Hessian takes time as D³ and memory as D², here %s a matrix; fewer "
        "features: %s",
        n,
        f"{8 * n * n / 2**20:.0f} MiB",
        ", ".join(ways),
    )


def check_species(
    listed: tuple[int, ...], survey: Survey, frames: ImportFrames, origin: str | None = None
) -> tuple[int, ...]:
    """Refuse structures with elements for which there would be no columns.

    The list is that of ``--species``, or of features that are there already: those of `origin`.
    """
    foreign = ~np.isin(survey.numbers, listed)
    if foreign.any():
        atom = int(np.argmax(foreign))
        structure = int(np.searchsorted(frames.offsets, atom, side="right")) - 1
        symbols = ",".join(SYMBOLS[number] for number in listed)
        remedy = "add the element to --species, here and for all sets that go together"
        raise RequestError(
            "structure holds an element for which there are no columns",
            where=f"{frames.typed}, frame {int(frames.frame[structure])}",
            expected=f"one of --species {symbols}" if origin is None else f"{symbols}, as {origin}",
            got=SYMBOLS[int(survey.numbers[atom])],
            remedy=remedy
            if origin is None
            else "leave such structures out, or build it again "
            "with --species, here and for all sets that go together",
        )
    return listed


def check_structures(
    request: ComputeRequest,
    featurizer: Featurizer,
    survey: Survey,
    structures: Structures,
    frames: ImportFrames,
) -> None:
    """Refuse structures that lack periodicity where it is needed."""
    for pbc, position in survey.examples.items():
        where = f"{frames.typed}, frame {int(frames.frame[position])}"
        example = next(structures.read(range(position, position + 1)))
        check_structure(featurizer, example, where)
        if "stress" in request.kinds and not all(pbc):
            raise RequestError(
                "a structure that is not periodic in three directions has no stress",
                where=where,
                remedy="give --gradients force, or compute the periodic structures apart",
            )
