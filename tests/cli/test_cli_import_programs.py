"""``prcli features import --from PROGRAM``, and columns of the store."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from builders import atoms_for, counts_of, frames_of, write_frames

FILES = Path(__file__).parents[1] / "workflows" / "import_files"
COUNTS = counts_of(4, 3)
COMMENTS = [
    f'Lattice="{a} 0 0 0 {a} 0 0 0 {a}" Properties=species:S:1:pos:R:3 REF_energy={a}.5 name=n{a}'
    for a in (3, 4, 5, 6)
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_frames(Path("s.xyz"), frames_of(COUNTS, seed=3, comments=COMMENTS))
    np.save("f.npy", atoms_for(COUNTS, 3))


@pytest.fixture
def imports(prcli):
    def run(*arguments):
        outcome = prcli("features", "import", *arguments, "-o", "o.h5")
        assert outcome.code == 0, outcome.err
        assert outcome.out == b""
        return outcome.err

    return run


def test_program_needs_neither_file_nor_convention(imports):
    message = imports(FILES / "mace_mean.xyz", "--from", "mace")
    assert "descriptors of MACE, taken as mean" in message
    with h5py.File("o.h5") as file:
        assert file.attrs["feature_kind"] == "descriptor"


def test_options_of_programs(imports):
    message = imports(
        *(FILES / "deepmd.xyz", "--from", "deepmd", "--features", FILES / "deepmd_embed.hdf5"),
        *("--system", "mixed", "--system", "diamond", "--array", "descriptor"),
        *("--per-species", "--species", "C,Si"),
    )
    assert "systems in the order asked for: mixed (3 frames), diamond (2 frames)" in message
    assert "columns of their own for C, Si" in message
    with h5py.File("o.h5") as file:
        assert file.attrs["blocks"] == "C:8,Si:8"


def test_pickles_are_read_if_allowed(imports, fails):
    command = (FILES / "pool.xyz", "--from", "grace", "--features", FILES / "grace.pkl.gz")
    assert "--allow-pickle" in fails("features", "import", *command, "-o", "o.h5")
    assert "random projection" in imports(*command, "--allow-pickle")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--from", "array"),
        ("--from", "mce"),
        ("--features", "f.npy", "--feature-key", "x", "--from", "array"),
        ("--features", "f.npy", "--feature-kind", "best"),
    ],
)
def test_wrong_usage(fails, arguments):
    fails("features", "import", "s.xyz", *arguments, "-o", "o.h5", code=2)


def test_pacemaker_is_told_what_to_do(fails):
    message = fails(
        *("features", "import", "s.xyz", "--from", "pacemaker"),
        *("--features", "f.npy", "-o", "o.h5"),
    )
    assert "PyACECalculator" in message


def test_help_lists_the_programs(prcli):
    text = prcli("features", "import", "--help").text
    assert "[array|deepmd|grace|mace|metatrain|pacemaker]" in text.replace("\n", "").replace(
        " ", ""
    )


def test_program_in_a_configuration(imports):
    shutil.copy(FILES / "mace_mean.xyz", "m.xyz")
    Path("c.toml").write_text('[features.import]\nfrom = "mace"\ncolumn = ["e=REF_energy", "id"]\n')
    imports("m.xyz", "--config", "c.toml")
    with h5py.File("o.h5") as file:
        assert {"e", "id", "volume", "density"} < set(file["structures"])


def test_filters_of_a_store_without_its_structures(imports, prcli):
    imports(
        *("s.xyz", "--features", "f.npy", "--convention", "per-atom"),
        *("--column", "energy=REF_energy", "--column", "name"),
    )
    Path("s.xyz").unlink()
    with h5py.File("o.h5") as file:
        density = file["structures/density"][...]
    limit = float(np.sort(density)[1:3].mean())
    command = ("select", "--train", "o.h5", "--target", "o.h5", "--pool", "o.h5", "-n", 2)
    outcome = prcli(*command, "--where", f"density < {limit!r}")
    assert outcome.code == 0, outcome.err
    chosen = sorted(int(index) for index in outcome.column("index"))
    assert chosen == np.flatnonzero(density < limit).tolist()
    outcome = prcli(*command, "--where", "energy > 4 and name != 'n6' and volume > 1")
    assert sorted(outcome.column("index")) == ["1", "2"]


def test_absent_key_is_named(fails):
    message = fails(
        *("features", "import", "s.xyz", "--features", "f.npy", "--convention", "per-atom"),
        *("--column", "energy", "-o", "o.h5"),
    )
    assert "'energy' is in no structure" in message
    assert "REF_energy" in message
    assert not Path("o.h5").exists()
