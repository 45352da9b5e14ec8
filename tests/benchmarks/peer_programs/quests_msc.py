"""quests: compression by entropy (msc) of the environments of all structures."""

from __future__ import annotations

import numba
import numpy as np
from quests.compression.fps import msc
from quests.entropy import entropy
from turns import serve, threads


def compress(features, n_picks):
    """Entropy of every structure, then the greedy choice."""
    structures = np.split(features["pool_atoms"], len(features["pool"]))
    # Its own bandwidth is for its own descriptors; here, the spread of the features.
    width = float(np.sqrt(np.mean(np.sum(features["train_atoms"] ** 2, axis=1))))
    entropies = np.array([entropy(atoms, h=width) for atoms in structures])
    return msc(structures, entropies, n_picks, h=width)


numba.set_num_threads(min(threads(), numba.config.NUMBA_NUM_THREADS))
serve("quests", {"msc": compress})
