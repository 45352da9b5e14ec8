"""A selection written for other programs, beside the frames and tables."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from prcli.data.dataset import Dataset
from prcli.errors import RequestError
from prcli.workflows.frames import Frames
from prcli.workflows.mace_writer import MaceWriter
from prcli.workflows.metatrain_writer import write_metatrain
from prcli.workflows.selection import Selection
from prcli.workflows.write_options import WriteOptions

INDICES = "indices.tsv"


def check_writers(options: WriteOptions | None, pool: Iterable[str | Path]) -> None:
    """Refuse, before long work, what could not be read later.

    Parameters
    ----------
    options : WriteOptions or None
    pool : iterable of path
        What frames come from.

    Raises
    ------
    RequestError
        If metatrain would be pointed to frames on standard input.
    """
    if options is not None and "metatrain" in options.formats and "-" in pool:
        raise RequestError(
            "metatrain reads frames by their place in a structure file, and these have none",
            where="--pool -, --write metatrain",
            remedy="write the pool to a file first",
        )


def write_for_programs(
    folder: Path,
    directory: str,
    selection: Selection,
    pool: Dataset,
    frames: Frames,
    options: WriteOptions,
) -> None:
    """Write what `options` asks for into a result directory.

    Parameters
    ----------
    folder : Path
        Where files are written now.
    directory : str
        What the folder will be called.
    selection : Selection
    pool : Dataset
    frames : Frames
        Of the pool.
    options : WriteOptions
    """
    indices = selection.indices
    sources, source, frame = pool.frames()
    source, frame = source[indices], frame[indices]
    if "indices" in options.formats:
        places = zip(source.tolist(), frame.tolist(), strict=True)
        lines = (f"{sources[number]}\t{place}\n" for number, place in places)
        (folder / INDICES).write_text("".join(lines), encoding="utf-8")
    if "metatrain" in options.formats:
        paths = [str(frames.paths.get(number, name)) for number, name in enumerate(sources)]
        write_metatrain(folder, directory, paths, source, frame, frames.read(indices), options)
    if "mace" in options.formats:
        where = (frames.where(int(index)) for index in indices)
        found = zip(where, frames.read(indices), strict=True)
        MaceWriter(options).write(folder, directory, found)
