"""Outputs that appear whole or not at all, and the policy for outputs that exist already."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from prcli.errors import OutputError, PrcliError

#: What tells a directory that prcli wrote from any other directory.
RESULT_MARKER = "report.json"

#: Everything that a result directory may hold: whatever else is there is somebody's own.
RESULT_FILES = {
    RESULT_MARKER,
    "selected.xyz",
    "selection.tsv",
    "targets.tsv",
    "kept.xyz",
    "removed.xyz",
    "pruned.tsv",
    "indices.tsv",
    "mace_replay.xyz",
    "mace_train.xyz",
    "mace.yaml",
    "metatrain.yaml",
    "report.html",
    "map.tsv",
    "audit.tsv",
    "chemiscope.json.gz",
}
_INDEX_FILE = re.compile(r"metatrain_indices_[0-9]+\.txt")

_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})


def check_output(
    path: str | os.PathLike[str],
    overwrite: bool = False,
    *,
    directory: bool = False,
    n_bytes: int = 0,
) -> Path:
    """Refuse, before any long work, an output that could not be published after it.

    Parameters
    ----------
    path : path-like
        Where the output shall go; symbolic links are followed.
    overwrite : bool
        Whether an existing output may be replaced.
    directory : bool
        Whether the output is a result directory rather than a file.
    n_bytes : int
        Expected size, compared with the space that is free.

    Returns
    -------
    Path
        The absolute path that will be written.

    Raises
    ------
    OutputError
        If the output exists (without `overwrite`, or as something that prcli did not write),
        its folder is missing or not writable, or the disk is too full.
    """
    target = Path(os.path.realpath(path))
    _check_parent(target)
    if os.path.lexists(target):
        _check_existing(target, overwrite, directory)
    _try_folder(target)
    _check_space(target, n_bytes)
    return target


def check_not_input(output: str | os.PathLike[str], inputs: Iterable[str | Path]) -> None:
    """Refuse to replace what is being read, whatever else allows to overwrite.

    Parameters
    ----------
    output : path-like
        Where the output shall go.
    inputs : iterable of path
        Files that are read; those that do not exist are passed over.

    Raises
    ------
    OutputError
        If the output is one of them, under whatever name.
    """
    if not os.path.exists(output):
        return
    for path in inputs:
        if os.path.exists(path) and os.path.samefile(path, output):
            raise OutputError(
                "the output is one of the inputs",
                where=os.fspath(output),
                remedy="choose another name for the output",
            )


def check_not_below(directory: str | os.PathLike[str], inputs: Iterable[str | Path]) -> None:
    """Refuse a result directory that holds what is being read.

    Raises
    ------
    OutputError
        If one of the inputs lies in it.
    """
    folder = os.path.realpath(directory)
    for path in inputs:
        if os.path.exists(path) and os.path.realpath(path).startswith(folder + os.sep):
            raise OutputError(
                "the result directory holds one of the inputs",
                where=f"{os.fspath(directory)}, {os.fspath(path)}",
                remedy="choose another name for the output",
            )


@contextlib.contextmanager
def publish_file(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary file beside `path` that becomes `path` when the block succeeds.

    Parameters
    ----------
    path : path-like
        Final name; symbolic links are followed.
    overwrite : bool
        Whether an existing file may be replaced.

    Yields
    ------
    Path
        An empty file in the same folder. It is removed if the block raises, whatever it raises.

    Raises
    ------
    OutputError
        As `check_output`, and if the disk fails or fills up while writing.
    """
    target = check_output(path, overwrite)
    temporary = _temporary_beside(target)
    try:
        with _disk_errors(target, temporary):
            # Created with the default mode, so that the umask decides the permissions.
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            yield temporary
            _fsync(temporary)
            if os.path.lexists(target):
                _check_existing(target, overwrite, directory=False)
            os.replace(temporary, target)
            _fsync(target.parent)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


