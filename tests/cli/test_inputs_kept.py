"""No output replaces an input, whatever `--overwrite` allows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prcli import hessian
from prcli.cli.main import cli
from prcli.errors import OutputError

FRAME = "2\nProperties=species:S:1:pos:R:3\nC 0 0 {0}\nC 0 1 {0}\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("s.xyz").write_text("".join(FRAME.format(i) for i in range(4)))
    np.save("f.npy", np.random.default_rng(0).normal(size=(4, 3)))
    run("features", "import", "s.xyz", "--features", "f.npy", "--convention", "mean", "-o", "s.h5")
    run("hessian", "s.h5", "-o", "h.h5")
    return tmp_path


def run(*arguments):
    cli.main([*arguments], standalone_mode=False)


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ("features import s.xyz --features f.npy --convention mean -o f.npy", "f.npy"),
        ("features import s.xyz --features f.npy --convention mean -o s.xyz", "s.xyz"),
        ("features import s.xyz@1: --features f.npy --convention mean -o ./s.xyz", "s.xyz"),
        ("hessian s.h5 -o s.h5", "s.h5"),
        ("hessian h.h5 -o link.h5", "h.h5"),
        ("score h.h5 s.h5 --write s.xyz", "s.xyz"),
        ("score h.h5 s.h5 --write h.h5", "h.h5"),
        ("score h.h5 s.h5 --write s.h5", "s.h5"),
    ],
)
def test_output_that_is_an_input_is_refused(folder, arguments, kept):
    Path("link.h5").symlink_to("h.h5")
    before = Path(kept).read_bytes()
    with pytest.raises(OutputError, match="the output is one of the inputs"):
        run(*arguments.split(), "--overwrite")
    assert Path(kept).read_bytes() == before


def test_float32_atoms_below_a_tiny_regularizer_are_warned_of(folder, capsys):
    np.save("f.npy", np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32))
    arguments = "features import s.xyz --features f.npy --convention per-atom -o atoms.h5"
    run(*arguments.split())
    run("hessian", "atoms.h5", "-o", "atoms.hessian", "--regularizer", "1e-17")
    assert "rounding of float32 features shows" in capsys.readouterr().err
    assert hessian("atoms.h5").regularizer == 1e-5
