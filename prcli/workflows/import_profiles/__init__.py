"""What is known of the files that other programs write: one module for each program.

A module has a `Profile` named ``PROFILE``. It is imported when it is needed, so that the names can
be listed at once.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING, cast

from prcli.errors import RequestError

if TYPE_CHECKING:
    from prcli.workflows.import_profiles.profile import Profile

#: Programs, and the modules of their profiles.
PROFILES = {
    "array": "prcli.workflows.import_profiles.array",
    "deepmd": "prcli.workflows.import_profiles.deepmd",
    "grace": "prcli.workflows.import_profiles.grace",
    "mace": "prcli.workflows.import_profiles.mace",
    "metatrain": "prcli.workflows.import_profiles.metatrain",
    "pacemaker": "prcli.workflows.import_profiles.pacemaker",
}


def find_profile(name: str | None) -> Profile:
    """Find what is known of a program; without a name, of plain arrays.

    Raises
    ------
    RequestError
        If the program is not known, with the nearest one.
    """
    name = name or "array"
    if name not in PROFILES:
        near = difflib.get_close_matches(name, PROFILES, n=1)
        raise RequestError(
            f"--from {name} is not known",
            expected="one of " + ", ".join(PROFILES),
            remedy=f"did you mean {near[0]}?" if near else "leave it out and state the convention",
        )
    return cast("Profile", import_module(PROFILES[name]).PROFILE)
