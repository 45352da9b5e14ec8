from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from builders import counts_of, gradients_of, write_store
from hypothesis import given, settings
from hypothesis import strategies as st

from prcli.data import gradient_checks, gradients
from prcli.data.digests import content_digest_of
from prcli.data.features import Features
from prcli.data.gradients import FORCE, GRADIENT_KINDS, STRESS, GradientShape, GradientTable
from prcli.data.store import StoreWriter, open_store
from prcli.errors import FeatureError, FormatError, InputFileError

N_ATOMS = np.array([1, 2, 1])
STRUCTURES = np.arange(12.0).reshape(3, 4) / 7
#: Forces and stress of structure 0, forces of 1, stress of 2.
KIND = np.array([FORCE] * 3 + [STRESS] * 6 + [FORCE] * 6 + [STRESS] * 6, dtype=np.uint8)
STRUCTURE = np.array([0] * 9 + [1] * 6 + [2] * 6)
ROWS = np.random.default_rng(0).normal(size=(21, 4))
GRADIENTS = {"gradients": ROWS, "gradient_kind": KIND, "gradient_structure": STRUCTURE}


def features(**changes: Any) -> Features:
    return Features(STRUCTURES, n_atoms=N_ATOMS, **(GRADIENTS | changes))


def table_of(**changes: Any) -> GradientTable:
    table = features(**changes).gradients
    assert table is not None
    return table


def writer(path: Path, shape: GradientShape | None = None, **changes: Any) -> StoreWriter:
    parts: dict[str, Any] = {
        "n_atoms": N_ATOMS,
        "n_features": 4,
        "dtype": "f8",
        "convention": "mean",
        "gradients": shape or GradientShape(KIND, STRUCTURE, "f8"),
    }
    return StoreWriter(path, **(parts | changes))


def write(path: Path, dtype: str = "f8", rows: np.ndarray = ROWS) -> Path:
    with writer(path, GradientShape(KIND, STRUCTURE, dtype)) as store:
        store.write_structures(0, STRUCTURES)
        store.write_gradients(0, rows)
    return path


def foreign(path: Path, **changes: Any) -> Path:
    """Write gradient rows as another program would; None leaves a dataset out."""
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "prcli-features"
        file.attrs["version"] = 1
        file.attrs["convention"] = "mean"
        file["structures/n_atoms"] = N_ATOMS
        file["structures/features"] = STRUCTURES
        given = {"rows": ROWS, "kind": KIND, "structure": STRUCTURE} | changes
        group = file.create_group("gradients")
        for name, values in given.items():
            if name == "reduced":
                group.attrs[name] = values
            elif values is not None:
                group[name] = values
    return path


def test_kinds_have_codes() -> None:
    assert GRADIENT_KINDS == {"force": 1, "stress": 2}


def test_no_gradients() -> None:
    assert Features(STRUCTURES).gradients is None


def test_rows_of_each_structure_are_found() -> None:
    table = table_of()
    assert table.n_structures == 3
    assert not table.reduced
    assert table.offsets.tolist() == [0, 9, 15, 21]
    assert table.offsets.dtype == np.int64
    assert table.counts("force").tolist() == [3, 6, 0]
    assert table.counts("stress").tolist() == [6, 0, 6]
    np.testing.assert_array_equal(table.rows.read(9, 15), ROWS[9:15])


def test_kinds_that_are_absent() -> None:
    forces = table_of(**gradients_of(N_ATOMS, 4, stresses=[]))
    assert forces.has("force")
    assert not forces.has("stress")


def test_empty_arrays_are_no_rows() -> None:
    table = table_of(gradients=np.empty((0, 4)), gradient_kind=[], gradient_structure=[])
    assert table.offsets.tolist() == [0, 0, 0, 0]
    assert not table.has("force")


def test_original_counts_of_all_rows_are_the_counts() -> None:
    table = table_of()
    for kind in GRADIENT_KINDS:
        assert table.original_counts(kind, N_ATOMS).tolist() == table.counts(kind).tolist()


