"""Imports go down the floors only; each room keeps to the packages it may use."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "prcli"

#: Rooms by floor, the ground first. The ground's files count as one room.
GROUND = ("records", "errors", "elements", "wording")
FLOORS = (
    ("ground",),
    ("numerics",),
    ("features", "environments", "report", "data", "parallel"),
    ("workflows",),
    ("api",),
    ("cli",),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

#: Packages that only these rooms import.
ONLY_IN = {"h5py": ("data",), "click": ("cli",), "rich": ("cli",)}
#: Packages that a room never imports, besides those.
NEVER_IN = {"numerics": ("ase", "pathlib")}
#: Packages that are slow to import: at module level only in these rooms.
LAZY_EXCEPT_IN: dict[str, tuple[str, ...]] = {"ase": (), "numba": ("numerics",)}


@dataclass(frozen=True)
class Import:
    """One imported module, where it stands, and whether importing the file imports it."""

    module: str
    line: int
    at_module_level: bool


class ImportFinder(ast.NodeVisitor):
    """Collects every import of a file: statements and `import_module("name")` calls."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.found: list[Import] = []
        self._n_deferring = 0

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name, node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        parents = self.package.split(".")
        start = parents[: len(parents) + 1 - node.level] if node.level else []
        base = ".".join([*start, *([node.module] if node.module else [])])
        for alias in node.names:
            # In `from prcli import data` the room is the name that is imported.
            self._add(f"{base}.{alias.name}" if base == "prcli" else base, node)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else None
        name = node.func.id if isinstance(node.func, ast.Name) else name
        argument = node.args[0] if node.args else None
        if name in ("import_module", "__import__") and isinstance(argument, ast.Constant):
            self._add(str(argument.value), node)
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        is_typing = ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        self._visit_all(node.body, defers=is_typing)
        self._visit_all(node.orelse, defers=False)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        # Decorators, defaults and annotations are evaluated with the module.
        self._visit_all([*node.decorator_list, node.args], defers=False)
        self._visit_all(node.body, defers=True)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_all([node.body], defers=True)

    def _visit_all(self, nodes: list[ast.AST] | list[ast.stmt], *, defers: bool) -> None:
        self._n_deferring += defers
        for node in nodes:
            self.visit(node)
        self._n_deferring -= defers

    def _add(self, module: str, node: ast.stmt | ast.expr) -> None:
        self.found.append(Import(module, node.lineno, at_module_level=self._n_deferring == 0))


def room_of(module: str) -> str:
    """Name the room of a module of prcli, ``prcli.data.store`` -> ``data``."""
    parts = module.split(".")
    if len(parts) == 1:
        return "api"
    if parts[1] == "__main__":
        return "cli"
    return "ground" if parts[1] in GROUND else parts[1]


def violations(module: str, text: str, *, is_package: bool = False) -> Iterator[str]:
    """Yield a sentence for every import that the module must not have."""
    room = room_of(module)
    if room not in FLOOR_OF:
        yield f"{module} is in no known room"
        return
    finder = ImportFinder(module if is_package else module.rpartition(".")[0])
    finder.visit(ast.parse(text))
    for imported in finder.found:
        place = f"{module}:{imported.line} imports {imported.module}"
        if imported.module == "prcli" or imported.module.startswith("prcli."):
            yield from _climbs(room, imported.module, place)
        else:
            yield from _strays(room, imported, place)


def _climbs(room: str, module: str, place: str) -> Iterator[str]:
    if module == "prcli.__version__":  # a string, known before anything else is imported
        return
    other = room_of(module)
    if other not in FLOOR_OF:
        yield f"{place}, which is in no known room"
    elif FLOOR_OF[other] > FLOOR_OF[room]:
        yield f"{place}, a higher floor"
    elif FLOOR_OF[other] == FLOOR_OF[room] and other != room:
        yield f"{place}, another room on its floor"


def _strays(room: str, imported: Import, place: str) -> Iterator[str]:
    package = imported.module.split(".")[0]
    if room not in ONLY_IN.get(package, (room,)):
        yield f"{place}, which only {', '.join(ONLY_IN[package])} may"
    if package in NEVER_IN.get(room, ()):
        yield f"{place}, which {room} must not know"
    slow = imported.at_module_level and package in LAZY_EXCEPT_IN
    if slow and room not in LAZY_EXCEPT_IN[package]:
        yield f"{place} at module level"


