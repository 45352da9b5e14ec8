"""Files that other programs wrote themselves; ``import_files/README.md`` says how."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from mts_file import MtsBlock, labels, range_labels, write_mts

from prcli.data.store import open_store
from prcli.errors import FeatureError, FormatError, InputFileError, RequestError
from prcli.records import Block
from prcli.workflows import import_rows
from prcli.workflows.features_import import import_features
from prcli.workflows.import_profiles import PROFILES, find_profile
from prcli.workflows.import_request import ImportRequest

FILES = Path(__file__).parent / "import_files"
#: Atoms of the structures of pool.xyz and of deepmd.xyz, and their atomic numbers.
COUNTS = np.array([8, 2, 2, 1])
NUMBERS = np.array([14, 6, 14, 14, 6, 14, 14, 14, 6, 6, 14, 6, 6])
DEEPMD_COUNTS = np.array([8, 8, 8, 2, 2])
DEEPMD_NUMBERS = np.concatenate([np.tile(NUMBERS[:8], 3), [6] * 4])
MACE = np.load(FILES / "mace_exact.npy")
METATRAIN = np.load(FILES / "metatrain_exact.npz")
DEEPMD = np.load(FILES / "deepmd_exact.npz")
SYSTEMS = ("mixed", "diamond")
#: Structures of the systems have positions of full precision, those of the xyz file 8 decimals.
POSITIONS = {"rtol": 1e-7, "atol": 1e-9}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(FILES, tmp_path, dirs_exist_ok=True)


def grace_features(count: int) -> np.ndarray:
    rng = np.random.default_rng(count)
    rng.random(count)
    return rng.normal(size=(count, 5))


GRACE = np.concatenate([grace_features(int(count)) for count in COUNTS])


def sums(atoms: np.ndarray, counts: np.ndarray = COUNTS) -> np.ndarray:
    return np.add.reduceat(atoms, np.cumsum(counts) - counts)


def means(atoms: np.ndarray, counts: np.ndarray = COUNTS) -> np.ndarray:
    return sums(atoms, counts) / counts[:, np.newaxis]


def spread(atoms: np.ndarray, numbers: np.ndarray = NUMBERS) -> np.ndarray:
    """Carbon's columns, then silicon's."""
    return np.hstack([np.where((numbers == z)[:, np.newaxis], atoms, 0.0) for z in (6, 14)])


def run(structures: str, program: str, **given: object):
    request = ImportRequest(structures, "o.h5", program=program, overwrite=True, **given)
    summary = import_features(request)
    store = open_store("o.h5")
    return store, summary


def refused(error: type[Exception], match: str, structures: str, program: str, **given: object):
    with pytest.raises(error, match=match) as caught:
        run(structures, program, **given)
    assert not Path("o.h5").exists()
    return str(caught.value)


def check_atoms(store, atoms: np.ndarray, rtol: float = 0.0, atol: float = 0.0) -> None:
    np.testing.assert_allclose(store.atoms.read(0, len(atoms)), atoms, rtol=rtol, atol=atol)


def check_structures(store, rows: np.ndarray, convention: str, rtol: float = 1e-12) -> None:
    assert store.convention == convention
    assert store.atoms is None
    np.testing.assert_allclose(
        store.structures.read(0, len(rows)), rows, rtol=rtol, atol=1e-13 * np.abs(rows).max()
    )


class TestMace:
    def test_column(self) -> None:
        store, summary = run("mace_atoms.xyz", "mace")
        assert summary.convention == "per-atom"
        assert any("8 decimals" in note for note in summary.notes)
        assert store.feature_kind == "descriptor"
        check_atoms(store, MACE, atol=0.51e-8)

    def test_mean(self) -> None:
        store, _ = run("mace_mean.xyz", "mace")
        check_structures(store, means(MACE), "mean")
        assert store.feature_kind == "descriptor"

    def test_means_of_elements_are_weighted(self) -> None:
        store, summary = run("mace_element_means.xyz", "mace")
        check_structures(store, means(MACE), "mean")
        assert summary.notes == (
            "means of elements weighted by their share of the atoms, and added up",
        )

    def test_means_of_elements_apart(self) -> None:
        store, _ = run("mace_element_means.xyz", "mace", per_species=True)
        check_structures(store, means(spread(MACE)), "mean")
        assert store.blocks == (Block("C", 8), Block("Si", 8))
        # No atom, no share.
        assert not store.structures.read(1, 2)[0, 8:].any()

    def test_listed_elements_get_columns(self) -> None:
        store, _ = run(
            "mace_element_means.xyz",
            "mace",
            per_species=True,
            species=("Si", "H", "C"),
            blocks="a:3,b:5",
        )
        rows = means(spread(MACE))
        check_structures(store, np.hstack([np.zeros((4, 8)), rows]), "mean")
        assert [block.name for block in store.blocks][:3] == ["H/a", "H/b", "C/a"]

    def test_list_of_the_selection(self) -> None:
        given = {"features": "mace_pool_descriptors.npy", "allow_pickle": True}
        store, _ = run("pool.xyz", "mace", **given)
        check_structures(store, means(MACE), "mean")
        store, _ = run("pool.xyz", "mace", per_species=True, **given)
        check_structures(store, means(spread(MACE)), "mean")

    def test_list_is_a_pickle(self) -> None:
        message = refused(
            FormatError, "pickled", "pool.xyz", "mace", features="mace_pool_descriptors.npy"
        )
        assert "--allow-pickle" in message

    def test_list_of_other_structures(self) -> None:
        given = {"features": "mace_pool_descriptors.npy", "allow_pickle": True}
        assert "passed its filter" in refused(
            FeatureError, "another number", "pool.xyz@:3", "mace", **given
        )
        assert "C, Si" in refused(FeatureError, "other elements", "pool.xyz@::-1", "mace", **given)

    def test_other_name_of_the_key(self) -> None:
        text = Path("mace_mean.xyz").read_text().replace("MACE_descriptors", "my_descriptors")
        Path("my.xyz").write_text(text)
        assert "my_descriptors" in refused(FeatureError, "is absent", "my.xyz", "mace")
        store, _ = run("my.xyz", "mace", feature_key="my_descriptors")
        check_structures(store, means(MACE), "mean")

    @pytest.mark.parametrize("name", ["mace_mean.xyz", "mace_element_means.xyz", "mace_atoms.xyz"])
    def test_sums_contradict(self, name: str) -> None:
        refused(RequestError, "another convention", name, "mace", convention="sum")

    def test_other_files(self) -> None:
        np.save("x.npy", MACE)
        message = refused(RequestError, "no such file", "pool.xyz", "mace", features="x.npy")
        assert "--convention per-atom" in message
        refused(InputFileError, "cannot be read", "pool.xyz", "mace", features="absent.npy")


class TestCarriedFeatures:
    """Features of a file that a program wrote, for the frames that it was given."""

    @pytest.mark.parametrize(
        ("program", "name", "rows"),
        [
            ("mace", "mace_mean.xyz", means(MACE)),
            ("mace", "mace_element_means.xyz", means(MACE)),
            ("metatrain", "metatrain.xyz", sums(METATRAIN["last_layer"])),
        ],
    )
    @pytest.mark.parametrize("n_bytes", [1, 1 << 24])
    def test_structures_are_ours(self, monkeypatch, program, name, rows, n_bytes) -> None:
        monkeypatch.setattr(import_rows, "_BLOCK_BYTES", n_bytes)
        store, _ = run("pool.xyz", program, features=name, columns=("id",))
        check_structures(store, rows, "sum" if program == "metatrain" else "mean")
        assert store.source.typed == ("pool.xyz",)
        assert store.column("id").tolist() == ["007", "a7", "8", "9"]

    @pytest.mark.parametrize("n_bytes", [1, 600, 1 << 24])
    def test_columns_of_elements(self, monkeypatch, n_bytes) -> None:
        monkeypatch.setattr(import_rows, "_BLOCK_BYTES", n_bytes)
        store, _ = run("pool.xyz", "mace", features="mace_atoms.xyz", per_species=True)
        check_atoms(store, spread(MACE), atol=0.51e-8)
        given = {"per_species": True, "blocks": "a:3,b:5"}
        store, _ = run("pool.xyz", "mace", features="mace_element_means.xyz", **given)
        check_structures(store, means(spread(MACE)), "mean")
        assert [block.name for block in store.blocks] == ["C/a", "C/b", "Si/a", "Si/b"]

    @pytest.mark.parametrize(
        ("old", "new", "got"),
        [
            ("\nC ", "\nSi ", "other elements"),
            ("1.78500000", "1.79500000", "atoms in other places"),
        ],
    )
    def test_other_structures(self, old: str, new: str, got: str) -> None:
        text = Path("pool.xyz").read_text()
        if got.startswith("atoms"):
            old = text.splitlines()[2].split()[1]
            new = f"{float(old) + 0.01:.8f}"
        assert old in text
        Path("other.xyz").write_text(text.replace(old, new, 1))
        given = {"features": "mace_mean.xyz"}
        message = refused(FeatureError, "another structure", "other.xyz", "mace", **given)
        assert "mace_mean.xyz, frame 0" in message
        assert got in message

    def test_other_numbers(self) -> None:
        given = {"features": "mace_mean.xyz"}
        message = refused(FeatureError, "another number of str", "pool.xyz@:3", "mace", **given)
        assert "expected: 3 structures, as pool.xyz" in message
        assert "got:      4 structures" in message

    def test_another_order(self) -> None:
        given = {"features": "mace_mean.xyz"}
        message = refused(FeatureError, "other structures", "pool.xyz@::-1", "mace", **given)
        assert "mace_mean.xyz, frame 0" in message
        assert "expected: 1 atom, as pool.xyz, frame 3" in message
        assert "got:      8 atoms" in message

    @pytest.mark.parametrize(
        ("program", "name"), [("mace", "mace_mean.xyz"), ("metatrain", "metatrain.xyz")]
    )
    def test_lost_keys_are_mentioned(self, caplog, program: str, name: str) -> None:
        with caplog.at_level("INFO"):
            run(name, program)
        assert f"import your own file with --features {name}" in caplog.text


class TestMetatrain:
    def test_last_layer_features_are_sums(self) -> None:
        store, summary = run(
            "pool.xyz", "metatrain", features="metatrain_energy_last_layer_features.mts"
        )
        assert summary.convention == "sum"
        assert store.feature_kind == "last-layer"
        check_structures(store, sums(METATRAIN["last_layer"]), "sum")

    def test_atoms_are_told_by_their_labels(self) -> None:
        name = "metatrain_atoms_last_layer_features.mts"
        store, summary = run("pool.xyz", "metatrain", features=name)
        assert summary.convention == "per-atom"
        assert store.feature_kind == "last-layer"
        check_atoms(store, METATRAIN["last_layer"])

    def test_features_of_atoms(self) -> None:
        store, _ = run("pool.xyz", "metatrain", features="metatrain_feature.mts")
        assert store.feature_kind == "descriptor"
        check_atoms(store, METATRAIN["feature"], rtol=1e-12)

    def test_xyz_with_double_colons(self) -> None:
        store, _ = run("metatrain.xyz", "metatrain")
        check_structures(store, sums(METATRAIN["last_layer"]), "sum")
        assert store.feature_kind == "last-layer"
        store, _ = run("metatrain.xyz", "metatrain", feature_key="feature")
        check_atoms(store, METATRAIN["feature"], atol=0.51e-8)
        assert store.feature_kind == "descriptor"

    def test_means_contradict(self) -> None:
        refused(
            RequestError,
            "another convention",
            "pool.xyz",
            "metatrain",
            features="metatrain_energy_last_layer_features.mts",
            convention="mean",
        )

    def test_features_of_mace_models(self) -> None:
        # Byte for byte as metatensor writes them, which data/test_formats_mts.py checks.
        keys = labels(["o3_lambda", "o3_sigma", "i_irrep"], [[0, 1, 0]])
        rows = sums(MACE)
        block = MtsBlock(rows[:, np.newaxis, :], range_labels("system", 4))
        write_mts(Path("energy_last_layer_features.mts"), keys, [block])
        store, _ = run("pool.xyz", "metatrain", features="energy_last_layer_features.mts")
        check_structures(store, rows, "sum", rtol=0)

    def test_output_of_another_kind(self, caplog) -> None:
        shutil.copy("metatrain_feature.mts", "cutoff_stats.mts")
        store, _ = run("pool.xyz", "metatrain", features="cutoff_stats.mts")
        assert "another kind than features" in caplog.text
        assert store.feature_kind is None

    def test_files_without_labels(self) -> None:
        np.save("x.npy", MACE)
        refused(RequestError, "no labels", "pool.xyz", "metatrain", features="x.npy")

    def test_no_last_layer_features_in_the_comment(self) -> None:
        message = refused(FeatureError, "no last-layer features", "pool.xyz", "metatrain")
        assert "config_type" in message

    def test_other_structures(self) -> None:
        refused(
            FeatureError,
            "another number of atoms",
            "pool.xyz@::-1",
            "metatrain",
            features="metatrain_feature.mts",
        )

    def test_rows_of_structures_have_no_elements(self) -> None:
        refused(
            RequestError,
            "cannot be taken apart",
            "metatrain.xyz",
            "metatrain",
            per_species=True,
        )


class TestDeepmd:
    def test_descriptors(self) -> None:
        given = {"features": "deepmd_desc", "systems": SYSTEMS}
        store, summary = run("deepmd.xyz", "deepmd", **given)
        assert summary.convention == "per-atom"
        assert store.feature_kind == "descriptor"
        check_atoms(store, DEEPMD["descriptor"], **POSITIONS)

    def test_one_system(self) -> None:
        store, _ = run("deepmd.xyz@3:", "deepmd", features="deepmd_desc/diamond.npy")
        check_atoms(store, DEEPMD["descriptor"][24:], **POSITIONS)

    @pytest.mark.parametrize("name", [None, "atomic_feature", "descriptor"])
    def test_embedding_of_atoms(self, name: str | None) -> None:
        given = {"features": "deepmd_embed.hdf5", "systems": SYSTEMS, "array": name}
        store, _ = run("deepmd.xyz", "deepmd", **given)
        expected = DEEPMD[name or "atomic_feature"]
        assert store.atoms.dtype == np.float32
        check_atoms(store, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
        assert store.feature_kind == ("descriptor" if name == "descriptor" else "last-layer")

    def test_embedding_of_structures_is_a_sum(self) -> None:
        store, _ = run(
            "deepmd.xyz",
            "deepmd",
            features="deepmd_embed.hdf5",
            array="structural_feature",
            systems=SYSTEMS,
        )
        check_structures(store, sums(DEEPMD["atomic_feature"], DEEPMD_COUNTS), "sum", rtol=1e-5)

    def test_columns_of_elements(self) -> None:
        given = {"features": "deepmd_embed.hdf5", "systems": SYSTEMS}
        plain, _ = run("deepmd.xyz", "deepmd", **given)
        rows = plain.atoms.read(0, 28)
        store, _ = run("deepmd.xyz", "deepmd", per_species=True, **given)
        check_atoms(store, spread(rows, DEEPMD_NUMBERS))
        assert store.blocks == (Block("C", 5), Block("Si", 5))
        assert store.feature_kind == "last-layer"

    def test_systems_are_sorted_by_name(self, caplog) -> None:
        message = refused(
            FeatureError, "another number of atoms", "deepmd.xyz", "deepmd", features="deepmd_desc"
        )
        assert "--system" in message
        assert "overwrites" in message
        # Slices put the structures in that order.
        frames = Path("deepmd.xyz").read_bytes().split(b"\n")
        Path("sorted.xyz").write_bytes(b"\n".join(frames[30:38] + frames[:30]) + b"\n")
        with caplog.at_level("INFO"):
            store, _ = run("sorted.xyz", "deepmd", features="deepmd_desc")
        assert "order of their names: diamond (2 frames), mixed (3 frames)" in caplog.text
        order = np.r_[24:28, :24]
        check_atoms(store, DEEPMD["descriptor"][order], **POSITIONS)

    def test_elements_are_compared(self) -> None:
        text = Path("deepmd.xyz").read_text()
        Path("other.xyz").write_text(text.replace("\nSi ", "\nGe ", 1))
        message = refused(
            FeatureError,
            "another element",
            "other.xyz",
            "deepmd",
            features="deepmd_embed.hdf5",
            systems=SYSTEMS,
        )
        assert "frame 0, atom 0" in message
        assert "Ge" in message

    def test_places_without_atoms(self) -> None:
        # As in systems of mixed types, whose smaller frames are filled up with type -1.
        types = np.array([[1, 0, -1], [0, -1, -1]], dtype=np.int32)
        values = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
        with h5py.File("mixed.hdf5", "w") as file:
            file.attrs["type_map"] = np.array(["C", "Si"], dtype=h5py.string_dtype())
            group = file.create_group("a")
            for name, array in (("atom_types", types), ("atomic_feature", values)):
                group.create_dataset(name, data=array, compression="gzip", shuffle=True)
        store, _ = run("pool.xyz@2:", "deepmd", features="mixed.hdf5")
        check_atoms(store, values[types >= 0])

    def test_same_atoms_in_two_systems_are_reported(self, caplog) -> None:
        shutil.copy("deepmd_desc/diamond.npy", "deepmd_desc/edge.npy")
        frames = Path("deepmd.xyz").read_bytes().split(b"\n")
        Path("s.xyz").write_bytes(b"\n".join(frames[30:38] * 2 + frames[:30]) + b"\n")
        run("s.xyz", "deepmd", features="deepmd_desc")
        assert "systems diamond and edge have the same atoms" in caplog.text
        caplog.clear()
        order = ("edge", "diamond", "mixed")
        run("s.xyz", "deepmd", features="deepmd_desc", systems=order)
        assert "same atoms" not in caplog.text

    @pytest.mark.parametrize(
        ("given", "error", "match"),
        [
            ({"features": "deepmd_desc", "systems": ("mixd",)}, RequestError, "'mixd' is not"),
            (
                {"features": "deepmd_desc", "systems": ("mixed", "mixed")},
                RequestError,
                "named twice",
            ),
            ({"features": "deepmd_desc", "systems": ("mixed",)}, FeatureError, "another number"),
            ({"features": "deepmd_embed.hdf5", "array": "x"}, RequestError, "no array 'x'"),
            ({"features": "mace_exact.npy"}, FeatureError, "not one of descriptors"),
            ({"features": "absent"}, InputFileError, "cannot be read"),
            ({}, RequestError, "needs a file"),
            ({"features": "deepmd_desc", "feature_key": "x"}, RequestError, "needs a file"),
        ],
    )
    def test_what_is_not_there(self, given, error, match) -> None:
        refused(error, match, "deepmd.xyz", "deepmd", **given)

    def test_folder_without_descriptors(self) -> None:
        Path("empty").mkdir()
        refused(FeatureError, "holds no descriptors", "deepmd.xyz", "deepmd", features="empty")

    def test_folder_without_a_program(self) -> None:
        message = refused(
            RequestError,
            "are a folder",
            "deepmd.xyz",
            "array",
            features="deepmd_desc",
            convention="per-atom",
        )
        assert "--from deepmd" in message

    def test_hdf5_of_another_program(self) -> None:
        with h5py.File("x.hdf5", "w") as file:
            file["a"] = MACE
        refused(FormatError, "not one of dp embed", "pool.xyz", "deepmd", features="x.hdf5")

    def test_systems_are_of_deepmd(self) -> None:
        refused(RequestError, "--system", "mace_mean.xyz", "mace", systems=("a",))


class TestGrace:
    def test_features(self) -> None:
        store, summary = run("pool.xyz", "grace", features="grace.pkl.gz", allow_pickle=True)
        assert summary.convention == "per-atom"
        assert store.feature_kind == "descriptor"
        check_atoms(store, GRACE)

    def test_is_a_pickle(self) -> None:
        message = refused(FormatError, "pickled", "pool.xyz", "grace", features="grace.pkl.gz")
        assert "--allow-pickle" in message

    def test_failed_predictions(self) -> None:
        given = {"features": "grace_failed.pkl.gz", "allow_pickle": True}
        message = refused(FeatureError, "not finite", "pool.xyz", "grace", **given)
        assert "frame 3, atom 0" in message
        store, summary = run("pool.xyz", "grace", skip_invalid=True, **given)
        assert summary.skipped == (3,)
        check_atoms(store, GRACE[:12])

    def test_structures_in_the_table_are_compared(self) -> None:
        text = Path("pool.xyz").read_text()
        Path("other.xyz").write_text(text.replace("\nSi ", "\nC ", 1))
        refused(
            FeatureError,
            "another element",
            "other.xyz",
            "grace",
            features="grace.pkl.gz",
            allow_pickle=True,
        )

    def test_other_structures(self) -> None:
        given = {"features": "grace.pkl.gz", "allow_pickle": True}
        refused(FeatureError, "another number of atoms", "pool.xyz@::-1", "grace", **given)
        refused(FeatureError, "another number of structures", "pool.xyz@:3", "grace", **given)

    def test_table_without_features(self) -> None:
        Path("lists.pkl").write_bytes(pickle.dumps({"rows": [MACE], "other": [1.0]}))
        given = {"features": "lists.pkl", "allow_pickle": True}
        message = refused(FeatureError, "'features' is absent", "pool.xyz", "grace", **given)
        assert "rows, other" in message


def test_pacemaker_is_refused() -> None:
    message = refused(RequestError, "cannot be imported", "pool.xyz", "pacemaker", features="b.npz")
    assert "PyACECalculator" in message
    assert "--per-species" in message


def test_unknown_program_names_the_nearest() -> None:
    with pytest.raises(RequestError, match="--from metatran is not known") as caught:
        find_profile("metatran")
    assert "did you mean metatrain" in str(caught.value)
    assert sorted(PROFILES) == ["array", "deepmd", "grace", "mace", "metatrain", "pacemaker"]


def test_kind_of_features_can_be_stated(caplog) -> None:
    store, _ = run(
        "pool.xyz",
        "array",
        features="mace_exact.npy",
        convention="per-atom",
        feature_kind="last-layer",
    )
    assert store.feature_kind == "last-layer"
    assert caplog.text == ""
    store, _ = run("mace_mean.xyz", "mace", feature_kind="last-layer")
    assert store.feature_kind == "last-layer"
    assert "features of kind descriptor, stored as last-layer" in caplog.text


def test_program_is_recorded() -> None:
    store, _ = run("mace_mean.xyz", "mace", columns=("config_type",))
    store.close()
    with h5py.File("o.h5") as file:
        text = " ".join(str(value) for value in file.attrs.values())
    assert '"program": "mace"' in text
    assert '"feature_key": "MACE_descriptors"' in text
    assert '"convention": "mean"' in text


def test_force_rows_go_with_a_program() -> None:
    rows = np.random.default_rng(0).normal(size=(3 * 13, 8))
    np.save("forces.npy", rows)
    store, summary = run("mace_atoms.xyz", "mace", force_rows="forces.npy")
    assert summary.n_force_rows == 39
    np.testing.assert_array_equal(store.gradients.rows.read(0, 39), rows)
    Path("o.h5").unlink()
    refused(
        RequestError,
        "cannot be taken apart by element",
        "mace_atoms.xyz",
        "mace",
        force_rows="forces.npy",
        per_species=True,
    )
