"""Frames copied with their rigidities added."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from prcli.data.annotation import add_column, annotate
from prcli.data.dataset import Dataset
from prcli.data.extxyz import join_frames
from prcli.data.publish import publish_file
from prcli.records import Progress, no_progress
from prcli.workflows.frames import Frames
from prcli.workflows.score import Scores


def write_scored(
    path: str,
    scores: Scores,
    data: Dataset,
    frames: Frames,
    *,
    first: int = 0,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> None:
    """Copy all frames with their rigidities added, in the order of the set.

    Structures get ``prcli_pr=`` (and ``prcli_sigma=`` from a calibrated Hessian) in the
    comment line, atoms a column ``prcli_lpr``, or ``prcli_force_pr`` of three numbers where
    forces are scored, nan in frames without force rows; every other byte stays.

    Parameters
    ----------
    path : str
    scores : Scores
        Of structures, atoms or forces.
    data : Dataset
    frames : Frames
        Of `data`, or of a set that it is a share of.
    first : int
        Where in that set it begins.
    overwrite : bool
    progress : callable
    """
    with publish_file(path, overwrite) as temporary, open(temporary, "wb") as file:
        for content in join_frames(_scored_frames(scores, data, frames, first, progress)):
            file.write(content)


def _scored_frames(
    scores: Scores, data: Dataset, frames: Frames, first: int, progress: Progress
) -> Iterator[bytes]:
    contents = frames.copy(range(first, first + data.n_structures))
    for i, content in enumerate(contents):
        yield _scored_frame(
            content, scores, i, int(data.n_atoms[i]), f"{data.label}, structure {first + i}"
        )
        progress("write", i + 1, data.n_structures)


def _scored_frame(content: bytes, scores: Scores, index: int, n_atoms: int, where: str) -> bytes:
    """Add the rigidities of one structure to its frame."""
    start, stop = scores.offsets[index : index + 2].tolist()
    rigidity = scores.rigidity[start:stop]
    if scores.per == "atom":
        return add_column(content, "prcli_lpr", rigidity, overwrite=True, where=where)
    if scores.per == "force":
        # All frames have the same columns, whether or not they have rows.
        forces = rigidity.reshape(-1, 3) if len(rigidity) else np.full((n_atoms, 3), np.nan)
        return add_column(content, "prcli_force_pr", forces, overwrite=True, where=where)
    values = {"prcli_pr": float(rigidity[0])}
    if scores.alpha is not None:
        values["prcli_sigma"] = float(scores.alpha / np.sqrt(rigidity[0]))
    return annotate(content, values, overwrite=True, where=where)
