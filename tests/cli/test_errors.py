"""Every kind of bad input: exit code 1, what and where on stderr, nothing on stdout or disk."""

from __future__ import annotations

import errno
import gzip
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from builders import split_frames, write_frames, write_store

pytestmark = pytest.mark.usefixtures("workplace")

SETS = ("--train", "train.h5", "--target", "target.h5", "--pool", "pool.h5")


@pytest.fixture
def refuses(fails):
    """Run a command that must be refused and must leave nothing behind."""

    def run(*arguments, code=1, stdin=b""):
        before = sorted(Path().rglob("*"))
        message = fails(*arguments, code=code, stdin=stdin)
        assert sorted(Path().rglob("*")) == before
        if code == 1:
            assert message.splitlines()[-1]
            assert "prcli: error: " in message
        return message

    return run


def test_slice_of_stdin_is_told_how_to_be_written(refuses, prcli):
    content = Path("train.xyz").read_bytes()
    message = refuses("score", "train.hessian", "-@::2", code=2, stdin=content)
    assert "after all options and --: -- -@::10" in message


def each_place(name: str) -> list[tuple[str, ...]]:
    """Commands that read `name` as a data set."""
    return [
        ("hessian", name, "-o", "out.h5"),
        ("hessian", "train.h5", name, "-o", "out.h5"),
        ("select", "--train", name, *SETS[2:], "-n", "1", "-o", "out"),
        ("select", *SETS[:2], "--target", name, *SETS[4:], "-n", "1", "-o", "out"),
        ("select", *SETS[:4], "--pool", name, "-n", "1", "-o", "out"),
    ]


@pytest.mark.parametrize("place", range(5))
def test_missing_file(refuses, place):
    assert "absent.h5" in refuses(*each_place("absent.h5")[place])


@pytest.mark.parametrize("place", range(5))
def test_folder_instead_of_a_file(refuses, place):
    Path("folder").mkdir()
    assert "folder" in refuses(*each_place("folder")[place])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("place", range(5))
def test_unreadable_file(refuses, place):
    write_store(Path("locked.h5")).chmod(0)
    assert "locked.h5" in refuses(*each_place("locked.h5")[place])


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.95])
def test_truncated_store(refuses, place, share):
    content = write_store(Path("whole.h5"), 8, 40).read_bytes()
    Path("cut.h5").write_bytes(content[: int(share * len(content))])
    assert "cut.h5" in refuses(*each_place("cut.h5")[place])


@pytest.mark.parametrize("place", range(5))
def test_hdf5_file_of_another_program(refuses, place):
    with h5py.File("other.h5", "w") as file:
        file["data"] = np.zeros((3, 3))
    message = refuses(*each_place("other.h5")[place])
    assert "other.h5" in message
    assert "prcli features import" in message


@pytest.mark.parametrize("place", range(5))
def test_store_of_a_newer_version(refuses, place):
    write_store(Path("newer.h5"))
    with h5py.File("newer.h5", "r+") as file:
        file.attrs["version"] = 2
    message = refuses(*each_place("newer.h5")[place])
    assert "newer.h5" in message
    assert "2" in message


@pytest.mark.parametrize("place", range(5))
def test_hessian_of_a_newer_version(prcli, refuses, place):
    prcli("hessian", "train.h5", "-o", "newer.h5")
    with h5py.File("newer.h5", "r+") as file:
        file.attrs["version"] = 2
    assert "newer.h5" in refuses(*each_place("newer.h5")[place])


@pytest.mark.parametrize("place", range(5))
def test_structures_without_features(refuses, place):
    message = refuses(*each_place("pool.xyz")[place])
    assert "pool.xyz" in message
    assert "--feature-key" in message


