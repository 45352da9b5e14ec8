"""What a selection is asked for, as a user typed it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from prcli.data.hessian_record import HessianRecord
from prcli.errors import RequestError
from prcli.workflows.constraint_options import ConstraintOptions
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.inputs import DataArgument, InputOptions
from prcli.workflows.refinement import check_refinement
from prcli.workflows.select_options import SelectOptions
from prcli.workflows.selection_bound import check_bound
from prcli.workflows.write_options import WriteOptions


@dataclass(frozen=True)
class SelectRequest:
    """Everything that decides a selection.

    Attributes
    ----------
    options : SelectOptions
    pool : tuple of DataArgument
        Candidates.
    target : tuple of DataArgument
        Structures of interest.
    train : tuple of DataArgument
        Training set: feature sets and Hessian files in any mix.
    hessian : path or HessianRecord, optional
        A finished Hessian instead of `train`.
    hessian_options : HessianOptions
    inputs : InputOptions
    where : str, optional
        Filter on the pool.
    target_weight : str, optional
        Column or key of the targets that holds weights.
    structures : tuple of path
        Structure files of the pool, in place of those that its stores name.
    output : str, optional
        Result directory.
    needs_frames : bool
        Whether picked frames will be copied.
    with_annotation, overwrite, with_provenance : bool
    memory : int, optional
        Bytes that may be held.
    checkpoint : str, optional
        File that keeps the picks until the result is there; by default that of the result
        directory with ``.checkpoint`` added, and none without one.
    constraints : ConstraintOptions
        What the picks have to keep within.
    refine : int
        Sweeps of exchanges after the greedy search.
    bound : bool
        Say how near the selection is to the best possible one.
    explain : bool
        Tell which targets each pick helps, and which training structure it is near.
    writers : WriteOptions, optional
        Files for other programs in the result directory.
    with_page : bool
        Write a page for people into the result directory.
    audit : bool
        Whether all other strategies will be run, too: memory must do for each.
    """

    options: SelectOptions
    pool: tuple[DataArgument, ...]
    target: tuple[DataArgument, ...] = ()
    train: tuple[DataArgument, ...] = ()
    hessian: str | Path | HessianRecord | None = None
    hessian_options: HessianOptions = field(default_factory=HessianOptions)
    inputs: InputOptions = field(default_factory=InputOptions)
    where: str | None = None
    target_weight: str | None = None
    structures: tuple[str | Path, ...] = ()
    output: str | None = None
    needs_frames: bool = False
    with_annotation: bool = False
    overwrite: bool = False
    with_provenance: bool = True
    memory: int | None = None
    checkpoint: str | None = None
    constraints: ConstraintOptions = field(default_factory=ConstraintOptions)
    refine: int = 0
    bound: bool = False
    explain: bool = False
    writers: WriteOptions | None = None
    with_page: bool = False
    audit: bool = False

    def check(self) -> None:
        """Refuse, before anything is opened, what contradicts itself.

        Raises
        ------
        RequestError
        """
        if (self.hessian is None) == (not self.train):
            raise RequestError(
                "the training set must come from one place",
                expected="either --train or --hessian",
                got="both" if self.train else "neither",
            )
        if self.options.n_to_select is None and self.constraints.budget is None:
            raise RequestError(
                "it is not said how many structures to select",
                expected="-n/--n-to-select, or --budget with --cost",
            )
        check_refinement(self.refine, self.options)
        if self.bound:
            check_bound(bool(self.target), self.options)

    @property
    def checkpoint_path(self) -> str | None:
        """The checkpoint's file; None if there is none."""
        if self.checkpoint is None and self.output is not None:
            return self.output.rstrip(os.sep) + ".checkpoint"
        return self.checkpoint