def test_original_counts_of_reduced_rows() -> None:
    table = table_of(**gradients_of(N_ATOMS, 4, stresses=[1], reduced=True))
    assert table.reduced
    assert table.counts("force").tolist() == [3, 4, 3]
    assert table.original_counts("force", N_ATOMS).tolist() == [3, 6, 3]
    assert table.counts("stress").tolist() == [0, 4, 0]
    assert table.original_counts("stress", N_ATOMS).tolist() == [0, 6, 0]


@settings(deadline=None)
@given(
    n_atoms=st.lists(st.integers(1, 4), min_size=1, max_size=8),
    span=st.integers(1, 7),
    data=st.data(),
)
def test_counts_in_spans_equal_counts_one_by_one(
    n_atoms: list[int], span: int, data: st.DataObject
) -> None:
    counts = np.array(n_atoms)
    chosen = st.sets(st.integers(0, len(counts) - 1))
    given = gradients_of(
        counts, 4, forces=list(data.draw(chosen)), stresses=list(data.draw(chosen))
    )
    with pytest.MonkeyPatch.context() as patch:
        for module in (gradients, gradient_checks):
            patch.setattr(module, "ROWS_AT_A_TIME", span)
        table = Features(np.ones((len(counts), 4)), n_atoms=counts, **given).gradients
    assert table is not None
    pairs = list(zip(given["gradient_structure"], given["gradient_kind"], strict=True))
    for kind, code in GRADIENT_KINDS.items():
        expected = [pairs.count((i, code)) for i in range(len(counts))]
        assert table.counts(kind).tolist() == expected
    before = [sum(i < k for i, _ in pairs) for k in range(len(counts) + 1)]
    assert table.offsets.tolist() == before


def changed(values: np.ndarray, **at: int) -> np.ndarray:
    """Set element `row` to `to`."""
    result = values.astype(np.int64)
    result[at["row"]] = at["to"]
    return result


#: Arrays that do not fit, as of `Features`, and what is said.
MISFITS: list[tuple[dict[str, Any], str]] = [
    ({"gradients": ROWS[:, :3]}, r"differ in width[\s\S]*4 columns[\s\S]*got: +3"),
    ({"gradients": ROWS[0]}, r"misshaped[\s\S]*\(M, 4\)"),
    ({"gradients": ROWS.astype(complex)}, "unsuitable type[\\s\\S]*complex128"),
    ({"gradients": ROWS.astype(np.float16)}, "unsuitable type"),
    ({"gradients": ROWS[:-1]}, r"kinds of gradient rows do not fit[\s\S]*\(20,\)"),
    ({"gradient_kind": KIND[:-1]}, r"kinds of gradient rows do not fit[\s\S]*\(21,\)"),
    ({"gradient_kind": KIND[:, np.newaxis]}, "kinds of gradient rows do not fit"),
    ({"gradient_kind": KIND.astype(float)}, "one integer per row[\\s\\S]*float64"),
    ({"gradient_structure": STRUCTURE[1:]}, "structures of gradient rows do not fit"),
    ({"gradient_structure": STRUCTURE.astype(float)}, "one integer per row[\\s\\S]*float64"),
    ({"gradient_kind": changed(KIND, row=4, to=3)}, "kind .*unknown[\\s\\S]*row 4[\\s\\S]*got: +3"),
    ({"gradient_kind": changed(KIND, row=4, to=258)}, "unknown[\\s\\S]*row 4[\\s\\S]*got: +258"),
    ({"gradient_kind": np.zeros(21, np.uint8)}, "unknown[\\s\\S]*row 0[\\s\\S]*got: +0"),
    (
        {"gradient_structure": changed(STRUCTURE, row=12, to=0)},
        r"not grouped by structure[\s\S]*row 12[\s\S]*structure 1 or a later[\s\S]*structure 0",
    ),
    (
        {"gradient_kind": KIND[np.r_[3:9, 0:3, 9:21]]},
        "force row follows a stress row.*[\\s\\S]*row 6",
    ),
    ({"gradient_structure": STRUCTURE + 1}, "not there[\\s\\S]*row 20[\\s\\S]*structures 0 to 2"),
    ({"gradient_structure": STRUCTURE - 1}, "not there[\\s\\S]*row 0[\\s\\S]*structure -1"),
    (
        {"gradient_structure": changed(STRUCTURE, row=9, to=0), "gradient_kind": [1] * 21},
        "force rows does not fit[\\s\\S]*structure 0[\\s\\S]*3 force rows or none, 3 for each of 1 "
        "atoms[\\s\\S]*got: +10",
    ),
    (
        {"gradients": ROWS[:-1], "gradient_kind": KIND[:-1], "gradient_structure": STRUCTURE[:-1]},
        r"stress rows does not fit[\s\S]*structure 2[\s\S]*6 stress rows or none[\s\S]*got: +5",
    ),
]


