"""What a pruning leaves behind: tables, frames, a report."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.extxyz import join_frames
from prcli.data.hessian_record import HessianRecord
from prcli.data.provenance import provenance_to_dict
from prcli.data.publish import publish_directory
from prcli.records import Provenance
from prcli.workflows.frames import Frames
from prcli.workflows.number_settings import number_settings
from prcli.workflows.prune import Pruning
from prcli.workflows.result_files import distribution, table_rows, write_report, write_tsv

#: Columns of the table, stable between versions.
PRUNED_COLUMNS = (
    "rank",
    "index",
    "source",
    "frame",
    "n_atoms",
    "reason",
    "duplicate_of",
    "distance",
    "objective",
    "loss",
    "target_pr_mean",
    "target_pr_min",
    "target_pr_max",
    "leverage",
)


def pruned_table(pruning: Pruning, train: Dataset) -> dict[str, NDArray[np.generic]]:
    """Give the table of the removals, a mapping of column names to arrays of shape (n,)."""
    sources, source, frame = train.frames()
    index, states = pruning.indices, pruning.states
    is_duplicate = np.arange(len(index)) < pruning.n_duplicates
    original, distance = pruning.original[index], pruning.distance[index]
    return {
        "rank": np.arange(1, len(index) + 1),
        "index": index,
        "source": np.array(sources, dtype=object)[source[index]],
        "frame": frame[index],
        "n_atoms": train.n_atoms[index],
        "reason": np.where(is_duplicate, "duplicate", "loss").astype(object),
        "duplicate_of": _where(is_duplicate, original),
        "distance": _where(is_duplicate, distance),
        "objective": states.mean[1:],
        "loss": pruning.losses,
        "target_pr_mean": states.pr_mean[1:],
        "target_pr_min": states.pr_min[1:],
        "target_pr_max": states.pr_max[1:],
        "leverage": states.leverage,
    }


def targets_table(pruning: Pruning, target: Dataset) -> dict[str, NDArray[np.generic]]:
    """Give the table of the targets, before and after."""
    sources, source, frame = target.frames()
    structure, atom = pruning.targets.structure, pruning.targets.atom
    table: dict[str, NDArray[np.generic]] = {
        "index": structure,
        "source": np.array(sources, dtype=object)[source[structure]],
        "frame": frame[structure],
    }
    if atom is not None:
        table["atom"] = atom
    if pruning.targets.component is not None:
        table["component"] = pruning.targets.component
    return table | {
        "n_atoms": target.n_atoms[structure],
        "weight": pruning.targets.weight,
        "pr_before": pruning.target_pr_before,
        "pr_after": pruning.target_pr_after,
    }


def report(
    pruning: Pruning,
    record: HessianRecord,
    train: Dataset,
    target: Dataset,
    provenance: Provenance | None,
) -> dict[str, object]:
    """Summarize a pruning for ``report.json``."""
    options, means = pruning.options, pruning.states.mean
    finite = np.isfinite(pruning.target_pr_before)
    kept = pruning.kept
    content: dict[str, object] = {
        "format": "prcli-prune-report",
        "version": 1,
        "request": {
            "objective": options.objective,
            "target_per": options.target_per,
            "n_to_keep": options.n_to_keep,
            "max_loss": options.max_loss,
            "duplicates": options.duplicates,
        },
        "hessian": {
            "n_structures": record.n_structures,
            "n_features": record.n_features,
            "n_rows": dict(record.n_rows),
            **number_settings(record),
        },
        "train": {
            "n_structures": train.n_structures,
            "n_atoms": int(train.n_atoms.sum()),
            "n_kept": len(kept),
            "n_atoms_kept": int(train.n_atoms[kept].sum()),
            "n_removed": len(pruning.indices),
            "n_removed_as_duplicates": pruning.n_duplicates,
        },
        "duplicates": duplicate_groups(pruning),
        "targets": {
            "n_structures": target.n_structures,
            "n_targets": len(pruning.target_pr_before),
            "pr_before": distribution(pruning.target_pr_before[finite]),
            "pr_after": distribution(pruning.target_pr_after[finite]),
        },
        "objective": {
            "before": float(means[0]),
            "without_duplicates": float(means[pruning.n_duplicates]),
            "after": float(means[-1]),
            "loss": pruning.loss,
        },
        "removed": table_rows(pruned_table(pruning, train)),
        "stopped": pruning.stopped,
        "health": {
            "largest_relative_drift": pruning.drift,
            "n_passes_to_compare": pruning.n_rounds,
            "n_fresh_factorizations": pruning.n_factorizations,
        },
    }
    if provenance is not None:
        content["provenance"] = provenance_to_dict(provenance)
    return content


def duplicate_groups(pruning: Pruning) -> list[dict[str, object]]:
    """List the structures that have duplicates, with these."""
    members: dict[int, list[int]] = {}
    for index in np.flatnonzero(pruning.original >= 0).tolist():
        members.setdefault(int(pruning.original[index]), []).append(index)
    return [
        {
            "index": first,
            "duplicates": others,
            "distances": [float(pruning.distance[index]) for index in others],
        }
        for first, others in sorted(members.items())
    ]


def write_pruning(
    directory: str,
    pruning: Pruning,
    record: HessianRecord,
    train: Dataset,
    target: Dataset,
    frames: Frames,
    provenance: Provenance | None,
    *,
    overwrite: bool = False,
) -> None:
    """Write the result directory, whole or not at all."""
    with publish_directory(directory, overwrite) as folder:
        for name, indices in (("kept.xyz", pruning.kept), ("removed.xyz", pruning.indices)):
            with open(folder / name, "wb") as file:
                file.writelines(join_frames(frames.copy(indices)))
        write_tsv(folder / "pruned.tsv", PRUNED_COLUMNS, pruned_table(pruning, train))
        table = targets_table(pruning, target)
        write_tsv(folder / "targets.tsv", tuple(table), table)
        write_report(folder / "report.json", report(pruning, record, train, target, provenance))
    frames.say_converted()


def _where(condition: NDArray[np.bool_], values: NDArray[np.generic]) -> NDArray[np.object_]:
    """Values where a condition holds, nothing elsewhere."""
    column = np.full(len(values), None, dtype=object)
    column[condition] = values[condition].tolist()
    return column
