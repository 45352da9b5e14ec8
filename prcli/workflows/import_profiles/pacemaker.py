"""pacemaker: projections come grouped by element, so that their atoms are not known."""

from __future__ import annotations

from contextlib import ExitStack
from typing import NoReturn

from prcli.errors import RequestError
from prcli.workflows.import_profiles.profile import Profile
from prcli.workflows.import_request import ImportRequest
from prcli.workflows.import_rows import ImportFrames, ImportRows


def _open(request: ImportRequest, frames: ImportFrames, stack: ExitStack) -> ImportRows:
    """Refuse what cannot be brought into the order of atoms."""
    _refuse(request)


def _refuse(request: ImportRequest) -> NoReturn:
    raise RequestError(
        "projections of pacemaker cannot be imported: they do not say which atoms they are of",
        where=request.features or request.feature_key,
        expected="one row per atom, structure after structure",
        got="arrays grouped by element (compute_B_projections, .asi files)",
        remedy="take calculator.projections of PyACECalculator after each structure, which are in"
        " the order of its atoms, put below each other and save with numpy.save; then"
        " --convention per-atom without --from. Where elements have different numbers of"
        " functions, fill the shorter rows with zeros and give --per-species",
    )


PROFILE = Profile("pacemaker", "nothing: its projections are grouped by element", _open)
