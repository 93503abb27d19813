"""Holds the arrows between the rooms: app → model_store ← training, http → pipeline → batching."""

import ast
from collections import Counter
from pathlib import Path

import pytest
from commands import ROOT, python

PACKAGES = ("app", "model_store", "training")


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, package: str) -> set[str]:
    """Every module that `path` names in an import, at any depth of its code."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])


def import_graph(root: Path, packages: tuple[str, ...]) -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            name = module_name(path, root)
            parent = name if path.name == "__init__.py" else name.rpartition(".")[0]
            graph[name] = imports_of(path, parent)
    return graph


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """Modules that `start` imports, directly or through modules of `graph`."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for name in graph.get(waiting.pop(), set()) - seen:
            seen.add(name)
            waiting.append(name)
    return seen - {start}


def inside(names: set[str], *rooms: str) -> set[str]:
    return {name for name in names if any(name == r or name.startswith(f"{r}.") for r in rooms)}


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    return import_graph(ROOT, PACKAGES)


WEB = ("app.http", "fastapi", "starlette", "uvicorn")
OUTER = ("app.main", "app.__main__")
NOBODYS = ("halftone", "tests", "benchmarks")
NEVER_REACHES = {
    "app": ("training", *NOBODYS),
    "app.batching": ("app.pipeline", "model_store", "PIL", *WEB, *OUTER),
    "app.pipeline": (*WEB, *OUTER),
    "app.http": OUTER,
    "training": ("app", *NOBODYS),
    "training.data": ("training.learn", "training.judge", "training.report"),
    "training.judge": ("training.learn", "training.report"),
    "model_store": ("app", "training", *NOBODYS),
    "model_store.pixels": ("model_store.bundle", "model_store.store", "model_store.engines"),
    "model_store.engines": ("model_store.bundle", "model_store.store", "model_store.making"),
    "model_store.store": ("model_store.making",),
}


@pytest.mark.parametrize("room", NEVER_REACHES)
def test_inner_rooms_never_reach_outer_ones(graph, room):
    modules = inside(set(graph), room)
    found = {name: inside(reachable(graph, name), *NEVER_REACHES[room]) for name in modules}

    assert modules
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_no_room_has_more_than_fifteen_modules(graph):
    rooms = Counter(n.rpartition(".")[0] for n in graph if not inside(set(graph) - {n}, n))

    assert {room: count for room, count in rooms.items() if count > 15} == {}


def test_only_the_store_opens_image_files(graph):
    decoders = {"PIL.Image.open", "cv2", "imageio", "keras.preprocessing", "tensorflow.io"}
    importers = {
        name
        for name in inside(set(graph), "app", "training")
        if inside(graph[name], *decoders) or "Image.open(" in _source(name)
    }

    assert importers == set()


def _source(module: str) -> str:
    path = ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return file.read_text(encoding="utf-8")


@pytest.mark.parametrize("module", ["app.main", "model_store.__main__"])
def test_importing_it_loads_nothing_heavy_that_it_may_not_need(module):
    code = (
        f"import {module}, sys;"
        "tops = {name.partition('.')[0] for name in sys.modules};"
        "tops |= {'opentelemetry.sdk'} & set(sys.modules);"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'matplotlib', 'opentelemetry.sdk'};"
        "print(*sorted(tops & (heavy | {'training'})))"
    )
    done = python("-c", code)

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_the_graph_sees_relative_lazy_and_type_only_imports(tmp_path):
    package = tmp_path / "house"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "inner" / "__init__.py").write_text("from .. import roof\n")
    (package / "inner" / "room.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "from . import door\n"
        "from ..cellar import stairs\n"
        "if TYPE_CHECKING:\n    import garden.shed\n"
        "def f():\n    import attic as a\n"
    )

    found = import_graph(tmp_path, ("house",))

    assert "house.roof" in found["house.inner"]
    assert {
        "house.inner.door",
        "house.cellar.stairs",
        "garden.shed",
        "attic",
    } <= found["house.inner.room"]
