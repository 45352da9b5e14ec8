"""Tables and mts files of several blocks, imported side by side with structures."""

from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
from builders import atoms_for, counts_of, frames_of, species_of, sums_of, write_frames
from mts_file import MtsBlock, labels, write_mts

from prcli.data.store import open_store
from prcli.errors import FeatureError, RequestError
from prcli.records import Block
from prcli.workflows.features_import import import_features
from prcli.workflows.import_request import ImportRequest

COUNTS = counts_of(5, 4)
OFFSETS = np.concatenate([[0], np.cumsum(COUNTS)])
ATOMS = atoms_for(COUNTS, 4)
FRAMES = frames_of(COUNTS, seed=4)
TYPES = species_of(FRAMES)
ROWS = np.array([(s, a) for s, count in enumerate(COUNTS) for a in range(count)])
#: Every atom moves every centre of its structure.
MOVES = np.array([(row, s, k) for row, (s, _) in enumerate(ROWS) for k in range(int(COUNTS[s]))])
BY_MOVE = np.random.default_rng(5).normal(size=(len(MOVES), 3, 4))
NAMES = ["center_type", "neighbor_type"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_frames(Path("s.xyz"), FRAMES)


def request(path: str, convention: str | None = "per-atom", **given: object) -> ImportRequest:
    return ImportRequest("s.xyz", "o.h5", path, convention=convention, overwrite=True, **given)


def block_of(chosen: np.ndarray, factor: float) -> MtsBlock:
    """Rows of some atoms in any order, with their gradients."""
    place = np.full(len(ROWS), -1)
    place[chosen] = np.arange(len(chosen))
    of_these = place[MOVES[:, 0]] >= 0
    moves = MOVES[of_these].copy()
    moves[:, 0] = place[moves[:, 0]]
    gradient = MtsBlock(factor * BY_MOVE[of_these], labels(["sample", "system", "atom"], moves))
    samples = labels(["system", "atom"], ROWS[chosen])
    return MtsBlock(factor * ATOMS[chosen], samples, (("positions", gradient),))


def test_gradients_of_blocks_that_share_columns():
    rng = np.random.default_rng(6)
    # The last block does not fill the last columns.
    keys = [(1, 0), (1, 1), (6, 0), (6, 1), (8, 1), (8, 0)]
    blocks = [
        block_of(rng.permutation(np.flatnonzero(TYPES == centre)), 1.0 + other)
        for centre, other in keys
    ]
    write_mts(Path("f.mts"), labels(NAMES, keys), blocks)
    summary = import_features(request("f.mts", gradients=True))
    forces = np.zeros((len(ROWS), 3, 4))
    for value, (_, structure, atom) in zip(BY_MOVE, MOVES, strict=True):
        forces[OFFSETS[structure] + atom] -= value
    assert summary.n_force_rows == 3 * len(ROWS)
    with open_store("o.h5") as store:
        assert store.blocks == (Block("neighbor_type=0", 4), Block("neighbor_type=1", 4))
        np.testing.assert_array_equal(store.atoms.read(0, len(ROWS)), np.hstack([ATOMS, 2 * ATOMS]))
        expected = np.concatenate([forces, 2 * forces], axis=2).reshape(-1, 8)
        np.testing.assert_allclose(
            store.gradients.rows.read(0, len(expected)), expected, rtol=1e-12, atol=1e-12
        )


class TestRowsOfStructures:
    @pytest.fixture(autouse=True)
    def blocks(self):
        """Sums over the atoms of each type, in the structures that have any."""
        blocks = []
        for centre in (1, 6, 8):
            sums = sums_of(np.where((TYPES == centre)[:, np.newaxis], ATOMS, 0.0), COUNTS)
            chosen = np.unique(ROWS[TYPES == centre, 0])
            blocks.append(MtsBlock(sums[chosen], labels(["system"], chosen)))
        assert any(len(block.values) < len(COUNTS) for block in blocks)
        write_mts(Path("f.mts"), labels(["center_type"], [1, 6, 8]), blocks)

    def test_sums_are_added_up(self):
        import_features(request("f.mts", "sum"))
        with open_store("o.h5") as store:
            assert store.convention == "sum"
            np.testing.assert_allclose(
                store.structures.read(0, 5), sums_of(ATOMS, COUNTS), rtol=1e-13
            )

    def test_means_are_refused(self):
        with pytest.raises(RequestError, match="cannot be added up to means") as caught:
            import_features(request("f.mts", "mean"))
        assert "keys_to_samples" in str(caught.value)


class TestTables:
    @staticmethod
    def save(content: object) -> None:
        Path("f.pkl").write_bytes(pickle.dumps(content))

    def test_list_of_arrays(self):
        self.save(np.split(ATOMS, OFFSETS[1:-1]))
        summary = import_features(request("f.pkl", allow_pickle=True))
        assert summary.convention == "per-atom"
        with open_store("o.h5") as store:
            np.testing.assert_array_equal(store.atoms.read(0, len(ATOMS)), ATOMS)

    def test_type_is_kept(self):
        self.save([part.astype(np.float32) for part in np.split(ATOMS, OFFSETS[1:-1])])
        summary = import_features(request("f.pkl", allow_pickle=True))
        assert summary.dtype == "float32"

    @pytest.mark.parametrize("convention", ["sum", "mean"])
    def test_one_vector_per_structure(self, convention):
        rows = sums_of(ATOMS, COUNTS)
        self.save({"mean": list(rows), "x": [1] * 5})
        import_features(request("f.pkl", convention, allow_pickle=True, array="mean"))
        with h5py.File("o.h5") as file:
            assert file.attrs["convention"] == convention
            np.testing.assert_array_equal(file["structures/features"][...], rows)

    def test_one_vector_per_atom(self):
        self.save(ATOMS)
        import_features(request("f.pkl", allow_pickle=True))
        with open_store("o.h5") as store:
            np.testing.assert_array_equal(store.atoms.read(0, len(ATOMS)), ATOMS)

    def test_arrays_of_atoms_are_no_sums(self):
        self.save(np.split(ATOMS, OFFSETS[1:-1]))
        with pytest.raises(FeatureError, match="does not fit --convention sum"):
            import_features(request("f.pkl", "sum", allow_pickle=True))

    def test_convention_is_stated(self):
        self.save(np.split(ATOMS, OFFSETS[1:-1]))
        with pytest.raises(RequestError, match="convention of the features is not stated"):
            import_features(request("f.pkl", None, allow_pickle=True))

    @pytest.mark.parametrize(
        ("cells", "match"),
        [
            ([np.ones((2, 3)), np.ones((2, 4))], "do not go together"),
            ([np.ones((2, 3)), np.ones(3)], "do not go together"),
            ([None, None], "are all empty"),
        ],
    )
    def test_cells_that_do_not_go_together(self, cells, match):
        self.save(cells)
        with pytest.raises(FeatureError, match=match):
            import_features(request("f.pkl", allow_pickle=True))

    def test_empty_vectors_are_left_out(self, caplog):
        rows = sums_of(ATOMS, COUNTS)
        self.save([None, *rows[1:]])
        wish = request("f.pkl", "sum", allow_pickle=True, skip_invalid=True)
        summary = import_features(wish)
        assert summary.skipped == (0,)
        assert "1 row of the table is empty" in summary.notes
        with open_store("o.h5") as store:
            np.testing.assert_array_equal(store.structures.read(0, 4), rows[1:])

    def test_table_of_text(self):
        pandas = pytest.importorskip("pandas")
        rows = sums_of(ATOMS, COUNTS)
        names = [f"f{i}" for i in range(4)]
        pandas.DataFrame(rows, columns=names).assign(x=1.0).to_csv("f.csv")
        import_features(request("f.csv", "sum", array="f*"))
        with open_store("o.h5") as store:
            np.testing.assert_array_equal(store.structures.read(0, 5), rows)
