"""The page of a selection: what it needs beside the tables, and the page itself."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.report.chemiscope_file import chemiscope_dataset, find_bundle
from prcli.report.page import render_page
from prcli.workflows.frames import Frames
from prcli.workflows.model import full_factor
from prcli.workflows.page_content import page_content
from prcli.workflows.result_files import write_tsv
from prcli.workflows.selection import Selection
from prcli.workflows.selection_map import MAP_COLUMNS, SelectionMap, draw_map
from prcli.workflows.selection_result import MAP_FILE, PAGE_FILE, VIEWER_FILE, read_result
from prcli.workflows.selection_words import title
from prcli.workflows.viewer_structures import viewed_structures


@dataclass(frozen=True, eq=False)
class PageParts:
    """What a page shows beside the tables of a selection.

    Attributes
    ----------
    drawn : SelectionMap
    viewer : dict or None
        For chemiscope; None where no structure can be read.
    """

    drawn: SelectionMap
    viewer: dict[str, object] | None

    def write_parts(self, folder: Path) -> dict[str, object]:
        """Write map and structures; give what belongs into the report."""
        write_tsv(folder / MAP_FILE, MAP_COLUMNS, self.drawn.table)
        if self.viewer is not None:
            text = json.dumps(self.viewer, separators=(",", ":"))
            # Without a time, so that equal structures make equal files.
            packed = gzip.compress(text.encode(), compresslevel=6, mtime=0)
            (folder / VIEWER_FILE).write_bytes(packed)
        return {"map": self.drawn.facts}


def page_parts(
    record: HessianRecord,
    selection: Selection,
    train: Dataset | None,
    pool: Dataset,
    target: Dataset | None,
    open_frames: Callable[[Dataset], Frames],
) -> PageParts:
    """Compute what a page shows beside the tables.

    Parameters
    ----------
    record : HessianRecord
    selection : Selection
    train : Dataset or None
        None where the training set is known by its Hessian only.
    pool : Dataset
    target : Dataset or None
    open_frames : callable
        Opens the structure files of a set.
    """
    opened: dict[str, Frames] = {}

    def frames_of(data: Dataset) -> Frames:
        if data.name not in opened:
            opened[data.name] = open_frames(data)
        return opened[data.name]

    factor = full_factor(record)
    named = {"train": train, "target": target, "pool": pool}
    sets = {name: data for name, data in named.items() if data is not None}
    drawn = draw_map(record, factor, sets, selection.indices, frames_of)
    structures = viewed_structures(record, factor, selection, pool, target, drawn, frames_of)
    names = pool.frames()[0]
    heading = title(len(selection.picks), names)
    return PageParts(drawn, chemiscope_dataset(heading, structures) if structures else None)


def write_page(folder: Path) -> None:
    """Write the page into a directory that holds the rest of a result."""
    (folder / PAGE_FILE).write_text(make_page(folder), encoding="utf-8")


def make_page(directory: str | Path) -> str:
    """Make the page of a selection from what lies in its directory.

    Parameters
    ----------
    directory : path

    Returns
    -------
    page : str
        HTML.

    Raises
    ------
    InputFileError, FormatError
        If it is not a result directory.
    """
    result = read_result(directory)
    bundle = None if result.viewer is None else find_bundle()
    return render_page(page_content(result), bundle)