@pytest.mark.parametrize(("changes", "message"), MISFITS)
def test_misfits_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FeatureError, match=message) as caught:
        features(label="train", **changes)
    assert "train" in str(caught.value.where)


@pytest.mark.parametrize("span", range(1, 13))
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gradient_structure": changed(STRUCTURE, row=12, to=0)}, "not grouped by structure"),
        ({"gradient_kind": KIND[np.r_[3:9, 0:3, 9:21]]}, "force row follows a stress row"),
    ],
)
def test_rows_out_of_order_are_found_between_spans(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str, span: int
) -> None:
    monkeypatch.setattr(gradient_checks, "ROWS_AT_A_TIME", span)
    with pytest.raises(FeatureError, match=message):
        features(**changes)


@pytest.mark.parametrize("absent", GRADIENTS)
def test_all_three_arrays_are_needed(absent: str) -> None:
    with pytest.raises(FeatureError, match="gradients, gradient_kind and gradient_structure"):
        features(**{absent: None})


def test_reduced_rows_that_are_not_declared_get_a_hint() -> None:
    reduced = gradients_of(N_ATOMS, 4, stresses=[], reduced=True)
    with pytest.raises(FeatureError, match="structure 1[\\s\\S]*reduced = true"):
        features(**(reduced | {"gradients_reduced": False}))


def test_full_rows_that_are_declared_reduced_are_refused() -> None:
    full = gradients_of(N_ATOMS, 4, forces=[])
    with pytest.raises(FeatureError, match="4 stress rows or none, 6 reduced to one per feature"):
        features(**(full | {"gradients_reduced": True}))


def test_nan_is_placed_in_memory() -> None:
    rows = ROWS.copy()
    rows[11, 2] = np.nan
    with pytest.raises(FeatureError, match="gradient row 2 of structure 1, column 2"):
        features(gradients=rows)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_round_trip(tmp_path: Path, dtype: str) -> None:
    with open_store(write(tmp_path / "s.h5", dtype)) as store:
        table = store.gradients
        assert table is not None
        assert table.rows.dtype == np.dtype(dtype)
        assert table.kind.dtype == np.uint8
        assert table.structure.dtype == np.int64
        np.testing.assert_array_equal(table.rows.read(0, 21), ROWS.astype(dtype))
        np.testing.assert_array_equal(table.kind, KIND)
        np.testing.assert_array_equal(table.structure, STRUCTURE)
        assert store.column_names == ()


def test_mapped_rows_are_views_that_outlive_the_store(tmp_path: Path) -> None:
    given = gradients_of(counts_of(600), 3)
    with open_store(write_store(tmp_path / "s.h5", 600, gradients=given)) as store:
        table = store.gradients
        assert table is not None
    first = table.rows.read(0, table.n_rows)
    assert np.shares_memory(first, table.rows.read(5, 6))
    for array in (first, table.kind, table.structure):
        assert not array.flags.writeable
        assert not array.flags.owndata
    np.testing.assert_array_equal(first, given["gradients"])


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("reduced", [False, True])
def test_content_digest_equals_that_of_the_arrays(
    tmp_path: Path, dtype: str, reduced: bool
) -> None:
    given = gradients_of(N_ATOMS, 4, stresses=[1], reduced=reduced)
    given["gradients"] = given["gradients"].astype(dtype)
    shape = GradientShape(given["gradient_kind"], given["gradient_structure"], dtype, reduced)
    with writer(tmp_path / "s.h5", shape) as store:
        store.write_structures(0, STRUCTURES)
        store.write_gradients(0, given["gradients"])
    with open_store(tmp_path / "s.h5") as opened:
        assert opened.content_digest == content_digest_of(opened)
        assert opened.content_digest == features(**given).content_digest


