"""Figures into files: checked before the work, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from prcli.data.publish import check_output, publish_file
from prcli.errors import OutputError
from prcli.report.style import FORMATS, require_matplotlib, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Draws a figure when it is asked for.
Drawing: TypeAlias = "Callable[[], Figure]"


def check_plots(directory: str, names: Iterable[str], overwrite: bool) -> None:
    """Refuse plots that could not be drawn or written, before any long work.

    Parameters
    ----------
    directory : str
        Where they shall go; it is made if it does not exist.
    names : iterable of str
        Figures that may come, without ending.
    overwrite : bool
        Whether existing files may be replaced.

    Raises
    ------
    RequestError
        If matplotlib is not installed.
    OutputError
        If a file exists, or cannot be written.
    """
    require_matplotlib()
    folder = Path(os.path.realpath(directory))
    if not folder.exists():
        check_output(folder, directory=True)
        return
    if not folder.is_dir():
        raise OutputError(
            "plots go into a directory",
            where=directory,
            got="a file",
            remedy="give another name",
        )
    for path in _paths(folder, names):
        check_output(path, overwrite)


def write_figures(directory: str, figures: Mapping[str, Drawing], overwrite: bool) -> list[Path]:
    """Draw figures and write each of them as PNG and SVG.

    Parameters
    ----------
    directory : str
    figures : mapping of name to callable
    overwrite : bool

    Returns
    -------
    paths : list of Path
    """
    folder = Path(os.path.realpath(directory))
    folder.mkdir(exist_ok=True)
    written: list[Path] = []
    for name, draw in figures.items():
        figure = draw()
        for path in _paths(folder, [name]):
            with publish_file(path, overwrite) as temporary:
                save_figure(figure, temporary, path.suffix[1:])
            written.append(path)
    return written


def _paths(folder: Path, names: Iterable[str]) -> list[Path]:
    return [folder / f"{name}.{ending}" for name in names for ending in FORMATS]
