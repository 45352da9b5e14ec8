"""Small structures around atoms of a large one, from Python."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prcli.data.hessian_record import HessianRecord
from prcli.environments.template import Strategy
from prcli.records import Progress, no_progress
from prcli.workflows.embed_request import ChoiceOptions, EmbedRequest
from prcli.workflows.embed_run import EmbedOutput, run_embedding
from prcli.workflows.embedding import Embedding
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.inputs import InputOptions
from prcli.workflows.one_structure import StructureArgument


def embed(
    structure: StructureArgument,
    *,
    atoms: Iterable[int] = (),
    lowest: int | None = None,
    separation: float | None = None,
    lpr: str | Path | NDArray[np.floating] | None = None,
    lpr_key: str | None = None,
    hessian: str | Path | HessianRecord | None = None,
    strategies: Iterable[Strategy] | None = None,
    crystal: StructureArgument | None = None,
    repeat: tuple[int, int, int] | None = None,
    cutoff: float | None = None,
    buffer: float = 0.0,
    contact: float = 1.0,
    sigma: float = 0.2,
    n_draws: int = 1,
    seed: int = 0,
    max_tries: int = 1000,
    max_atoms: int = 2000,
    n_to_choose: int | None = None,
    stop_gain: float | None = None,
    stop_pr: float | None = None,
    keep: Iterable[str] = (),
    hessian_options: HessianOptions | None = None,
    inputs: InputOptions | None = None,
    output: str | None = None,
    table: str | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Embedding:
    """Make small structures that hold the least rigid environment of a large one.

    Lengths are in angstrom.

    Parameters
    ----------
    structure : path or ase.Atoms
        The large structure: a file of one frame, or with a slice that leaves one.
    atoms : iterable of int
        Atoms in question, from 0; by default those of lowest rigidity.
    lowest : int, optional
        How many of these, none of them a neighbour of another; default 1.
    separation : float, optional
        How far they are apart at least; by default the cutoff.
    lpr : path or ndarray of shape (N,), optional
        Rigidities of the atoms: a table of ``prcli score --per atom``, or those of `score`.
    lpr_key : str, optional
        Column of the structure that has them; by default ``prcli_lpr`` where it is there.
    hessian : path or HessianRecord, optional
        To compute rigidities, and what each small structure gains; with a featurizer in
        `inputs`.
    strategies : iterable of {"carve", "periodic", "high-symmetry"}, optional
        By default all; the last only where there is a crystal.
    crystal : path, str or ase.Atoms, optional
        Crystal to embed in: a file, a name such as ``C`` or ``NaCl:rocksalt:5.64``, or a cell.
    repeat : tuple of int, optional
        Repetitions of its cell; by default those of the smallest supercell that suffices.
    cutoff : float, optional
        Radius of an environment, at least what the model sees; by default that of the
        featurizer.
    buffer : float
        Width of what is taken beyond it, and displaced.
    contact : float
        Least distance of atoms that are displaced.
    sigma : float
        Standard deviation of displacements.
    n_draws : int
        Random displacements of each structure.
    seed : int
        Of all draws.
    max_tries : int
        Tries to keep the atoms of a draw apart.
    max_atoms : int
        Atoms that a supercell of the crystal may have.
    n_to_choose : int, optional
        Keep at most so many structures, chosen greedily by their gains together.
    stop_gain, stop_pr : float, optional
        Stop before a structure that gains less than this share of the first, or once the lowest
        LPR is above.
    keep : iterable of str
        Keys of the comment line, or columns, that small structures inherit as well.
    hessian_options : HessianOptions, optional
        Numbers in place of what the Hessian stores.
    inputs : InputOptions, optional
        The featurizer.
    output, table : str, optional
        Files to write: the structures as extxyz, their table as tsv.
    overwrite : bool
    progress : callable, optional

    Returns
    -------
    embedding : Embedding
        Its `structures` are what to compute next.

    Raises
    ------
    PrcliError
        If the input cannot be used as asked.
    """
    request = EmbedRequest(
        structure,
        cutoff=cutoff,
        buffer=buffer,
        contact=contact,
        sigma=sigma,
        max_tries=max_tries,
        max_atoms=max_atoms,
        repeat=repeat,
        strategies=None if strategies is None else tuple(strategies),
        crystal=crystal,
        n_draws=n_draws,
        seed=seed,
        atoms=tuple(atoms),
        lowest=lowest,
        separation=separation,
        lpr=lpr,
        lpr_key=lpr_key,
        hessian=hessian,
        hessian_options=hessian_options or HessianOptions(),
        inputs=inputs or InputOptions(),
        choice=ChoiceOptions(n_to_choose, stop_gain, stop_pr),
        keep=tuple(keep),
    )
    return run_embedding(request, EmbedOutput(output, table, "tsv", overwrite), progress)
