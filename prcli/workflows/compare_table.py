"""The tables and the figure of a comparison of models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.publish import publish_file
from prcli.data.tables import write_table
from prcli.elements import SYMBOLS
from prcli.report.dynamics_plot import dynamics_figure
from prcli.workflows.plots import Drawing
from prcli.workflows.scores import Scores

if TYPE_CHECKING:
    from prcli.workflows.compare import Comparison

Columns = dict[str, NDArray[np.generic]]

#: The figure, without ending.
PLOTS = ("dynamics",)

_PLACES = {"structure": (), "atom": ("atom", "species")}

#: How rigidities are called.
_NAMES = {"structure": "pr", "atom": "lpr"}

#: Rows that one batch of a table holds.
_TABLE_ROWS = 1 << 16


def comparison_table(comparison: Comparison) -> Columns:
    """Give a row for every model, in their order.

    Rigidities are those of the rows that are compared.
    """
    dynamics = comparison.dynamics
    n_models = len(comparison.names)
    own = [each[dynamics.order] for each in dynamics.rigidities]
    name = _NAMES[comparison.per]
    return {
        "model": np.array(comparison.names, dtype=object),
        "reference": np.arange(n_models) == comparison.reference,
        "n_rows": np.full(n_models, len(dynamics.order)),
        "n_left_out": np.full(n_models, dynamics.n_left_out),
        "mean_difference": dynamics.differences,
        f"{name}_min": np.array([each.min() for each in own]),
        f"{name}_mean": np.array([each.mean() for each in own]),
        f"{name}_max": np.array([each.max() for each in own]),
    }


def curve_columns(per: Literal["structure", "atom"]) -> tuple[str, ...]:
    """Names of the columns of the curves."""
    return (
        "model",
        "position",
        "index",
        "source",
        "frame",
        *_PLACES[per],
        _NAMES[per],
        "normalized",
    )


def curves_table(comparison: Comparison, scores: Scores, data: Dataset) -> Iterator[Columns]:
    """Yield batches of the curves, model by model in the order of the reference.

    Parameters
    ----------
    comparison : Comparison
    scores : Scores
        Of any of the models.
    data : Dataset
        As that model has it.
    """
    dynamics = comparison.dynamics
    sources, source, frame = data.frames()
    names = np.array(sources, dtype=object)
    for model, name in enumerate(comparison.names):
        normalized = dynamics.curve(model)
        for start in range(0, len(normalized), _TABLE_ROWS):
            rows = dynamics.order[start : start + _TABLE_ROWS]
            structure, place = scores.locate(rows)
            batch: Columns = {
                "model": np.full(len(rows), name, dtype=object),
                "position": np.arange(start, start + len(rows)),
                "index": structure,
                "source": names[source[structure]],
                "frame": frame[structure],
                _NAMES[comparison.per]: dynamics.rigidities[model][rows],
                "normalized": normalized[start : start + len(rows)],
            }
            if comparison.per == "atom":
                numbers = np.zeros(len(rows), dtype=np.uint8)
                if scores.species is not None:
                    numbers = scores.species[rows]
                batch |= {"atom": place, "species": np.array(SYMBOLS)[numbers]}
            yield batch


def write_curves(
    path: str,
    per: Literal["structure", "atom"],
    batches: Iterator[Mapping[str, NDArray[np.generic]]],
    overwrite: bool,
) -> None:
    """Write the curves as tsv, whole or not at all."""
    with (
        publish_file(path, overwrite) as temporary,
        open(temporary, "w", encoding="utf-8", newline="") as file,
    ):
        write_table(file, "tsv", curve_columns(per), batches)


def dynamics_figures(comparison: Comparison) -> dict[str, Drawing]:
    """Name the figure of a comparison, to be drawn when asked for."""
    curves = {name: comparison.dynamics.curve(model) for model, name in enumerate(comparison.names)}
    reference = comparison.names[comparison.reference]
    return {PLOTS[0]: lambda: dynamics_figure(curves, reference, f"{comparison.per}s")}
