"""Small structures as frames of extxyz."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prcli.data.annotation import annotate
from prcli.data.atoms_frame import write_frame
from prcli.data.conversion_notes import ConversionNotes
from prcli.data.extxyz import join_frames

if TYPE_CHECKING:
    from prcli.workflows.embedding import Embedding, SmallStructure

logger = logging.getLogger(__name__)


def embedded_frames(embedding: Embedding) -> Iterator[bytes]:
    """Write all small structures, in their order.

    Columns besides those that are inherited: ``prcli_role`` ("centre", "environment", "crystal-
    centre", "crystal" or "buffer"), ``prcli_fixed`` (whether an atom is where it was, T or F) and
    ``prcli_origin`` (the atom of the large structure, −1 for atoms of the crystal). Keys of the
    comment line say where a structure is from, and what it gains.

    Parameters
    ----------
    embedding : Embedding

    Yields
    ------
    bytes
        A frame.
    """
    notes = ConversionNotes()
    frames = (_frame(embedding, small, notes) for small in embedding.small)
    yield from join_frames(frames)
    if notes.renamed or notes.dropped:
        logger.warning("structures were %s", notes)


def _frame(embedding: Embedding, small: SmallStructure, notes: ConversionNotes) -> bytes:
    """Write one small structure."""
    keys = _keys(embedding, small)
    crystal, labels = embedding.crystal, embedding.labels
    if small.template is None:
        assert crystal is not None
        if crystal.content:
            # Nothing about it has changed: its labels are as true as they were.
            return annotate(crystal.content, keys, overwrite=True, where=crystal.where)
        atoms = crystal.atoms.copy()  # type: ignore[no-untyped-call]
        atoms.info = keys
        return write_frame(atoms, notes)
    template = small.template
    atoms = template.atoms.copy()  # type: ignore[no-untyped-call]
    inherited = labels.arrays(template.origin, atoms.numbers)
    for name, values in inherited.items():
        atoms.arrays[name] = values
    atoms.arrays["prcli_role"] = template.role
    atoms.arrays["prcli_fixed"] = ~template.is_free
    atoms.arrays["prcli_origin"] = template.origin
    atoms.info = {**labels.pairs, **keys}
    return write_frame(atoms, notes)


def _keys(embedding: Embedding, small: SmallStructure) -> dict[str, object]:
    """Keys that say where a structure is from, and what it gains."""
    request, structure = embedding.request, embedding.structure
    keys: dict[str, object] = {"prcli_strategy": small.name}
    if small.centre is not None:
        keys |= {
            "prcli_source": structure.typed,
            "prcli_frame": structure.frame,
            "prcli_atom": small.centre,
            "prcli_draw": small.draw,
            "prcli_seed": request.seed,
            "prcli_cutoff": embedding.geometry.cutoff,
        }
    if small.name in ("crystal", "high-symmetry") and embedding.crystal is not None:
        keys["prcli_crystal"] = embedding.crystal.typed
    if small.centre in embedding.lpr:
        keys["prcli_lpr"] = embedding.lpr[small.centre]
    if small.gain is not None:
        keys["prcli_gain"] = small.gain
    return keys
