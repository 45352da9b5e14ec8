"""What small structures are asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prcli.data.hessian_record import HessianRecord
from prcli.environments.geometry_options import GeometryOptions
from prcli.environments.template import STRATEGIES, Strategy
from prcli.errors import RequestError
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.input_options import InputOptions
from prcli.workflows.one_structure import StructureArgument


@dataclass(frozen=True)
class ChoiceOptions:
    """How many of the small structures are worth adding.

    Attributes
    ----------
    n_to_choose : int, optional
        At most so many are chosen, greedily; all are kept if None.
    stop_gain : float, optional
        Stop before one that gains less than this share of the first one's gain.
    stop_pr : float, optional
        Stop once the lowest rigidity of the atoms in question is above.
    """

    n_to_choose: int | None = None
    stop_gain: float | None = None
    stop_pr: float | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises
        ------
        RequestError
        """
        if self.n_to_choose is not None and self.n_to_choose < 1:
            raise RequestError("--choose must be at least 1", got=str(self.n_to_choose))
        for option, value in (("stop-gain", self.stop_gain), ("stop-pr", self.stop_pr)):
            if value is not None and not value >= 0.0:
                raise RequestError(f"--{option} must not be negative", got=str(value))
            if value is not None and self.n_to_choose is None:
                raise RequestError(
                    f"--{option} means nothing without --choose",
                    remedy="say with --choose how many structures are chosen at most",
                )


@dataclass(frozen=True, eq=False)
class EmbedRequest:
    """Which environments of a large structure go into what small ones.

    Attributes
    ----------
    structure : str, Path or ase.Atoms
        Structure file, with a slice that leaves one frame where it holds several, or a structure
        in memory.
    cutoff : float, optional
        Radius of an environment, in angstrom; by default that of the featurizer.
    buffer, contact, sigma : float
    max_tries, max_atoms : int
    repeat : tuple of int, optional
        See `GeometryOptions`.
    strategies : tuple of {"carve", "periodic", "high-symmetry"}, optional
        By default all; the last only where a crystal is given.
    crystal : str, Path or ase.Atoms, optional
        Structure file, with a slice where it holds several frames, or a name such as ``C`` or
        ``NaCl:rocksalt:5.64``, or a structure in memory.
    n_draws : int
        Random displacements of each small structure.
    seed : int
    atoms : tuple of int
        Atoms in question; by default those of lowest rigidity.
    lowest : int, optional
        How many of these; default 1.
    separation : float, optional
        How far they are apart at least, in angstrom; by default the cutoff.
    lpr : path or ndarray of shape (N,), optional
        Table of `prcli score --per atom` that has the rigidities, or the rigidities.
    lpr_key : str, optional
        Column of the structure file that has them; by default ``prcli_lpr`` where it is there.
    hessian : path or HessianRecord, optional
        For rigidities, and what each small structure gains; with a featurizer in `inputs`.
    hessian_options : HessianOptions
        Numbers in place of those stored.
    inputs : InputOptions
        The featurizer.
    choice : ChoiceOptions
    keep : tuple of str
        Keys of the comment line, or columns, that small structures inherit as well.
    """

    structure: StructureArgument
    cutoff: float | None = None
    buffer: float = 0.0
    contact: float = 1.0
    sigma: float = 0.2
    max_tries: int = 1000
    max_atoms: int = 2000
    repeat: tuple[int, int, int] | None = None
    strategies: tuple[Strategy, ...] | None = None
    crystal: StructureArgument | None = None
    n_draws: int = 1
    seed: int = 0
    atoms: tuple[int, ...] = ()
    lowest: int | None = None
    separation: float | None = None
    lpr: str | Path | NDArray[np.floating] | None = None
    lpr_key: str | None = None
    hessian: str | Path | HessianRecord | None = None
    hessian_options: HessianOptions = field(default_factory=HessianOptions)
    inputs: InputOptions = field(default_factory=InputOptions)
    choice: ChoiceOptions = field(default_factory=ChoiceOptions)
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check what can be checked without files.

        Raises
        ------
        RequestError
        """
        for option, count in (("-n", self.n_draws), ("--lowest", self.lowest)):
            if count is not None and count < 1:
                raise RequestError(f"{option} must be at least 1", got=str(count))
        if self.seed < 0:
            raise RequestError("--seed must be at least 0", got=str(self.seed))
        if self.separation is not None and not 0.0 <= self.separation < np.inf:
            raise RequestError(
                "--separation must be a length of at least 0", got=f"{self.separation:g}"
            )
        self._check_strategies()
        self._check_ways()
        # Before the cutoff of the featurizer is known.
        self.geometry(1.0 if self.cutoff is None else self.cutoff)

    def _check_strategies(self) -> None:
        """Refuse strategies that there are not, and embedding in a crystal without one."""
        if self.strategies == ():
            raise RequestError(
                "no strategy is named",
                where="--strategy",
                expected="some of " + ", ".join(STRATEGIES),
            )
        for strategy in self.strategies or ():
            if strategy not in STRATEGIES:
                raise RequestError(
                    "strategy is not known",
                    where="--strategy",
                    expected=", ".join(STRATEGIES),
                    got=repr(strategy),
                )
        if "high-symmetry" in (self.strategies or ()) and self.crystal is None:
            raise RequestError(
                "embedding in a crystal needs one",
                where="--strategy high-symmetry",
                expected="--crystal, with a structure file or a name such as C",
            )

    def _check_ways(self) -> None:
        """Refuse several ways to say which atoms are meant, and half a model."""
        ways = {
            "--atom": bool(self.atoms),
            "--lpr": self.lpr is not None,
            "--lpr-key": self.lpr_key is not None,
        }
        given = [option for option, is_given in ways.items() if is_given]
        if self.atoms and self.lowest is not None:
            given.append("--lowest")
        if len(given) > 1:
            raise RequestError(
                "atoms are named in more than one way",
                expected="one of --atom, --lpr, --lpr-key",
                got=" and ".join(given),
            )
        has_featurizer = self.inputs.featurizer is not None
        if (self.hessian is None) == has_featurizer:
            raise RequestError(
                "gains need a Hessian and a featurizer",
                where="--featurizer" if has_featurizer else "--hessian",
                expected="--hessian FILE and --featurizer, or neither",
                remedy="add " + ("--hessian" if has_featurizer else "--featurizer"),
            )
        if self.choice.n_to_choose is not None and self.hessian is None:
            raise RequestError(
                "structures are chosen by what they gain",
                where="--choose",
                remedy="give --hessian and --featurizer",
            )

    @property
    def chosen_strategies(self) -> tuple[Strategy, ...]:
        """Strategies, in their usual order."""
        if self.strategies is not None:
            return tuple(each for each in STRATEGIES if each in self.strategies)
        return STRATEGIES if self.crystal is not None else STRATEGIES[:2]

    def geometry(self, cutoff: float) -> GeometryOptions:
        """Lengths, with the cutoff that holds."""
        return GeometryOptions(
            cutoff=cutoff,
            buffer=self.buffer,
            contact=self.contact,
            sigma=self.sigma,
            max_tries=self.max_tries,
            max_atoms=self.max_atoms,
            repeat=self.repeat,
        )