@contextlib.contextmanager
def publish_directory(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary directory beside `path` that becomes `path` when the block succeeds.

    Parameters
    ----------
    path : path-like
        Final name; symbolic links are followed.
    overwrite : bool
        Whether a directory that holds a result (or nothing) may be replaced. The old one stays
        untouched until the new one is complete, and is then deleted.

    Yields
    ------
    Path
        An empty directory in the same folder, removed if the block raises.

    Raises
    ------
    OutputError
        As `publish_file`.
    """
    target = check_output(path, overwrite, directory=True)
    temporary = _temporary_beside(target)
    try:
        with _disk_errors(target, temporary):
            os.mkdir(temporary)
            yield temporary
            _fsync_tree(temporary)
            if os.path.lexists(target):
                _check_existing(target, overwrite, directory=True)
                _swap_in(temporary, target)
            else:
                os.rename(temporary, target)
            _fsync(target.parent)
    finally:
        if os.path.lexists(temporary):
            shutil.rmtree(temporary)


def _swap_in(temporary: Path, target: Path) -> None:
    """Replace the directory `target`; the old one comes back unless the new one is there."""
    old = _temporary_beside(target)
    try:
        os.rename(target, old)
        os.rename(temporary, target)
    except BaseException:
        if os.path.lexists(old) and not os.path.lexists(target):
            os.rename(old, target)
        raise
    shutil.rmtree(old)


def _check_parent(target: Path) -> None:
    """Refuse a target whose folder does not exist."""
    if not target.parent.is_dir():
        raise OutputError(
            "output folder does not exist",
            where=str(target),
            expected=f"a folder {target.parent}",
            remedy="create the folder or give another name",
        )


def _check_existing(target: Path, overwrite: bool, directory: bool) -> None:
    """Refuse to replace what must not be replaced."""
    mode = os.lstat(target).st_mode
    if directory != stat.S_ISDIR(mode) or not (directory or stat.S_ISREG(mode)):
        raise OutputError(
            "output exists and cannot be replaced",
            where=str(target),
            expected="a result directory" if directory else "a regular file, or no file",
            got="a directory" if stat.S_ISDIR(mode) else "a file or device",
            remedy="give another name",
        )
    if not overwrite:
        raise OutputError(
            "output exists already",
            where=str(target),
            remedy="give --overwrite or another name",
        )
    if directory:
        _check_old_result(target)


def _check_old_result(target: Path) -> None:
    """Refuse to delete a directory that prcli did not write, or that somebody stands in."""
    names = {path.name for path in target.iterdir()}
    foreign = sorted(n for n in names - RESULT_FILES if not _INDEX_FILE.fullmatch(n))
    if foreign or (names and RESULT_MARKER not in names):
        raise OutputError(
            "output directory is not a result of prcli, so it is not overwritten",
            where=str(target),
            expected=f"an empty directory, or one with {RESULT_MARKER} and nothing foreign",
            got=", ".join(foreign or sorted(names)),
            remedy="give another name, or remove the directory yourself",
        )
    if Path.cwd().is_relative_to(target):
        raise OutputError(
            "output directory is the current one, so it cannot be replaced",
            where=str(target),
            remedy="change to another directory or give another name",
        )


def _try_folder(target: Path) -> None:
    """Create and remove an empty file: the only sure test of permission and quota."""
    probe = _temporary_beside(target)
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        os.unlink(probe)
    except OSError as error:
        raise _output_error(target, error) from error


def _check_space(target: Path, n_bytes: int) -> None:
    """Refuse an output larger than the space that is free in its folder."""
    usage = os.statvfs(target.parent)
    free = usage.f_bavail * usage.f_frsize
    if n_bytes > free:
        raise OutputError(
            "not enough space for the output",
            where=str(target),
            expected=f"{n_bytes} bytes",
            got=f"{free} bytes free",
            remedy="free some space or write elsewhere",
        )


def _temporary_beside(target: Path) -> Path:
    """Name a hidden sibling of `target`, short enough for any file system."""
    return target.with_name(f".{target.name[:40]}.{secrets.token_hex(6)}.part")


def unfinished_files(path: str | os.PathLike[str]) -> list[Path]:
    """Find files that are being written to become `path`, or were when a run was killed.

    Which of both nobody can tell, so that they are the user's to remove.
    """
    target = Path(os.path.realpath(path))
    name = re.compile(re.escape(f".{target.name[:40]}.") + r"[0-9a-f]{12}\.part")
    with os.scandir(target.parent) as entries:
        return sorted(target.parent / e.name for e in entries if name.fullmatch(e.name))


@contextlib.contextmanager
def _disk_errors(target: Path, temporary: Path) -> Iterator[None]:
    """Turn faults of the disk or of our own names into `OutputError`; leave others alone."""
    try:
        yield
    except PrcliError:
        raise
    except OSError as error:
        name = str(error.filename or "")
        ours = name == str(target) or name.startswith(str(temporary))
        if ours or (error.filename is None and error.errno in _DISK_ERRORS):
            raise _output_error(target, error) from error
        raise


def _output_error(target: Path, error: OSError) -> OutputError:
    """Say that `target` cannot be written, and why."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return OutputError(
        "output cannot be written",
        where=str(target),
        got=error.strerror or str(error),
        remedy="free some space or write elsewhere" if full else "check the folder's permissions",
    )


def _fsync(path: Path) -> None:
    """Have the content of a file, or the entries of a folder, reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync a folder; the files in it are synced already.
        if error.errno != errno.EINVAL or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def _fsync_tree(folder: Path) -> None:
    """Have a whole directory tree reach the disk, deepest entries first."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            _fsync(Path(parent, name))
        _fsync(Path(parent))
