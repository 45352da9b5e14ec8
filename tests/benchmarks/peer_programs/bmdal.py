"""bmdal_reg: batch active learning in feature space, BAIT (forward) and MaxDet.

Features come divided by the root of the regularizer, so that its noise is 1: below that, the
constant of 1e-8 that it adds to a denominator would count.
"""

from __future__ import annotations

import torch
from bmdal_reg.bmdal.algorithms import select_batch
from bmdal_reg.bmdal.feature_data import TensorFeatureData
from turns import serve, threads


def _select(features, n_picks, method, **options):
    data = {
        name: TensorFeatureData(torch.as_tensor(features[name] / features["root"]))
        for name in ("train", "pool")
    }
    picks, _ = select_batch(
        n_picks,
        [None],
        data,
        None,
        base_kernel="linear",
        kernel_transforms=[("train", [1.0])],
        selection_method=method,
        allow_float64=True,
        sel_with_train=False,
        verbosity=0,
        **options,
    )
    return picks.tolist()


def bait(features, n_picks):
    """Mean variance of pool and training set."""
    return _select(features, n_picks, "bait", bait_sigma=1.0, overselection_factor=1.0)


def maxdet(features, n_picks):
    """Determinant of the posterior covariance of the batch."""
    return _select(features, n_picks, "maxdet", maxdet_sigma=1.0)


torch.set_num_threads(threads())
serve("bmdal-reg", {"bait": bait, "maxdet": maxdet})
