"""The communicator of a run: through MPI where a launcher has started several ranks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from prcli.errors import RequestError
from prcli.parallel.launcher import Launch, find_launch
from prcli.records import ALONE, SerialCommunicator

if TYPE_CHECKING:
    from prcli.parallel.mpi import MpiCommunicator


def start_communicator(environment: Mapping[str, str]) -> SerialCommunicator | MpiCommunicator:
    """Join the other ranks, if a launcher has started any.

    Parameters
    ----------
    environment : mapping of str to str
        Variables of the environment, by which launchers are told.

    Returns
    -------
    communicator : SerialCommunicator or MpiCommunicator

    Raises
    ------
    RequestError
        If ranks were started that cannot find each other: each would do all of the work, and
        all would write the same output.
    """
    launch = find_launch(environment)
    if launch is None:
        return ALONE
    return _join(launch)


def _join(launch: Launch) -> MpiCommunicator:
    # MPI is called by the main thread only.
    try:
        import mpi4py

        mpi4py.rc.thread_level = "funneled"
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise RequestError(
            f"{launch.size} ranks were started, and MPI is not there",
            where=f"{launch.variable}={launch.size}",
            expected="mpi4py, and the MPI library of the launcher",
            got=str(error).split("\n")[0],
            remedy='pip install "prcli[mpi]", or start prcli without a launcher',
        ) from error
    if MPI.COMM_WORLD.size == 1:
        raise RequestError(
            f"{launch.size} ranks were started that do not find each other",
            where=f"{launch.variable}={launch.size}",
            expected=f"{launch.size} ranks",
            got=f"every rank alone, by {_library(MPI.Get_library_version())}",
            remedy="use the mpiexec of the MPI library that mpi4py uses, or tell srun which one "
            "it is (srun --mpi=list)",
        )
    from prcli.parallel.mpi import MpiCommunicator

    return MpiCommunicator(MPI.COMM_WORLD)


def _library(version: str) -> str:
    """First words of what a library says of itself, which may fill a page."""
    words = " ".join(version.replace("\0", "").split())
    return words.split(" Release date")[0].split(", package")[0][:60]