def module_name(path: Path) -> str:
    """Name the module of a file, ``prcli/data/store.py`` -> ``prcli.data.store``."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = sorted(PACKAGE.rglob("*.py"))


def test_package_is_found() -> None:
    assert PACKAGE / "errors.py" in FILES


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_keep_to_the_floors(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    is_package = path.name == "__init__.py"
    assert list(violations(module_name(path), text, is_package=is_package)) == []


@pytest.mark.parametrize(
    ("module", "text", "complaint"),
    [
        ("prcli.numerics.greedy", "from prcli.data.store import open_store", "a higher floor"),
        ("prcli.numerics.greedy", "import prcli.workflows.select", "a higher floor"),
        ("prcli.numerics.greedy", "from prcli import data", "a higher floor"),
        ("prcli.numerics.greedy", "from prcli import select", "in no known room"),
        ("prcli.numerics.greedy", "import prcli", "a higher floor"),
        ("prcli.numerics.greedy", "from ..data import store", "a higher floor"),
        ("prcli.numerics.greedy", "from .. import data", "a higher floor"),
        ("prcli.errors", "from . import data", "a higher floor"),
        ("prcli.records", "from prcli.numerics import rows", "a higher floor"),
        ("prcli.workflows.select", "from prcli.cli import main", "a higher floor"),
        ("prcli", "from prcli.cli.main import main", "a higher floor"),
        ("prcli.data.store", "def f():\n    import prcli.workflows.info", "a higher floor"),
        (
            "prcli.data.store",
            "if TYPE_CHECKING:\n    from prcli.workflows.info import Info",
            "a higher floor",
        ),
        (
            "prcli.data.store",
            "importlib.import_module('prcli.workflows.info')",
            "a higher floor",
        ),
        ("prcli.data.store", "from prcli.features import soap", "another room on its floor"),
        ("prcli.parallel.plan", "from prcli.data import store", "another room on its floor"),
        ("prcli.data.store", "from prcli.extras import x", "in no known room"),
        ("prcli.extras.store", "x = 1", "in no known room"),
        ("prcli.workflows.info", "import h5py", "which only data may"),
        ("prcli.numerics.greedy", "import h5py.h5d", "which only data may"),
        ("prcli.workflows.info", "def f():\n    from click import echo", "which only cli may"),
        ("prcli.data.tables", "import rich.table", "which only cli may"),
        ("prcli.numerics.greedy", "from pathlib import Path", "must not know"),
        ("prcli.numerics.greedy", "def f():\n    import ase", "must not know"),
        ("prcli.features.soap", "from ase.io import read", "at module level"),
        ("prcli.features.soap", "try:\n    import ase\nfinally:\n    pass", "at module level"),
        ("prcli.features.soap", "class A:\n    import ase", "at module level"),
        ("prcli.features.soap", "if x:\n    import ase", "at module level"),
        ("prcli.features.soap", "@__import__('ase').f\ndef f(): pass", "at module level"),
        ("prcli.features.soap", "from numba import njit", "at module level"),
        ("prcli.cli.select", "import numba", "at module level"),
    ],
)
def test_checker_finds(module: str, text: str, complaint: str) -> None:
    assert any(complaint in found for found in violations(module, text))


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("prcli.numerics.greedy", "from prcli.numerics.rows import f\nfrom .posterior import g"),
        ("prcli.numerics.greedy", "from prcli.errors import RankError\nimport numba, numpy"),
        ("prcli.records", "from prcli.errors import PrcliError"),
        ("prcli.data.store", "import h5py\nfrom pathlib import Path"),
        ("prcli.data.store", "from prcli import __version__"),
        ("prcli.workflows.info", "from prcli.data import store\nfrom prcli.numerics import rows"),
        ("prcli", "from prcli.workflows.info import info"),
        ("prcli.cli.main", "import click\nimport rich.progress\nfrom prcli import __version__"),
        ("prcli.cli.info", "def f():\n    from prcli.workflows.info import info"),
        ("prcli.features.soap", "def f():\n    import ase.io, numba"),
        ("prcli.features.soap", "async def f():\n    import ase"),
        ("prcli.features.soap", "if TYPE_CHECKING:\n    from ase import Atoms"),
        ("prcli.features.soap", "if typing.TYPE_CHECKING:\n    from ase import Atoms"),
        ("prcli.__main__", "from prcli.cli.main import main"),
        ("prcli.data.store", "import clickable, rich_text"),
    ],
)
def test_checker_accepts(module: str, text: str) -> None:
    assert list(violations(module, text)) == []
