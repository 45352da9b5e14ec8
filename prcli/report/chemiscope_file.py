"""Files of chemiscope, the viewer of atomistic data sets, and its program for web pages."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

#: Where the package keeps its program. That is its own affair, so that it may be elsewhere one day.
_BUNDLE = Path("sphinx", "static", "chemiscope.min.js")

#: Different texts that chemiscope can tell apart by symbols.
_MOST_CATEGORIES = 50

#: Å within which a click on an atom highlights others.
_CUTOFF = 4.0

_LPR, _SIGMA = "LPR", "sigma of the atom"
_DESCRIPTIONS = {
    "PR before": ("prediction rigidity before any pick", ""),
    "PR after": ("prediction rigidity after all picks", ""),
    "sigma before": ("estimated error before any pick", "eV"),
    "gain": ("what the pick adds to the objective", ""),
    "rank": ("number of the pick", ""),
    "frame": ("position in its file", ""),
    "PC1": ("first principal component of the whitened features", ""),
    "PC2": ("second principal component of the whitened features", ""),
    _LPR: ("local prediction rigidity before any pick", ""),
    _SIGMA: ("estimated error of the atom's energy before any pick", "eV"),
}


@dataclass(frozen=True, eq=False)
class ViewedStructure:
    """A structure and what is known of it.

    Attributes
    ----------
    symbols : tuple of str
        n elements.
    positions : ndarray of shape (n, 3)
        Å.
    cell : ndarray of shape (3, 3) or None
        Å, a vector per row.
    numbers : mapping of str to float
    texts : mapping of str to str
    local : ndarray of shape (n,) or None
        Rigidities of the atoms.
    alpha : float or None
        Calibration factor: σ = α/√PR.
    """

    symbols: tuple[str, ...]
    positions: FloatArray
    cell: FloatArray | None
    numbers: Mapping[str, float]
    texts: Mapping[str, str] = field(default_factory=dict)
    local: FloatArray | None = None
    alpha: float | None = None


def chemiscope_dataset(title: str, structures: Sequence[ViewedStructure]) -> dict[str, object]:
    """Describe structures as chemiscope 1.x reads them.

    Parameters
    ----------
    title : str
    structures : sequence of ViewedStructure
        At least one. Numbers that some of them lack are nan there, as are infinite ones.

    Returns
    -------
    dataset : dict
        For ``chemiscope.json``; nan is left to the writer.
    """
    properties = _structure_properties(structures)
    content: dict[str, object] = {
        "meta": {"name": title, "description": "Picks and targets of prcli select."},
        "structures": [_structure(each) for each in structures],
        "properties": properties,
        "settings": _settings(properties),
    }
    if all(each.local is not None for each in structures):
        properties |= _atom_properties(structures)
        content["environments"] = [
            {"structure": i, "center": k, "cutoff": _CUTOFF}
            for i, each in enumerate(structures)
            for k in range(len(each.symbols))
        ]
        content["settings"] = _settings(properties)
    return content


def find_bundle() -> str | None:
    """Read chemiscope's program for web pages; None, and said, where there is none."""
    try:
        # The package itself is not imported: that would start half of Jupyter.
        found = find_spec("chemiscope")
    except (ImportError, ValueError):
        found = None
    if found is None or not found.submodule_search_locations:
        logger.info(
            'the page shows no structures in 3-D, for lack of chemiscope: "prcli[report]" brings it'
        )
        return None
    path = Path(next(iter(found.submodule_search_locations))) / _BUNDLE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        text = ""
    if not text or any(mark in text.lower() for mark in ("</script", "<script")):
        logger.warning(
            "the page shows no structures in 3-D: this version of chemiscope has no program at "
            "%s that a page can hold",
            path,
        )
        return None
    return text


def _structure(each: ViewedStructure) -> dict[str, object]:
    content: dict[str, object] = {"size": len(each.symbols), "names": list(each.symbols)}
    for axis, name in enumerate("xyz"):
        content[name] = [round(value, 4) + 0.0 for value in each.positions[:, axis].tolist()]
    # A cell without volume, such as that of a slab without a third vector, cannot be drawn.
    if each.cell is not None and abs(np.linalg.det(each.cell)) > 0.0:
        content["cell"] = [round(value, 5) + 0.0 for value in each.cell.ravel().tolist()]
    return content


def _structure_properties(structures: Sequence[ViewedStructure]) -> dict[str, object]:
    """Numbers and texts of whole structures, in the order of first appearance."""
    properties: dict[str, object] = {}
    for name in dict.fromkeys(key for each in structures for key in each.texts):
        values = [each.texts.get(name, "") for each in structures]
        if len(set(values)) <= _MOST_CATEGORIES and any(values):
            properties[name] = {"target": "structure", "values": values}
    for name in dict.fromkeys(key for each in structures for key in each.numbers):
        found = [_finite(each.numbers.get(name, float("nan"))) for each in structures]
        properties[name] = _described(name, "structure", found)
    return properties


def _atom_properties(structures: Sequence[ViewedStructure]) -> dict[str, object]:
    local = np.concatenate([each.local for each in structures if each.local is not None])
    properties: dict[str, object] = {
        _LPR: _described(_LPR, "atom", [_finite(value) for value in local.tolist()])
    }
    alphas = {each.alpha for each in structures}
    alpha = next(iter(alphas)) if len(alphas) == 1 else None
    if alpha is not None:
        sigma = [_finite(value) for value in (alpha / np.sqrt(local)).tolist()]
        properties[_SIGMA] = _described(_SIGMA, "atom", sigma)
    return properties


def _described(name: str, target: str, values: list[float]) -> dict[str, object]:
    description, unit = _DESCRIPTIONS.get(name, ("", ""))
    content: dict[str, object] = {"target": target, "values": values}
    if description:
        content["description"] = description
    if unit:
        content["units"] = unit
    return content


def _finite(value: float) -> float:
    """Six digits; nan for what is not finite."""
    return float(f"{value:.6g}") if np.isfinite(value) else float("nan")


def _settings(properties: Mapping[str, object]) -> dict[str, object]:
    """Show the map at first, and atoms coloured by their rigidity."""
    x, y = ("PC1", "PC2") if "PC1" in properties else ("PR before", "PR before")
    content: dict[str, object] = {
        "target": "structure",
        "map": {
            "x": {"property": x},
            "y": {"property": y},
            "color": {"property": "PR before", "mode": "log", "palette": "viridis"},
            "symbol": "set",
        },
        "structure": [{"unitCell": True, "bonds": True}],
    }
    if _LPR in properties:
        colour = {"property": _LPR, "transform": "log", "palette": "viridis"}
        content["structure"] = [{"unitCell": True, "bonds": True, "color": colour}]
    return content