@pytest.mark.parametrize("place", range(5))
def test_key_that_is_absent(refuses, place):
    message = refuses(*each_place("pool.xyz")[place], "--feature-key", "soap")
    for text in ("pool.xyz, frame 0", "'soap'", "pos", "energy"):
        assert text in message


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("text", ["12", "-13", "3:13", "5:5", "x:y", "::0"])
def test_slice_out_of_range(refuses, place, text):
    name = f"pool.h5@{text}"
    assert name in refuses(*each_place(name)[place])


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("where", ["structures", "atoms"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_store_of_another_program_with_values_that_are_not_finite(refuses, place, where, value):
    write_store(Path("odd.h5"), seed=7, xyz=Path("odd.xyz"))
    with h5py.File("odd.h5", "r+") as file:
        del file.attrs["content_digest"]
        file[f"{where}/features"][5, 2] = value
    message = refuses(*each_place("odd.h5")[place])
    assert "odd.h5" in message
    assert "structure" in message
    assert "--skip-invalid" in message


def test_structures_that_are_not_finite_are_left_out(prcli):
    write_store(Path("odd.h5"), seed=7)
    with h5py.File("odd.h5", "r+") as file:
        del file.attrs["content_digest"]
        file["structures/features"][5, 2] = np.nan
    outcome = prcli("select", *SETS[:4], "--pool", "odd.h5", "-n", "7", "--skip-invalid")
    assert outcome.code == 0, outcome.err
    assert "odd.h5: 1 structure left out" in outcome.err
    assert set(outcome.column("frame")) == set("0123467")
    assert set(outcome.column("index")) == set("0123456")


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"", []),
        (b"3\n\nC 0 0 0\nC 0 0 0\n", ["frame 0"]),
        (b"1\n\nC 0 0 0\n2\n\nC 0 0 0\n", ["frame 1"]),
        (b"1\n\nC 0 0 0\n7", ["frame 1"]),
        (b"1\n\nC 0 0 0\nno number\n\n", ["frame 1"]),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("stdin", [False, True])
def test_truncated_frame(refuses, content, texts, pack, stdin):
    Path("cut.xyz").write_bytes(pack(content))
    np.save("f.npy", np.zeros((1, 2)))
    name = "-" if stdin else "cut.xyz"
    message = refuses(
        *("features", "import", name, "--features", "f.npy", "--convention", "mean"),
        *("-o", "out.h5"),
        stdin=pack(content),
    )
    if not stdin:
        assert "cut.xyz" in message
    for text in texts:
        assert text in message


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_truncated_gzip(refuses, share):
    content = gzip.compress(Path("pool.xyz").read_bytes())
    Path("cut.xyz.gz").write_bytes(content[: int(share * len(content))])
    message = refuses("features", "import", "cut.xyz.gz", "--feature-key", "pos", "-o", "out.h5")
    assert "cut.xyz.gz" in message


def test_row_that_is_no_number(refuses):
    Path("bad.xyz").write_bytes(b"1\n\nC 0 0 0\n1\n\nC 0 zero 0\n")
    message = refuses("features", "import", "bad.xyz", "--feature-key", "pos", "-o", "out.h5")
    assert "bad.xyz, frame 1" in message
    assert "zero" in message


def test_unknown_element(refuses):
    Path("bad.xyz").write_bytes(b"1\n\nC 0 0 0\n1\n\nQq 0 0 0\n")
    message = refuses("features", "import", "bad.xyz", "--feature-key", "pos", "-o", "out.h5")
    assert "bad.xyz, frame 1" in message
    assert "Qq" in message


def test_counts_that_disagree_between_store_and_structures(refuses):
    frames = split_frames(Path("pool.xyz").read_bytes())
    write_frames(Path("other.xyz"), frames[1:] + frames[:1])
    message = refuses("select", *SETS, "-n", "12", "-o", "out", "--structures", "other.xyz")
    assert "other.xyz, frame" in message
    assert "atoms" in message


@pytest.mark.parametrize("target", ["absent/out", "train.h5/out"])
def test_output_whose_folder_does_not_exist(refuses, target):
    assert target in refuses("hessian", "train.h5", "-o", target)
    message = refuses("select", *SETS, "-n", "1", "-o", target)
    assert target in message
    assert "training set:" not in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_output_without_permission(refuses):
    Path("locked").mkdir()
    Path("locked").chmod(0o500)
    assert "permission" in refuses("hessian", "train.h5", "-o", "locked/h.h5")


def test_full_disk(refuses, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    message = refuses("hessian", "train.h5", "-o", "h.h5")
    assert "No space left" in message
    assert "h.h5" in message


def test_empty_store_is_refused(refuses):
    with h5py.File("empty.h5", "w") as file:
        file.attrs.update(format="prcli-features", version=1, convention="mean")
        file["structures/n_atoms"] = np.zeros(0, np.int32)
        file["structures/features"] = np.zeros((0, 3))
    assert "empty.h5" in refuses("hessian", "empty.h5", "-o", "h.h5")


def test_verify_finds_a_store_that_has_changed(prcli, refuses):
    assert prcli("hessian", "train.h5", "-o", "h.h5", "--verify").code == 0
    with h5py.File("train.h5", "r+") as file:
        file["structures/features"][0, 0] += 1.0
    message = refuses("hessian", "train.h5", "-o", "i.h5", "--verify")
    assert "train.h5" in message
    assert "changed" in message


def test_element_without_intercept(prcli, refuses):
    frames = [b"1\n\nSi 0 0 0\n", b"1\n\nC 0 0 0\n"]
    write_frames(Path("si.xyz"), frames)
    np.save("si.npy", np.ones((2, 3)))
    prcli(
        *("features", "import", "si.xyz", "--features", "si.npy"),
        *("--convention", "mean", "-o", "si.h5"),
    )
    prcli("hessian", "train.h5", "-o", "h.h5", "--intercept", "species")
    message = refuses("score", "h.h5", "si.h5")
    assert "si.h5" in message
    assert "Si" in message


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("frobnicate",),
        ("hessian", "train.h5"),
        ("hessian", "train.h5", "-o", "h.h5", "--energy", "molar"),
        ("hessian", "train.h5", "-o", "h.h5", "--scale", "big"),
        ("select", "--train", "train.h5"),
        ("select", *SETS, "-n", "few"),
        ("score", "h.h5"),
        ("info",),
        ("features", "export"),
    ],
)
def test_usage_errors_exit_with_2(refuses, arguments):
    assert "Usage: prcli" in refuses(*arguments, code=2)


def test_misspelt_command_names_the_nearest(refuses):
    assert "Did you mean 'select'?" in refuses("selct", code=2)
