"""Prediction rigidities for machine-learned interatomic potentials.

The use cases of the command line on arrays and on files::

    import prcli

    record = prcli.hessian("train.h5")
    scores = prcli.score(record, "pool.h5")
    selection = prcli.select("pool.h5", 10, train="train.h5", target="target.h5")

Names are imported when they are first used, so that the command line starts quickly.
"""

__version__ = "0.1.0"

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prcli.data.features import Features
    from prcli.data.hessian_file import read_hessian, write_hessian
    from prcli.data.hessian_record import HessianRecord
    from prcli.data.store import FeatureStore, open_store
    from prcli.data.store_writer import StoreWriter
    from prcli.errors import PrcliError
    from prcli.workflows.calibrate import Calibration
    from prcli.workflows.calibrate_api import calibrate
    from prcli.workflows.calibrate_options import CalibrateOptions
    from prcli.workflows.compare import Comparison
    from prcli.workflows.compare_api import compare
    from prcli.workflows.compute_request import ComputeRequest
    from prcli.workflows.constraint_options import ConstraintOptions
    from prcli.workflows.embed_api import embed
    from prcli.workflows.embedding import Embedding
    from prcli.workflows.ensemble import Ensemble
    from prcli.workflows.ensemble_api import ensemble
    from prcli.workflows.ensemble_options import EnsembleOptions
    from prcli.workflows.features_compute import compute_features
    from prcli.workflows.features_import import import_features
    from prcli.workflows.hessian_api import hessian
    from prcli.workflows.hessian_options import HessianOptions
    from prcli.workflows.import_request import ImportRequest
    from prcli.workflows.inputs import InputOptions
    from prcli.workflows.loss_options import LossOptions
    from prcli.workflows.prune import Pruning
    from prcli.workflows.prune_api import prune
    from prcli.workflows.prune_options import PruneOptions
    from prcli.workflows.relative import Relative
    from prcli.workflows.score_api import score
    from prcli.workflows.scores import Scores
    from prcli.workflows.select_api import select
    from prcli.workflows.selection import Selection
    from prcli.workflows.write_options import WriteOptions

__all__ = [
    "CalibrateOptions",
    "Calibration",
    "Comparison",
    "ComputeRequest",
    "ConstraintOptions",
    "Embedding",
    "Ensemble",
    "EnsembleOptions",
    "FeatureStore",
    "Features",
    "HessianOptions",
    "HessianRecord",
    "ImportRequest",
    "InputOptions",
    "LossOptions",
    "PrcliError",
    "PruneOptions",
    "Pruning",
    "Relative",
    "Scores",
    "Selection",
    "StoreWriter",
    "WriteOptions",
    "calibrate",
    "compare",
    "compute_features",
    "embed",
    "ensemble",
    "hessian",
    "import_features",
    "open_store",
    "prune",
    "read_hessian",
    "score",
    "select",
    "write_hessian",
]

_HOMES = {
    "CalibrateOptions": "prcli.workflows.calibrate_options",
    "Calibration": "prcli.workflows.calibrate",
    "Comparison": "prcli.workflows.compare",
    "ComputeRequest": "prcli.workflows.compute_request",
    "ConstraintOptions": "prcli.workflows.constraint_options",
    "Embedding": "prcli.workflows.embedding",
    "Ensemble": "prcli.workflows.ensemble",
    "EnsembleOptions": "prcli.workflows.ensemble_options",
    "FeatureStore": "prcli.data.store",
    "Features": "prcli.data.features",
    "HessianOptions": "prcli.workflows.hessian_options",
    "HessianRecord": "prcli.data.hessian_record",
    "ImportRequest": "prcli.workflows.import_request",
    "InputOptions": "prcli.workflows.inputs",
    "LossOptions": "prcli.workflows.loss_options",
    "PrcliError": "prcli.errors",
    "PruneOptions": "prcli.workflows.prune_options",
    "Pruning": "prcli.workflows.prune",
    "Relative": "prcli.workflows.relative",
    "Scores": "prcli.workflows.scores",
    "Selection": "prcli.workflows.selection",
    "StoreWriter": "prcli.data.store_writer",
    "WriteOptions": "prcli.workflows.write_options",
    "calibrate": "prcli.workflows.calibrate_api",
    "compare": "prcli.workflows.compare_api",
    "compute_features": "prcli.workflows.features_compute",
    "embed": "prcli.workflows.embed_api",
    "ensemble": "prcli.workflows.ensemble_api",
    "hessian": "prcli.workflows.hessian_api",
    "import_features": "prcli.workflows.features_import",
    "open_store": "prcli.data.store",
    "prune": "prcli.workflows.prune_api",
    "read_hessian": "prcli.data.hessian_file",
    "score": "prcli.workflows.score_api",
    "select": "prcli.workflows.select_api",
    "write_hessian": "prcli.data.hessian_file",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'prcli' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*__all__, "__version__"])
