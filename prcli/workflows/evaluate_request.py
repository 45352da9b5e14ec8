"""Everything that decides learning curves, as a user states it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from prcli.workflows.evaluate_options import EvaluateOptions
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.inputs import DataArgument, InputOptions


@dataclass(frozen=True)
class EvaluateRequest:
    """Everything that decides learning curves.

    Attributes
    ----------
    train : tuple of DataArgument
        The base training set: feature sets with references.
    target : tuple of DataArgument
        Structures that models are measured on.
    pool : tuple of DataArgument
        What selections were, or are, made from.
    selections : tuple of str
        Result directories of `prcli select`, each as ``DIR`` or ``NAME=DIR``.
    options : EvaluateOptions
    hessian_options : HessianOptions
    inputs : InputOptions
    where : str, optional
        Filter on the pool, for all strategies that are run.
    structures : tuple of path
        Structure files of the pool, in place of those that its stores name.
    plots : str, optional
        Directory for the figure.
    overwrite : bool
    memory : int, optional
        Bytes that may be held.
    """

    train: tuple[DataArgument, ...]
    target: tuple[DataArgument, ...]
    pool: tuple[DataArgument, ...]
    selections: tuple[str, ...] = ()
    options: EvaluateOptions = field(default_factory=EvaluateOptions)
    hessian_options: HessianOptions = field(default_factory=HessianOptions)
    inputs: InputOptions = field(default_factory=InputOptions)
    where: str | None = None
    structures: tuple[str | Path, ...] = ()
    plots: str | None = None
    overwrite: bool = False
    memory: int | None = None
