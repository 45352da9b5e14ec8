"""Comparing models from Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from prcli.data.hessian_record import HessianRecord
from prcli.records import Progress, no_progress
from prcli.workflows import compare as comparing
from prcli.workflows.compare import Comparison
from prcli.workflows.compare_request import ComparedModel, ComparedPer, CompareRequest
from prcli.workflows.data_arguments import DataSet, as_tuple
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.inputs import InputOptions


def compare(
    models: Mapping[str, tuple[str | Path | HessianRecord, DataSet]],
    *,
    reference: str | None = None,
    per: ComparedPer = "atom",
    hessian_options: HessianOptions | None = None,
    inputs: InputOptions | None = None,
    curves: str | None = None,
    plots: str | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Comparison:
    """Compare the rigidities of one set of structures under several models.

    Parameters
    ----------
    models : mapping of str to (Hessian, data)
        By name: the Hessian of its training set, a path or a HessianRecord, and the structures as
        the model sees them, a path, Features, ndarray of shape (S, D), or several.
    reference : str, optional
        Name of the model that the others are compared with; by default the last.
    per : {"atom", "structure"}
    hessian_options : HessianOptions, optional
        Numbers in place of what the Hessians store, of all models.
    inputs : InputOptions, optional
    curves : str, optional
        File to write: all normalized rigidities, as tsv.
    plots : str, optional
        Directory for a plot of them.
    overwrite : bool
    progress : callable, optional

    Returns
    -------
    comparison : Comparison

    Raises
    ------
    PrcliError
        If the input cannot be used as asked, or the sets are not of the same structures.
    """
    request = CompareRequest(
        tuple(ComparedModel(name, own, as_tuple(data)) for name, (own, data) in models.items()),
        reference=reference,
        per=per,
        curves=curves,
        plots=plots,
        hessian_options=hessian_options or HessianOptions(),
        inputs=inputs or InputOptions(),
        overwrite=overwrite,
    )
    return comparing.compare(request, progress)