def test_content_digest_without_gradients_is_that_of_earlier_versions() -> None:
    known = "blake2b-rows:e6b6a930ddd1d6d02000c8d9e227d7e8"
    assert Features(STRUCTURES, n_atoms=N_ATOMS).content_digest == known
    none = {"gradients": ROWS[:0], "gradient_kind": [], "gradient_structure": []}
    assert features(**none).content_digest == known


def digest_of_six_columns(**changes: Any) -> str | None:
    """Digest of forces of structures 0 and 1 and stress of 2, as many rows each."""
    given: dict[str, Any] = {
        "gradients": np.arange(108.0).reshape(18, 6),
        "gradient_kind": np.repeat([FORCE, FORCE, STRESS], 6),
        "gradient_structure": np.repeat([0, 1, 2], 6),
    }
    return Features(np.ones((3, 6)), n_atoms=[2, 2, 2], **(given | changes)).content_digest


@pytest.mark.parametrize(
    "change",
    [
        {"gradients": np.arange(1.0, 109.0).reshape(18, 6)},
        {"gradients": np.float32(np.arange(108.0).reshape(18, 6))},
        {"gradient_kind": np.repeat([STRESS, FORCE, STRESS], 6)},
        {"gradient_structure": np.repeat([0, 1, 1], 6)},
        {"gradients": None, "gradient_kind": None, "gradient_structure": None},
        {"gradients_reduced": True},
    ],
)
def test_content_digest_covers(change: dict[str, Any]) -> None:
    assert digest_of_six_columns() == digest_of_six_columns()
    assert digest_of_six_columns(**change) != digest_of_six_columns()


def test_row_digests_do_not_cover_gradients(tmp_path: Path) -> None:
    with open_store(write(tmp_path / "s.h5")) as store:
        assert store.digests is not None
        assert features().digests is not None
        bare = Features(STRUCTURES, n_atoms=N_ATOMS).digests
        assert bare is not None
        assert store.digests.tolist() == bare.tolist()


@settings(deadline=None, max_examples=40)
@given(data=st.data(), n_atoms=st.lists(st.integers(1, 3), min_size=1, max_size=5))
def test_blocks_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, n_atoms: list[int]
) -> None:
    counts = np.array(n_atoms)
    chosen = st.sets(st.integers(0, len(counts) - 1))
    given = gradients_of(
        counts, 4, forces=list(data.draw(chosen)), stresses=list(data.draw(chosen))
    )
    rows = given["gradients"]
    shape = GradientShape(given["gradient_kind"], given["gradient_structure"], "f8")
    path = tmp_path_factory.getbasetemp() / "blocks.h5"
    with writer(path, shape, n_atoms=counts, overwrite=True) as store:
        store.write_structures(0, np.ones((len(counts), 4)))
        cuts = sorted(data.draw(st.sets(st.integers(0, len(rows)))) | {0, len(rows)})
        spans = list(zip(cuts[:-1], cuts[1:], strict=True))
        for start, stop in data.draw(st.permutations(spans)):
            store.write_gradients(start, rows[start:stop])
    with open_store(path) as opened:
        assert opened.gradients is not None
        np.testing.assert_array_equal(opened.gradients.rows.read(0, len(rows)), rows)
        assert opened.content_digest == content_digest_of(opened)


def test_long_structures_are_hashed_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "s.h5")
    monkeypatch.setattr("prcli.data.digests._BLOCK_BYTES", 4 * 4 * 8)
    with open_store(path) as store:
        assert content_digest_of(store) == store.content_digest


def test_equal_input_gives_equal_bytes_whatever_the_order(tmp_path: Path) -> None:
    first = write(tmp_path / "a.h5")
    with writer(tmp_path / "b.h5") as store:
        store.write_gradients(5, ROWS[5:])
        store.write_structures(0, STRUCTURES)
        store.write_gradients(0, ROWS[:5])
    assert (tmp_path / "b.h5").read_bytes() == first.read_bytes()


