"""Whether a launcher of parallel runs has started this process as one of several ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Variables that name the rank, the number of ranks, and the rank on the node. Launchers that
#: start others come last: what started this very process is looked for first.
_VARIABLES = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    # Those of a step: a job script has SLURM_NTASKS and SLURM_PROCID, too, and is one process.
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
)


@dataclass(frozen=True)
class Launch:
    """What a launcher says of this process.

    Attributes
    ----------
    rank, size : int
        Number of the process, from 0, and of all processes.
    local_rank : int
        Number among those of the node; `rank` where that is not told.
    variable : str
        The variable that tells the number of all.
    """

    rank: int
    size: int
    local_rank: int
    variable: str


def find_launch(environment: Mapping[str, str]) -> Launch | None:
    """Find out whether this process is one of several ranks.

    Parameters
    ----------
    environment : mapping of str to str
        Variables of the environment.

    Returns
    -------
    launch : Launch or None
        None for a process of its own, and for the only rank of a launcher.
    """
    for names in _VARIABLES:
        rank, size, local = (_number(environment.get(name)) for name in names)
        if size is None:
            continue
        if size <= 1 or rank is None:
            return None
        return Launch(rank, size, rank if local is None else local, names[1])
    return None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.strip().isdigit() else None
