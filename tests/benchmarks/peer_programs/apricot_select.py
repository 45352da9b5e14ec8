"""apricot: submodular selection; facility location, and log det as a function of one's own."""

from __future__ import annotations

import numpy as np
from apricot import CustomSelection, FacilityLocationSelection
from turns import serve


def facility_location(features, n_picks):
    """Candidates that represent the pool by distance."""
    return FacilityLocationSelection(n_picks).fit(features["pool"]).ranking


def log_det(features, n_picks):
    """The determinant, from whitened candidates; the function is called for every candidate."""
    gram = features["train"].T @ features["train"]
    gram += float(features["root"]) ** 2 * np.eye(len(gram))
    whitened = np.linalg.solve(np.linalg.cholesky(gram), features["pool"].T).T

    def growth(numbers):
        rows = whitened[numbers[:, 0].astype(int)]
        return np.linalg.slogdet(np.eye(len(rows)) + rows @ rows.T)[1]

    # Features may not be negative: it gets the candidates' numbers instead.
    numbers = np.arange(float(len(whitened)))[:, np.newaxis]
    return CustomSelection(n_picks, growth, optimizer="lazy").fit(numbers).ranking


serve("apricot-select", {"facility location": facility_location, "log det": log_det})
