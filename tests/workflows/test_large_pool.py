"""A pool of 25,000 structures: nothing of it is parsed, and ASE stays unimported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from prcli.data.extxyz import index_frames
from prcli.data.source import StoreSource
from prcli.data.store_writer import StoreWriter

N_STRUCTURES = 25_000
N_FEATURES = 16
SCRIPT = """
import sys
from prcli.data import frame_reader

read = []
original = frame_reader.FrameReader.read_frame
def counted(self, offset):
    read.append(offset)
    return original(self, offset)
frame_reader.FrameReader.read_frame = counted
from prcli.cli.main import cli
cli.main(sys.argv[1:], standalone_mode=False)
assert not any(name.split(".")[0] == "ase" for name in sys.modules), "ASE was imported"
assert "numba" not in sys.modules, "the compiler was started for a small run"
print(len(read), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    frame = '2\nProperties=species:S:1:pos:R:3 name="s {}"\nC 0.0 0.0 0.0\nC 0.0 0.0 1.4\n'
    path = folder / "pool.xyz"
    path.write_text("".join(frame.format(i) for i in range(N_STRUCTURES)))
    index = index_frames(path)
    rng = np.random.default_rng(7)
    source = StoreSource(
        files=(index.stamp,),
        file=np.zeros(N_STRUCTURES),
        frame=np.arange(N_STRUCTURES),
        offset=index.offset,
    )
    for name, n_structures in (("train", 40), ("target", 5), ("pool", N_STRUCTURES)):
        with StoreWriter(
            folder / f"{name}.h5",
            n_atoms=np.full(n_structures, 2),
            n_features=N_FEATURES,
            dtype=np.float32,
            convention="mean",
            source=source if name == "pool" else None,
        ) as store:
            store.write_structures(0, rng.normal(size=(n_structures, N_FEATURES)))
    return folder


def run_select(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    sets = [f"--{name}={folder / name}.h5" for name in ("train", "target", "pool")]
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, "select", *sets, "-n", "10", "-q", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_table_of_picks_reads_no_frame(pool):
    done = run_select(pool)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "0\n"
    assert len(done.stdout.splitlines()) == 11


def test_result_directory_reads_the_picked_frames_only(pool, tmp_path):
    done = run_select(pool, "-o", str(tmp_path / "out"), "--no-report")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "10\n"
    frames = (tmp_path / "out" / "selected.xyz").read_text().count("Properties=")
    assert frames == 10


def test_page_reads_the_frames_that_are_drawn_only(pool, tmp_path):
    done = run_select(pool, "-o", str(tmp_path / "out"), "--report")
    assert done.returncode == 0, done.stderr
    drawn = len((tmp_path / "out" / "map.tsv").read_text().splitlines())
    assert drawn < N_STRUCTURES / 2
    assert int(done.stderr) <= drawn + 100
