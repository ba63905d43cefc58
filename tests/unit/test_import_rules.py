"""Dependencies point one way: dispatcher -> workers -> backends.api, and the protocol knows nothing of ours."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("dispatcher", "workers", "backends")
# What workers may use of the backends: the contract, its helpers and what finds plugins, never a plugin.
CONTRACT = {
    f"backends.{name}"
    for name in ("api", "copying", "errors", "faultpoints", "hierarchy", "listing", "loader", "offload", "records")
}


def sources(package: str) -> list[Path]:
    return [path for path in sorted((ROOT / package).rglob("*.py")) if not path.stem.endswith(("_pb2", "_pb2_grpc"))]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and module of every import, those inside functions too; `from a import b` is `a.b` when that is a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = (ROOT / inner.replace(".", "/")).is_dir() or (
                    ROOT / (inner.replace(".", "/") + ".py")
                ).exists()
                yield node.lineno, inner if is_module else node.module


def allowed(importer: str, imported: str) -> bool:
    """Whether a module of ours may import another one of ours."""
    top = imported.partition(".")[0]
    if importer.startswith("workers.protocol"):
        return imported == "workers.protocol" or imported.startswith("workers.protocol.")
    if importer.startswith("workers"):
        return top == "workers" or imported in CONTRACT
    if importer.startswith("backends"):
        return top == "backends"
    return top == "dispatcher" or top == "workers" or imported in CONTRACT


def violations(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    name = module_name(path)
    return [
        f"{path.relative_to(ROOT)}:{line} imports {imported}"
        for line, imported in imports(tree)
        if imported.partition(".")[0] in OURS and not allowed(name, imported)
    ]


@pytest.mark.parametrize("package", OURS)
def test_imports_point_one_way(package):
    assert sources(package)
    assert [line for path in sources(package) for line in violations(path)] == []


@pytest.mark.parametrize(
    ("importer", "imported", "verdict"),
    [
        ("workers.protocol.sigv4", "workers.protocol.errors", True),
        ("workers.protocol.sigv4", "workers.settings", False),
        ("workers.protocol.sigv4", "backends.api", False),
        ("workers.app", "backends.api", True),
        ("workers.app", "backends.posix", False),
        ("workers.app", "dispatcher.cli", False),
        ("backends.posix", "backends.api", True),
        ("backends.posix", "workers.protocol.errors", False),
        ("dispatcher.cli", "workers.settings", True),
        ("dispatcher.cli", "backends.posix", False),
    ],
)
def test_the_rule_itself(importer, imported, verdict):
    assert allowed(importer, imported) is verdict


def test_no_module_of_ours_shadows_a_library():
    """Top-level names are the three packages; a module named like a library it uses would hide it on some paths."""
    assert sorted(path.parent.name for path in ROOT.glob("*/py.typed")) == sorted(OURS)


@pytest.mark.parametrize("package", OURS)
def test_packages_say_that_they_are_typed(package):
    assert (ROOT / package / "py.typed").exists()


def test_the_master_process_does_not_load_gevent_or_backends():
    """gunicorn's master imports the configuration before any worker patches its modules: it has to stay small."""
    seen: set[str] = set()
    waiting = ["workers.gunicorn_conf"]
    while waiting:
        name = waiting.pop()
        seen.add(name)
        path = ROOT / (name.replace(".", "/") + ".py")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        top_level = ast.Module([node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))], [])
        for _, imported in imports(top_level):
            assert imported.partition(".")[0] not in ("gevent", "grpc", "redis", "falcon", "backends"), imported
            if imported.startswith("workers.") and imported not in seen:
                waiting.append(imported)
    assert "workers.settings" in seen
