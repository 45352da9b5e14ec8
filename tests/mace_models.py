"""Tiny MACE models; what needs the package is imported only when one is made."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from prcli.features.torch_package import foreign_messages

SPECIES = (6, 14)
ISOLATED = {6: -1000.0, 14: -2000.0}


def build(kind: str, precision: str, heads: list[str] | None = None, **changes: object):
    """Build a model with random weights; its energies of isolated atoms are large."""
    with foreign_messages():
        import mace  # noqa: F401
        import torch
        from e3nn import o3
        from mace import modules
        from mace.tools import torch_tools

        n_heads = len(heads or [None])
        block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
        energies = np.array([*ISOLATED.values()])
        arguments = {
            "r_max": 4.0,
            "num_bessel": 4,
            "num_polynomial_cutoff": 5,
            "max_ell": 2,
            "interaction_cls": block,
            "interaction_cls_first": block,
            "num_interactions": 2,
            "num_elements": 2,
            "hidden_irreps": o3.Irreps("4x0e+4x1o"),
            "MLP_irreps": o3.Irreps("3x0e"),
            "gate": torch.nn.functional.silu,
            "atomic_energies": np.tile(energies, (n_heads, 1)) if heads else energies,
            "avg_num_neighbors": 8.0,
            "atomic_numbers": list(SPECIES),
            "correlation": 2,
            "heads": heads,
        }
        if kind == "ScaleShiftMACE":
            arguments["atomic_inter_scale"] = [1.7, 0.6][:n_heads] if heads else 1.7
            arguments["atomic_inter_shift"] = [0.1, -0.2][:n_heads] if heads else 0.1
        torch.manual_seed(7)
        with torch_tools.default_dtype(precision):
            return getattr(modules, kind)(**(arguments | changes))


def save(model, path: Path) -> str:
    import torch

    with foreign_messages():
        torch.save(model, path)
    return str(path)
