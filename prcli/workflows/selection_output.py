"""What a selection leaves behind: tables, frames, a report."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from prcli.data.annotation import annotate
from prcli.data.dataset import Dataset
from prcli.data.extxyz import join_frames
from prcli.data.hessian_record import HessianRecord
from prcli.data.provenance import provenance_to_dict
from prcli.data.publish import publish_directory
from prcli.records import Provenance
from prcli.workflows.constraint_report import constraint_report
from prcli.workflows.frames import Frames
from prcli.workflows.health import MOSTLY
from prcli.workflows.number_settings import number_settings
from prcli.workflows.result_files import distribution, table_rows, write_report, write_tsv
from prcli.workflows.selection import Selection
from prcli.workflows.selection_explanation import EXPLANATION_COLUMNS, Explanation
from prcli.workflows.selection_page import PageParts, write_page
from prcli.workflows.selection_writers import write_for_programs
from prcli.workflows.write_options import WriteOptions

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
        "cost": selection.costs,
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
    if selection.target_component is not None:
        table["component"] = selection.target_component
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
    explained: Explanation | None = None,
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
            **_condition(selection),
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
            "pr_before": distribution(selection.target_pr_before[finite]),
            "pr_after": distribution(selection.target_pr_after[finite]),
        },
        "objective": {
            "before": selection.objective_before,
            "after": selection.objective_after,
        },
        "picks": [
            row | ({} if explained is None else explained.picks[i])
            for i, row in enumerate(table_rows(selection_table(selection, pool)))
        ],
        **constraint_report(selection, pool),
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


def _condition(selection: Selection) -> dict[str, object]:
    """Condition number of R; that of a large one is estimated, and called so."""
    if selection.condition is None:
        return {}
    return {selection.condition.name: selection.condition.number}


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
    explained: Explanation | None = None,
    writers: WriteOptions | None = None,
    page: PageParts | None = None,
) -> None:
    """Write the result directory, whole or not at all."""
    columns, picks = [*SELECTION_COLUMNS], selection_table(selection, pool)
    if explained is not None:
        columns, picks = [*columns, *EXPLANATION_COLUMNS], picks | explained.table
    with publish_directory(directory, overwrite) as folder:
        with open(folder / "selected.xyz", "wb") as file:
            file.writelines(selected_frames(selection, frames, with_annotation=with_annotation))
        write_tsv(folder / "selection.tsv", columns, picks)
        if target is not None:
            table = targets_table(selection, target)
            names = [*_TARGET_COLUMNS]
            names[3:3] = [name for name in ("atom", "component") if name in table]
            write_tsv(folder / "targets.tsv", tuple(names), table)
        if writers is not None:
            write_for_programs(folder, directory, selection, pool, frames, writers)
        content = report(selection, record, pool, target, provenance, explained)
        if page is not None:
            content |= page.write_parts(folder)
        write_report(folder / "report.json", content)
        if page is not None:
            write_page(folder)
    frames.say_converted()