def test_missing_rows_are_not_published(tmp_path: Path) -> None:
    store = writer(tmp_path / "s.h5").__enter__()
    store.write_structures(0, STRUCTURES)
    store.write_gradients(0, ROWS[:4])
    with pytest.raises(FeatureError, match="gradient rows are incomplete[\\s\\S]*row 4 was never"):
        store.__exit__(None, None, None)
    assert os.listdir(tmp_path) == []


def test_rows_cannot_be_written_twice(tmp_path: Path) -> None:
    with writer(tmp_path / "s.h5") as store:
        store.write_structures(0, STRUCTURES)
        store.write_gradients(0, ROWS[:3])
        with pytest.raises(ValueError, match="rows 2:4 were written before"):
            store.write_gradients(2, ROWS[2:4])
        store.write_gradients(3, ROWS[3:])


def test_undeclared_rows_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="declared without gradient rows"),
        writer(tmp_path / "s.h5", gradients=None) as store,
    ):
        store.write_gradients(0, ROWS)


def test_nan_is_placed_in_writing(tmp_path: Path) -> None:
    rows = ROWS[9:].copy()
    rows[1, 3] = np.inf
    with (
        pytest.raises(FeatureError, match="s.h5, gradient row 1 of structure 1, column 3"),
        writer(tmp_path / "s.h5") as store,
    ):
        store.write_gradients(9, rows)
    assert os.listdir(tmp_path) == []


def test_value_beyond_float32_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="gradient row 0 of structure 0[\\s\\S]*inf"):
        write(tmp_path / "s.h5", "f4", np.full((21, 4), 1e200))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (GradientShape(KIND, STRUCTURE, "f2"), "float32 or float64"),
        (GradientShape(KIND[1:], STRUCTURE, "f8"), "do not fit the rows"),
        (GradientShape(KIND, STRUCTURE + 1, "f8"), "a structure that is not there"),
        (GradientShape(KIND, STRUCTURE, "f8", reduced=True), "reduced to one per feature"),
        (GradientShape(KIND, STRUCTURE[::-1], "f8"), "not grouped by structure"),
    ],
)
def test_misfits_are_refused_before_anything_is_written(
    tmp_path: Path, shape: GradientShape, message: str
) -> None:
    with pytest.raises(FeatureError, match=message):
        writer(tmp_path / "s.h5", shape)
    assert os.listdir(tmp_path) == []


def test_size_counts_rows_and_what_tells_them_apart(tmp_path: Path) -> None:
    without = writer(tmp_path / "s.h5", gradients=None).n_bytes
    assert writer(tmp_path / "s.h5").n_bytes - without == 21 * (4 * 8 + 1 + 8)


def test_store_of_another_program(tmp_path: Path) -> None:
    with open_store(foreign(tmp_path / "s.h5")) as store:
        assert store.gradients is not None
        assert not store.gradients.reduced
        assert store.gradients.counts("force").tolist() == [3, 6, 0]
        assert store.content_digest is None


@pytest.mark.parametrize("flag", [True, 1, np.array([1], "u1")])
def test_reduced_is_read_in_several_spellings(tmp_path: Path, flag: Any) -> None:
    given = gradients_of(N_ATOMS, 4, reduced=True)
    path = foreign(
        tmp_path / "s.h5",
        rows=given["gradients"],
        kind=given["gradient_kind"],
        structure=given["gradient_structure"],
        reduced=flag,
    )
    with open_store(path) as store:
        assert store.gradients is not None
        assert store.gradients.reduced


