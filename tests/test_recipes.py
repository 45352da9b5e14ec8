"""What recipes have in common: folders to be copied one by one, written as users would."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

import prcli

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "configs/recipes").glob("*/*.py"))


def test_functions_that_several_recipes_have_are_the_same_text():
    """Nothing is shared between folders, so that each can be copied: it is there several times."""
    versions = defaultdict(list)
    for path in SCRIPTS:
        source = path.read_text(encoding="utf-8")
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef):
                versions[node.name].append(ast.get_source_segment(source, node))
    for name in ("prepare_lammps", "random_packing"):
        assert len(versions[name]) > 2
        assert len(set(versions[name])) == 1, name


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_recipes_show_what_users_can_do(path):
    """Public names, and the style of figures, alone."""
    if path.parent.name == "coarse-water":
        pytest.skip("fits forces with what is not public")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("prcli"):
            assert node.module in ("prcli", "prcli.report.style")
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        assert not any(name.startswith("prcli.") for name in names)
        is_attribute = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if is_attribute and node.value.id == "prcli":
            assert node.attr in prcli.__all__


def test_every_recipe_is_listed_and_has_its_picture():
    table = (ROOT / "configs/README.md").read_text(encoding="utf-8")
    folders = sorted({path.parent for path in SCRIPTS})
    for folder in folders:
        assert f"`recipes/{folder.name}/`" in table
        text = (folder / "README.md").read_text(encoding="utf-8")
        pictures = sorted(folder.glob("*.png"))
        assert all(f"]({picture.name})" in text for picture in pictures)
        assert all(picture.stat().st_size < 80_000 for picture in pictures)


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("amorphous/amorphous.py", ["nowhere"]),
        ("body-orders/body_features.py", ["nowhere"]),
        ("body-orders/figure6.py", ["nowhere"]),
        ("embed/figure5.py", ["nowhere.xyz", "--train", "nothing.xyz"]),
        ("neural-potential/learning.py", ["nowhere", "out"]),
        ("water-dimers/figure7.py", ["nowhere"]),
    ],
)
def test_scripts_say_what_is_to_be_run_before_them(script, arguments, tmp_path):
    command = [sys.executable, str(ROOT / "configs/recipes" / script), *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.search(r"error: .*nowhere.*: run \w+\.py first$", done.stderr.strip())
    assert not list(tmp_path.iterdir())
