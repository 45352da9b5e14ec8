"""What several ranks cannot do, or would all do alike."""

from __future__ import annotations

from collections.abc import Iterable

from prcli.data.shards import Shard
from prcli.data.slices import split_slice
from prcli.errors import RequestError
from prcli.records import Communicator
from prcli.workflows.input_options import DataArgument, InputOptions


def check_ranks(
    communicator: Communicator,
    arguments: Iterable[DataArgument],
    inputs: InputOptions | None = None,
    shard: Shard | None = None,
) -> None:
    """Refuse what only a run of one process does.

    Parameters
    ----------
    communicator : Communicator
    arguments : iterable of DataArgument
        What is read.
    inputs : InputOptions, optional
    shard : Shard, optional

    Raises
    ------
    RequestError
        If standard input were to be read, features were to be computed on the way, or a share
        were to be divided again.
    """
    if communicator.size == 1:
        return
    if any(isinstance(each, str) and split_slice(each)[0] == "-" for each in arguments):
        # Launchers lose it, or never tell its end.
        raise RequestError(
            "standard input does not reach several ranks",
            where="-",
            got=f"{communicator.size} ranks",
            remedy="write it to a file first",
        )
    if inputs is not None and inputs.featurizer is not None:
        raise RequestError(
            "features are not computed on the way by several ranks: each would compute all",
            where="--featurizer",
            got=f"{communicator.size} ranks",
            remedy="run `prcli features compute` first, which divides the structures among ranks",
        )
    if shard is not None:
        raise RequestError(
            "a shard is the share of one process",
            where=f"--shard {shard}",
            got=f"{communicator.size} ranks",
            remedy="give either --shard in a job array, or ranks, which divide the whole set",
        )
