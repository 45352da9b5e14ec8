from __future__ import annotations

import numpy as np
import pytest
from builders import features_of

from prcli.data.dataset import Dataset, Part
from prcli.data.row_array import ArrayRows
from prcli.errors import FeatureError, MismatchError
from prcli.records import Intercept
from prcli.workflows.rows import EnergyRows, RowForm

#: Positions as they are sliced: all, some, and backwards.
SLICES = (slice(None), slice(1, None, 3), slice(None, None, -2))


def tables_of(keeps_structures=True, convention="sum"):
    """Tables of several lengths, with rows of structures or of atoms alone."""
    tables = []
    for n in (7, 5, 9):
        kept = {}
        if keeps_structures:
            rows = np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32)
            kept = {"structures": rows, "convention": convention}
        tables.append(features_of(n, seed=n, **kept))
    return tables


def data_of(tables=None):
    parts = [
        Part(table, range(table.n_structures)[chosen])
        for table, chosen in zip(tables or tables_of(), SLICES, strict=True)
    ]
    return Dataset(parts, "pool")


def source_of(data, kind="none", energy="per-atom", weights=None):
    species = tuple(np.unique([z for part in data.parts for z in part.table.species]).tolist())
    intercept = Intercept(kind, species if kind == "species" else ())
    return EnergyRows(data, RowForm(data.n_features, energy, intercept), 0.3, weights)


def orders(n):
    generator = np.random.default_rng(0)
    yield np.empty(0, dtype=np.intp)
    yield [n - 1]
    yield np.arange(n)
    yield generator.permutation(n)
    yield generator.integers(0, n, 3 * n)


@pytest.mark.parametrize("energy", ["per-atom", "total"])
@pytest.mark.parametrize("kind", ["none", "atom", "species"])
@pytest.mark.parametrize("kept", [(True, "sum"), (True, "mean"), (False, "sum")])
def test_rows_taken_are_those_read(energy, kind, kept):
    data = data_of(tables_of(*kept))
    weights = np.random.default_rng(1).uniform(0.5, 2.0, data.n_structures)
    source = source_of(data, kind, energy, weights)
    everything = source.read_all()
    assert everything.shape == (data.n_structures, source.n_columns)
    for order in orders(data.n_structures):
        np.testing.assert_array_equal(source.take(order), everything[order])
    np.testing.assert_array_equal(source.read(2, 11), everything[2:11])


def test_rows_taken_may_be_overwritten():
    data = data_of()
    source = source_of(data)
    before = source.read_all()
    source.take([0, 3])[:] = 7.0
    np.testing.assert_array_equal(source.read_all(), before)


def test_a_row_that_is_not_finite_is_refused_with_its_place():
    tables = tables_of()
    # As a store may hold it that another program has written.
    spoilt = np.array(tables[2].structures.read(0, 9))
    spoilt[4, 1] = np.nan
    tables[2].structures = ArrayRows(spoilt)
    data = data_of(tables)
    position = int(data.starts[2]) + list(data.parts[2].positions).index(4)
    with pytest.raises(FeatureError, match="structure 4, column 1"):
        source_of(data).take([0, position])


def test_an_element_without_intercept_is_refused():
    data = data_of()
    form = RowForm(data.n_features, intercept=Intercept("species", (1,)))
    with pytest.raises(MismatchError, match="no intercept"):
        EnergyRows(data, form).take([0, 1])