def test_big_endian_chunked_compressed_rows(tmp_path: Path) -> None:
    path = foreign(tmp_path / "s.h5", rows=None, kind=None, structure=None)
    options = {"compression": "gzip", "shuffle": True}
    with h5py.File(path, "a") as file:
        group = file["gradients"]
        group.create_dataset("rows", data=ROWS.astype(">f4"), chunks=(5, 3), **options)
        group.create_dataset("kind", data=KIND.astype(">i2"), chunks=(4,), **options)
        group.create_dataset("structure", data=STRUCTURE.astype(">u4"), chunks=(4,), **options)
    with open_store(path) as store:
        table = store.gradients
        assert table is not None
        assert table.rows.dtype == np.dtype("=f4")
        np.testing.assert_array_equal(
            table.rows.take(np.array([20, 3])), ROWS[[20, 3]].astype("f4")
        )
        assert table.kind.dtype == np.uint8
        np.testing.assert_array_equal(table.kind, KIND)
        np.testing.assert_array_equal(table.structure, STRUCTURE)
        assert table.structure.dtype == np.dtype("=i8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": None}, "incomplete[\\s\\S]*gradients/rows[\\s\\S]*got: +kind, structure"),
        ({"kind": None}, "incomplete[\\s\\S]*gradients/kind"),
        ({"structure": None}, "incomplete[\\s\\S]*gradients/structure"),
        ({"rows": None, "kind": None, "structure": None}, "got: +an empty group"),
        ({"reduced": "yes"}, "attribute reduced is neither true nor false[\\s\\S]*yes"),
        ({"reduced": 2}, "attribute reduced is neither true nor false"),
        ({"reduced": [1, 0]}, "attribute reduced is neither true nor false"),
    ]
    + [
        ({name.removeprefix("gradient_").replace("gradients", "rows"): value}, message)
        for changes, message in MISFITS
        if len(changes) == 1
        for name, value in changes.items()
    ],
)
def test_malformed_groups_are_refused(tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        _ = open_store(foreign(tmp_path / "s.h5", **changes)).gradients
    assert "s.h5" in str(caught.value.where)


def test_gradients_that_are_no_group_are_refused(tmp_path: Path) -> None:
    path = foreign(tmp_path / "s.h5", rows=None, kind=None, structure=None)
    with h5py.File(path, "a") as file:
        del file["gradients"]
        file["gradients"] = ROWS
    with pytest.raises(FormatError, match="gradients are not a group"):
        open_store(path)


def test_order_is_checked_when_gradients_are_asked_for(tmp_path: Path) -> None:
    with open_store(foreign(tmp_path / "s.h5", structure=STRUCTURE[::-1])) as store:
        assert store.structures is not None
        store.label = "renamed"
        with pytest.raises(FormatError, match="not grouped by structure[\\s\\S]*renamed"):
            _ = store.gradients


def damaged(name: str) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        values = {"rows": ROWS, "kind": KIND}[name]
        foreign(path, **{name: None})
        with h5py.File(path, "a") as file:
            dataset = file["gradients"].create_dataset(
                name, data=values, chunks=values.shape, compression="gzip"
            )
            start = dataset.id.get_chunk_info(0).byte_offset
        with open(path, "r+b") as raw:
            raw.seek(start)
            raw.write(b"\xff" * 8)
        return path

    return make


def test_damaged_kinds_are_noticed(tmp_path: Path) -> None:
    with (
        open_store(damaged("kind")(tmp_path / "s.h5")) as store,
        pytest.raises(InputFileError, match="damaged"),
    ):
        _ = store.gradients


def test_damaged_rows_are_noticed_when_read(tmp_path: Path) -> None:
    with open_store(damaged("rows")(tmp_path / "s.h5")) as store:
        assert store.gradients is not None
        with pytest.raises(InputFileError, match="damaged"):
            store.gradients.rows.read(0, 1)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    content = write(tmp_path / "s.h5").read_bytes()
    path = tmp_path / "cut.h5"
    for size in range(1, len(content), 97):
        path.write_bytes(content[:size])
        with pytest.raises((InputFileError, FormatError)):
            open_store(path)


def test_builder_writes_what_it_says(tmp_path: Path) -> None:
    given = gradients_of(counts_of(8), 3)
    with open_store(write_store(tmp_path / "s.h5", gradients=given)) as store:
        assert store.gradients is not None
        assert store.gradients.counts("force").tolist() == (3 * counts_of(8)).tolist()
