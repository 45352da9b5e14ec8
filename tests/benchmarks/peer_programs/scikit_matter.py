"""scikit-matter: local prediction rigidities, farthest points, CUR."""

from __future__ import annotations

import numpy as np
from skmatter.metrics import local_prediction_rigidity
from skmatter.sample_selection import CUR, FPS
from turns import serve


def lpr(features, _):
    """Rigidity of every atom of the pool."""
    train, pool = (
        np.split(features[f"{name}_atoms"], len(features[name])) for name in ("train", "pool")
    )
    found, _ = local_prediction_rigidity(train, pool, float(features["root"]) ** 2)
    return np.concatenate(found)


def fps(features, n_picks):
    """Farthest points of the pool, from the same first one."""
    start = int(features["first"])
    return FPS(n_to_select=n_picks, initialize=start).fit(features["pool"]).selected_idx_


def cur(features, n_picks):
    """CUR of the pool, as it is by default."""
    return CUR(n_to_select=n_picks).fit(features["pool"]).selected_idx_


serve("skmatter", {"LPR": lpr, "FPS": fps, "CUR": cur})
