"""Small structures, and what came of a request for them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prcli.environments.geometry_options import GeometryOptions
from prcli.environments.template import Template
from prcli.workflows.embed_frames import embedded_frames
from prcli.workflows.embed_labels import Labels
from prcli.workflows.embed_request import EmbedRequest
from prcli.workflows.one_structure import OneStructure

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True, eq=False)
class SmallStructure:
    """A structure to compute next, and what is known of it.

    Attributes
    ----------
    name : str
        "carve", "periodic", "high-symmetry", or "crystal": the crystal itself.
    template : Template or None
        Its atoms, displaced; None for the crystal.
    centre : int or None
        Atom of the large structure; None for the crystal.
    draw : int
    n_tries : int
        How often displacements were drawn.
    gain : float or None
        LPR of the atom with it over LPR without, minus 1; for embeddings in a crystal both that
        and the crystal are added. Of the crystal, the mean over all atoms in question.
    gain_alone : float or None
        The same without the crystal.
    feature_change : float or None
        Norm of the difference of the features of the atom here and in the large structure.
    rank : int or None
        1 for the largest gain.
    pick : int or None
        1 for the structure that was chosen first.
    picked_lpr : float or None
        Lowest LPR of the atoms in question after that pick.
    """

    name: str
    template: Template | None
    centre: int | None
    draw: int = 0
    n_tries: int = 0
    gain: float | None = None
    gain_alone: float | None = None
    feature_change: float | None = None
    rank: int | None = None
    pick: int | None = None
    picked_lpr: float | None = None


@dataclass(frozen=True, eq=False)
class Embedding:
    """What came of a request.

    Attributes
    ----------
    request : EmbedRequest
    geometry : GeometryOptions
    structure : OneStructure
        The large one.
    crystal : OneStructure or None
    centres : tuple of int
        Atoms in question.
    lpr : dict of int to float
        Their rigidities before anything is added; empty without a model.
    labels : Labels
        What small structures inherit.
    small : tuple of SmallStructure
        Best first where gains are known; with a choice, the chosen ones alone in that order.
    whole_gain : float or None
        What adding the large structure itself would gain, the mean over all atoms in question.
    """

    request: EmbedRequest
    geometry: GeometryOptions
    structure: OneStructure
    crystal: OneStructure | None
    centres: tuple[int, ...]
    lpr: dict[int, float]
    labels: Labels
    small: tuple[SmallStructure, ...]
    whole_gain: float | None = None

    def structures(self) -> list[Atoms]:
        """Give all small structures as ASE reads them from a file that `prcli embed` writes.

        Keys of the comment line are in ``info``, columns such as ``prcli_fixed`` in ``arrays``.
        """
        from ase.io import iread

        text = b"".join(embedded_frames(self)).decode("utf-8")
        return list(iread(io.StringIO(text), index=":", format="extxyz"))
