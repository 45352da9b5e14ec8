"""From atoms in question to small structures, draw by draw."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from prcli.data.slices import split_slice
from prcli.environments.carve import carve
from prcli.environments.contacts import displace
from prcli.environments.crystals import crystal_by_name
from prcli.environments.geometry_options import GeometryOptions
from prcli.environments.high_symmetry import high_symmetry
from prcli.environments.periodic import periodic
from prcli.environments.template import STRATEGIES, Strategy, Template
from prcli.records import Progress
from prcli.workflows.embed_request import EmbedRequest
from prcli.workflows.embedding import SmallStructure
from prcli.workflows.one_structure import OneStructure, StructureArgument, read_one


def read_crystal(argument: StructureArgument) -> OneStructure:
    """Read the crystal from a file, make it by name, or take it as it is.

    Raises
    ------
    RequestError
        If it is neither.
    """
    if not isinstance(argument, str):
        return read_one(argument, "--crystal")
    path = split_slice(argument)[0]
    if os.path.exists(path) or os.sep in argument:
        return read_one(argument, "--crystal")
    return OneStructure(argument, 0, b"", crystal_by_name(argument))


def build_small(
    request: EmbedRequest,
    geometry: GeometryOptions,
    structure: OneStructure,
    crystal: OneStructure | None,
    centres: tuple[int, ...],
    progress: Progress,
) -> Iterator[SmallStructure]:
    """Build all small structures; the crystal comes before what is embedded in it.

    Parameters
    ----------
    request : EmbedRequest
    geometry : GeometryOptions
    structure : OneStructure
        The large one.
    crystal : OneStructure or None
    centres : tuple of int
        Atoms in question.
    progress : callable

    Yields
    ------
    small : SmallStructure

    Raises
    ------
    RequestError
        If an environment does not fit, or atoms cannot be kept apart.
    """
    strategies = request.chosen_strategies
    jobs = [(centre, strategy) for strategy in strategies for centre in centres]
    for done, (centre, strategy) in enumerate(jobs):
        if strategy == "high-symmetry" and centre == centres[0]:
            yield SmallStructure("crystal", None, None)
        where = f"{structure.where}, atom {centre}"
        template = make_template(strategy, structure, centre, crystal, geometry)
        for draw in range(request.n_draws if template.is_free.any() else 1):
            # A draw is the same whichever others are made.
            code = STRATEGIES.index(strategy)
            rng = np.random.default_rng([request.seed, structure.frame, centre, code, draw])
            place = f"{where}, {strategy}, draw {draw}"
            displaced, n_tries = displace(template, geometry, rng, place)
            yield SmallStructure(strategy, displaced, centre, draw, n_tries)
        progress("embed", done + 1, len(jobs))


def make_template(
    strategy: Strategy,
    structure: OneStructure,
    centre: int,
    crystal: OneStructure | None,
    geometry: GeometryOptions,
) -> Template:
    """Build a small structure, without displacements."""
    where = f"{structure.where}, atom {centre}"
    if strategy == "carve":
        return carve(structure.atoms, centre, geometry, where)
    if strategy == "periodic":
        return periodic(structure.atoms, centre, geometry, where)
    assert crystal is not None
    name = f"--crystal {crystal.typed}"
    return high_symmetry(structure.atoms, centre, crystal.atoms, geometry, where, name)
