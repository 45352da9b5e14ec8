"""Which models are compared, and what is refused."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from prcli.data.file_kind import file_kind
from prcli.data.hessian_record import HessianRecord
from prcli.data.publish import check_not_input, check_output
from prcli.errors import RequestError
from prcli.wording import counted
from prcli.workflows.compare_table import PLOTS
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.inputs import DataArgument, InputOptions, check_stdin, paths_of
from prcli.workflows.plots import check_plots

ComparedPer: TypeAlias = Literal["structure", "atom"]


@dataclass(frozen=True, eq=False)
class ComparedModel:
    """A model, and the set as it sees it.

    Attributes
    ----------
    name : str
    hessian : path or HessianRecord
        Of its training set.
    data : tuple of DataArgument
        Features that it gives the structures that all models are compared on.
    """

    name: str
    hessian: str | Path | HessianRecord
    data: tuple[DataArgument, ...]

    @property
    def files(self) -> list[str]:
        """Files that are read, without slices."""
        own = [] if isinstance(self.hessian, HessianRecord) else [os.fspath(self.hessian)]
        return [*own, *paths_of(self.data)]


@dataclass(frozen=True, eq=False)
class CompareRequest:
    """Everything that decides a comparison.

    Attributes
    ----------
    models : tuple of ComparedModel
        At least two, with different names.
    reference : str, optional
        Name of the model that the others are compared with; by default the last.
    per : {"structure", "atom"}
    curves : str, optional
        File for the table of all normalized rigidities.
    plots : str, optional
        Directory for the plot.
    hessian_options : HessianOptions
        Numbers in place of those stored, of all models.
    inputs : InputOptions
    overwrite : bool
    """

    models: tuple[ComparedModel, ...]
    reference: str | None = None
    per: ComparedPer = "atom"
    curves: str | None = None
    plots: str | None = None
    hessian_options: HessianOptions = field(default_factory=HessianOptions)
    inputs: InputOptions = field(default_factory=InputOptions)
    overwrite: bool = False

    @property
    def position(self) -> int:
        """Position of the reference among the models."""
        names = [model.name for model in self.models]
        return len(names) - 1 if self.reference is None else names.index(self.reference)

    def check(self) -> None:
        """Refuse, before long work, what cannot be compared or written.

        Raises
        ------
        PrcliError
        """
        names = [model.name for model in self.models]
        if len(names) < 2:
            raise RequestError(
                "a comparison needs at least two models",
                where="--model",
                got=counted(len(names), "model"),
            )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise RequestError(
                "two models have the same name",
                where=f"--model {twice[0]}",
                remedy="name them with --model NAME=HESSIAN DATA",
            )
        if self.reference is not None and self.reference not in names:
            raise RequestError(
                "there is no model of that name",
                where="--reference",
                expected="one of " + ", ".join(names),
                got=self.reference,
            )
        check_stdin([each for model in self.models for each in model.data])
        files = [path for model in self.models for path in model.files]
        for path in files:
            if path != "-":
                # Sets are opened one by one; what is missing is not found out in the end.
                file_kind(path)
        self._check_kept()
        if self.curves is not None:
            check_output(self.curves, self.overwrite)
            check_not_input(self.curves, files)
        if self.plots is not None:
            check_plots(self.plots, PLOTS, self.overwrite)

    def _check_kept(self) -> None:
        """Refuse to keep features of one file under one name for several models."""
        if self.inputs.keep_features is None:
            return
        paths = [path for model in self.models for path in dict.fromkeys(paths_of(model.data))]
        twice = [path for path in paths if path != "-" and paths.count(path) > 1]
        twice = [path for path in twice if file_kind(path) != "store"]
        if twice:
            raise RequestError(
                "features of a file can be kept for one model only",
                where=f"--keep-features, {twice[0]}",
                remedy="compute them once with `prcli features compute`, and give the store",
            )


def parse_model(argument: str, data: str) -> ComparedModel:
    """Read ``[NAME=]HESSIAN`` and the set beside it; the file's stem is the name by default."""
    name, sign, path = argument.partition("=")
    if not (sign and name and path) or os.path.exists(argument):
        name, path = Path(argument).stem, argument
    return ComparedModel(name, path, (data,))
