"""What every set of features offers, on disk or in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from prcli.data.gradients import GradientTable
from prcli.data.row_array import RowArray
from prcli.data.source import StoreSource
from prcli.records import Block, Convention, FeatureKind


class FeatureTable(Protocol):
    """Features of S structures with N atoms: a store on disk or arrays in memory."""

    @property
    def label(self) -> str:
        """Name for messages: the path of a store."""
        ...

    @property
    def convention(self) -> Convention:
        """Whether structures' rows are means or sums over their atoms' rows."""
        ...

    @property
    def n_structures(self) -> int:
        """S."""
        ...

    @property
    def n_features(self) -> int:
        """D."""
        ...

    @property
    def n_atoms(self) -> np.ndarray:
        """(S,) int64: atoms of each structure."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Type of the features: float32, or float64 if any of them are."""
        ...

    @property
    def blocks(self) -> tuple[Block, ...] | None:
        """Components of the model, in column order."""
        ...

    @property
    def feature_kind(self) -> FeatureKind | None:
        """What features of a network are; None for those of other models, or if not known."""
        ...

    @property
    def featurizer(self) -> Mapping[str, object] | None:
        """Name and settings of what computed the features; None if that is not known."""
        ...

    @property
    def structures(self) -> RowArray | None:
        """(S, D) rows of structures."""
        ...

    @property
    def atoms(self) -> RowArray | None:
        """(N, D) rows of atoms, those of structure 0 first."""
        ...

    @property
    def gradients(self) -> GradientTable | None:
        """(M, D) rows of forces and stresses, those of structure 0 first."""
        ...

    @property
    def species(self) -> np.ndarray | None:
        """(N,) uint8: atomic numbers."""
        ...

    @property
    def digests(self) -> np.ndarray | None:
        """(S,) uint64: see `prcli.data.digests.compute_digests`; None if they are not known."""
        ...

    @property
    def content_digest(self) -> str | None:
        """Digest of all of it: see `prcli.data.digests.combine_digests`."""
        ...

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the optional columns, sorted."""
        ...

    def column(self, name: str) -> np.ndarray:
        """(S,) float64 or str: an optional column."""
        ...

    @property
    def source(self) -> StoreSource | None:
        """Frames that the structures were made from."""
        ...
