"""What a selection leaves behind: tables, frames, a report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prcli.data.annotation import annotate
from prcli.data.dataset import Dataset
from prcli.data.extxyz import join_frames
from prcli.data.hessian_record import HessianRecord
from prcli.data.provenance import provenance_to_dict
from prcli.data.publish import publish_directory
from prcli.data.tables import write_table
from prcli.numerics.square_root import condition_number
from prcli.records import Provenance
from prcli.workflows.frames import Frames
from prcli.workflows.model import full_factor, scales
from prcli.workflows.number_settings import number_settings
from prcli.workflows.select import MOSTLY, Selection

SELECTION_COLUMNS = (
    "rank",
    "index",
    "source",
    "frame",
    "n_atoms",
    "cost",
    "gain",
    "objective",
    "target_pr_mean",
    "target_pr_min",
    "target_pr_max",
    "margin",
)
_TARGET_COLUMNS = ("index", "source", "frame", "n_atoms", "weight", "pr_before", "pr_after")


def selection_table(selection: Selection, pool: Dataset) -> dict[str, NDArray[np.generic]]:
    """Give the table of the picks, a mapping of column names to arrays of shape (n,)."""
    sources, source, frame = pool.frames()
    index = selection.indices
    picks = selection.picks
    names = np.array(sources, dtype=object)
    return {
        "rank": np.arange(1, len(index) + 1),
        "index": index,
        "source": names[source[index]],
        "frame": frame[index],
        "n_atoms": pool.n_atoms[index],
        "cost": np.ones(len(index), dtype=np.int64),
        "gain": np.array([pick.gain for pick in picks]),
        "objective": np.array([pick.objective for pick in picks]),
        "target_pr_mean": np.array([pick.pr_mean for pick in picks]),
        "target_pr_min": np.array([pick.pr_min for pick in picks]),
        "target_pr_max": np.array([pick.pr_max for pick in picks]),
        "margin": np.array([pick.margin for pick in picks]),
    }


def targets_table(selection: Selection, target: Dataset) -> dict[str, NDArray[np.generic]]:
    """Give the table of the targets, before and after."""
    sources, source, frame = target.frames()
    structure = selection.target_structure
    table: dict[str, NDArray[np.generic]] = {
        "index": structure,
        "source": np.array(sources, dtype=object)[source[structure]],
        "frame": frame[structure],
        "n_atoms": target.n_atoms[structure],
        "weight": selection.target_weight,
        "pr_before": selection.target_pr_before,
        "pr_after": selection.target_pr_after,
    }
    if selection.target_atom is not None:
        table["atom"] = selection.target_atom
    return table


def selected_frames(
    selection: Selection, frames: Frames, *, with_annotation: bool
) -> Iterator[bytes]:
    """Yield the picked frames in the order of the picks, ready to be written in a row.

    Parameters
    ----------
    selection : Selection
    frames : Frames
        Of the pool.
    with_annotation : bool
        Add ``prcli_rank=`` and ``prcli_gain=`` to the comment line and touch nothing else.
    """
    contents = frames.copy(selection.indices)
    if with_annotation:
        contents = (
            annotate(
                content,
                {"prcli_rank": rank, "prcli_gain": pick.gain},
                overwrite=True,
                where=f"pick {rank}",
            )
            for rank, (content, pick) in enumerate(
                zip(contents, selection.picks, strict=True), start=1
            )
        )
    yield from join_frames(contents)


def report(
    selection: Selection,
    record: HessianRecord,
    pool: Dataset,
    target: Dataset | None,
    provenance: Provenance | None,
) -> dict[str, object]:
    """Summarize a selection for ``report.json``; numbers that are not finite become strings."""
    options = selection.options
    finite = np.isfinite(selection.target_pr_before)
    content: dict[str, object] = {
        "format": "prcli-report",
        "version": 1,
        "request": {
            "strategy": options.strategy,
            "objective": options.objective,
            "n_to_select": options.n_to_select,
            "target_per": options.target_per,
            "exclude_train": options.exclude_train,
            "stop_gain": options.stop_gain,
            "stop_pr": options.stop_pr,
            "seed": options.seed,
        },
        "hessian": {
            "n_structures": record.n_structures,
            "n_features": record.n_features,
            "n_rows": dict(record.n_rows),
            **number_settings(record),
            "condition_number": condition_number(full_factor(record) / scales(record)),
        },
        "pool": {
            "n_structures": pool.n_structures,
            "n_candidates": selection.n_candidates,
            "n_in_training": selection.n_in_training,
        },
        "targets": {
            "n_structures": target.n_structures if target else 0,
            "n_targets": len(selection.target_pr_before),
            "n_infinite": selection.n_infinite,
            "pr_before": _distribution(selection.target_pr_before[finite]),
            "pr_after": _distribution(selection.target_pr_after[finite]),
        },
        "objective": {
            "before": selection.objective_before,
            "after": selection.objective_after,
        },
        "picks": [
            {name: _plain(values[i]) for name, values in selection_table(selection, pool).items()}
            for i in range(len(selection.picks))
        ],
        "stopped": selection.stopped,
        "health": {
            "largest_relative_drift": selection.drift,
            "n_exact_gains": selection.n_exact,
            "n_fresh_whitenings": selection.n_whitenings,
            "n_picks_from_checkpoint": selection.n_resumed,
            "targets_held_mostly_by_the_regularizer": {
                "before": int(np.count_nonzero(selection.target_prior_share_before > MOSTLY)),
                "after": int(np.count_nonzero(selection.target_prior_share_after > MOSTLY)),
            },
        },
    }
    if provenance is not None:
        content["provenance"] = provenance_to_dict(provenance)
    return content


def write_result(
    directory: str,
    selection: Selection,
    record: HessianRecord,
    pool: Dataset,
    target: Dataset | None,
    frames: Frames,
    provenance: Provenance | None,
    *,
    with_annotation: bool = False,
    overwrite: bool = False,
) -> None:
    """Write the result directory, whole or not at all."""
    with publish_directory(directory, overwrite) as folder:
        with open(folder / "selected.xyz", "wb") as file:
            file.writelines(selected_frames(selection, frames, with_annotation=with_annotation))
        _write_tsv(folder / "selection.tsv", SELECTION_COLUMNS, selection_table(selection, pool))
        if target is not None:
            table = targets_table(selection, target)
            names = [*_TARGET_COLUMNS]
            if "atom" in table:
                names.insert(3, "atom")
            _write_tsv(folder / "targets.tsv", tuple(names), table)
        content = report(selection, record, pool, target, provenance)
        text = json.dumps(_finite(content), indent=2, allow_nan=False)
        (folder / "report.json").write_text(text + "\n", encoding="utf-8")


def _write_tsv(path: Path, names: tuple[str, ...], table: Mapping[str, ArrayLike]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        write_table(file, "tsv", names, [table])


def _distribution(values: NDArray[np.float64]) -> dict[str, float] | None:
    if not values.size:
        return None
    return {
        "mean": float(values.mean()),
        "min": float(values.min()),
        "median": float(np.median(values)),
        "max": float(values.max()),
    }


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value


def _finite(content: object) -> object:
    """Spell numbers that JSON does not have."""
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not np.isfinite(content):
        return "nan" if np.isnan(content) else "inf" if content > 0 else "-inf"
    return content
