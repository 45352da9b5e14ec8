"""Features that structure files carry, read on the way."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack

from prcli.data.feature_table import FeatureTable
from prcli.data.slices import split_slice
from prcli.data.store import open_store
from prcli.data.streams import spool
from prcli.data.structure_file import index_structures
from prcli.data.structure_formats import find_format
from prcli.errors import FeatureError
from prcli.records import Progress, no_progress
from prcli.workflows.features_import import import_features
from prcli.workflows.import_request import ImportRequest
from prcli.workflows.input_options import InputOptions


def import_carried(
    argument: str,
    name: str,
    options: InputOptions,
    stack: ExitStack,
    progress: Progress = no_progress,
) -> FeatureTable:
    """Parse the features of a structure file once, into a store that vanishes when closed.

    Standard input is kept on the stack, since its frames may be copied later.
    """
    if options.feature_key is None:
        _check_structures(split_slice(argument)[0])
        raise FeatureError(
            f"the {name} set has structures but no features",
            where=argument,
            expected="the name of a per-atom column or comment-line vector that holds them",
            remedy="give --feature-key KEY, a store made by `prcli features import`, or "
            "--featurizer soap to compute features",
        )
    is_stdin = split_slice(argument)[0] == "-"
    spooled = stack.enter_context(spool(sys.stdin.buffer)) if is_stdin else None
    with tempfile.TemporaryDirectory(prefix="prcli-") as folder:
        request = ImportRequest(
            structures=argument,
            output=os.path.join(folder, "features.h5"),
            feature_key=options.feature_key,
            convention=options.convention,
            skip_invalid=options.skip_invalid,
        )
        import_features(request, progress, spooled=spooled)
        store = open_store(request.output)
        stack.callback(store.close)
        # The open store keeps the file alive after its name is gone.
        store.label = argument
        return store


def _check_structures(path: str) -> None:
    """Refuse a file that only its name makes one of structures, such as any other ``x.out``.

    Raises
    ------
    FormatError, InputFileError
        If it cannot be read as what ASE takes it for.
    """
    if path != "-" and find_format(path) is not None:
        index_structures(path, digest=False)
