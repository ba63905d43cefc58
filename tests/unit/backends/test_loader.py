"""How plugins are found, and every refusal in one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from textwrap import dedent

import pytest

from backends import loader
from backends.api import CONTRACT_VERSION, BackendConfig, ConfigurationError
from backends.memory import MemoryBackend

COMPLETE = """
    from backends.memory.backend import MemoryBackend as Base

    class Plugin(Base):
        name = "test"
"""


@pytest.fixture
def plugin_file(tmp_path: Path):
    """Writes a plugin's source to a file and returns its path."""

    def write(source: str, name: str = "plugin.py") -> str:
        path = tmp_path / name
        path.write_text(dedent(source), encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """Makes an importable module of some source."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made = []

    def write(source: str) -> str:
        name = f"loader_test_module_{len(made)}"
        (tmp_path / f"{name}.py").write_text(dedent(source), encoding="utf-8")
        made.append(name)
        return name

    yield write
    for name in made:
        sys.modules.pop(name, None)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch):
    """Makes plugins look installed: name to the entry point's value."""

    def install(**values: str) -> None:
        points = EntryPoints(EntryPoint(name, value, loader.ENTRY_POINT_GROUP) for name, value in values.items())
        monkeypatch.setattr(loader, "entry_points", lambda **wanted: points.select(**wanted))

    return install


def refusal(specification: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        loader.load(specification)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert text.startswith("backend: ")
    return text


def test_a_module_and_a_class() -> None:
    assert loader.load("backends.memory:MemoryBackend") is MemoryBackend


def test_an_entry_point(installed) -> None:
    installed(memory="backends.memory:MemoryBackend", other="nowhere:Nothing")
    assert loader.load("memory") is MemoryBackend
    assert loader.names() == ["memory", "other"]


def test_a_file(plugin_file) -> None:
    plugin = loader.load(plugin_file(COMPLETE))
    assert plugin.name == "test"
    assert issubclass(plugin, MemoryBackend)


def test_a_file_and_one_of_its_classes(plugin_file) -> None:
    path = plugin_file(COMPLETE + "\n    class Second(Plugin):\n        name = 'second'\n")
    assert loader.load(f"{path}:Second").name == "second"
    assert loader.load(f"{path}:Plugin").name == "test"


def test_create_hands_over_the_configuration() -> None:
    config = BackendConfig(directory="/somewhere", options={"max_bytes": 5})
    backend = loader.create("backends.memory:MemoryBackend", config)
    assert isinstance(backend, MemoryBackend)
    assert backend.config is config


def test_create_lets_the_plugin_refuse_its_options() -> None:
    with pytest.raises(ConfigurationError, match="wrong"):
        loader.create("backends.memory:MemoryBackend", BackendConfig(options={"wrong": 1}))


def test_no_such_plugin_names_those_that_are_there(installed) -> None:
    installed(memory="backends.memory:MemoryBackend", alpha="x:Y")
    assert refusal("nothing") == "backend: there is no plugin 'nothing' (installed: alpha, memory)"


def test_versioning_needs_the_methods_that_take_versions(plugin_file) -> None:
    path = plugin_file(COMPLETE + "\n        capabilities = Base.capabilities.__class__(versioning=True)\n")
    assert refusal(path).endswith("declares versioning and is no VersionedBackend")


def test_no_plugin_at_all(installed) -> None:
    installed()
    assert refusal("nothing") == "backend: there is no plugin 'nothing' (installed: none)"


def test_an_entry_point_that_does_not_load(installed) -> None:
    installed(broken="no_such_module_anywhere:Plugin")
    text = refusal("broken")
    assert text == (
        "backend: plugin 'broken' does not load: ModuleNotFoundError: No module named 'no_such_module_anywhere'"
    )


def test_an_entry_point_whose_class_is_missing(installed) -> None:
    installed(broken="backends.memory:NoSuchClass")
    assert "plugin 'broken' does not load: AttributeError" in refusal("broken")


def test_a_module_that_is_not_there() -> None:
    text = refusal("no_such_module_anywhere:Plugin")
    assert "module 'no_such_module_anywhere' does not load: ModuleNotFoundError" in text


def test_a_module_without_the_class() -> None:
    assert refusal("backends.memory:Nothing") == "backend: module 'backends.memory' has no 'Nothing'"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("import no_such_module_anywhere", "ModuleNotFoundError"),
        ("class (", "SyntaxError"),
        ("raise AttributeError('inside')", "AttributeError: inside"),
    ],
)
def test_a_module_or_file_that_breaks_says_how(module, plugin_file, source: str, said: str) -> None:
    assert said in refusal(f"{module(source)}:Plugin")
    assert said in refusal(plugin_file(source))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = str(tmp_path / "missing.py")
    assert refusal(path) == f"backend: there is no file {path!r}"
    assert refusal(f"{path}:Plugin") == f"backend: there is no file {path!r}"


def test_a_file_without_the_named_class(plugin_file) -> None:
    path = plugin_file(COMPLETE)
    assert refusal(f"{path}:Nothing") == f"backend: {path!r} has no 'Nothing'"


@pytest.mark.parametrize(
    ("source", "count"), [("x = 1", 0), ("from backends.memory import MemoryBackend", 0), (COMPLETE + COMPLETE, 1)]
)
def test_only_classes_that_a_file_defines_itself_count(plugin_file, source: str, count: int) -> None:
    path = plugin_file(source)
    if count == 1:
        assert loader.load(path).name == "test"
    else:
        assert refusal(path) == f"backend: {path!r} defines {count} Backend classes; name one as FILE.py:Class"


def test_a_file_with_two_plugins_has_to_be_asked_for_one(plugin_file) -> None:
    path = plugin_file(COMPLETE + "\n    class Second(Base):\n        name = 'second'\n")
    assert refusal(path) == f"backend: {path!r} defines 2 Backend classes; name one as FILE.py:Class"


@pytest.mark.parametrize("attribute", ["BLOCK_SIZE", "Caller", "CopySource"])
def test_something_that_is_no_plugin(attribute: str) -> None:
    name = "backends.copying" if attribute == "CopySource" else "backends.api"
    text = refusal(f"{name}:{attribute}")
    assert text == f"backend: '{name}:{attribute}' is not a class derived from backends.api.Backend"


def test_a_plugin_that_lacks_methods_is_told_which(plugin_file) -> None:
    path = plugin_file(
        """
        from backends.api import Backend

        class Half(Backend):
            def get_bucket(self, caller, bucket): ...
        """
    )
    text = refusal(path)
    assert text.startswith(f"backend: {path!r} lacks create_bucket, delete_bucket, delete_object, ")
    assert "get_bucket" not in text
    assert text.endswith("list_buckets, put_object, scan")


@pytest.mark.parametrize(("contract", "fits"), [((1, 0), True), ((1, 99), False), ((0, 0), False), ((2, 0), False)])
def test_the_contract_version_decides(plugin_file, contract: tuple[int, int], fits: bool) -> None:
    path = plugin_file(COMPLETE + f"        contract = {contract}\n")
    if fits:
        assert loader.load(path).contract == contract
    else:
        major, minor = contract
        ours = ".".join(map(str, CONTRACT_VERSION))
        said = f"backend: {path!r} is built for contract {major}.{minor}, this gateway speaks {ours}"
        assert refusal(path) == said


@pytest.mark.parametrize("specification", ["", ":", ":Class", "a:b:c", "..:x", "backends.memory:"])
def test_nonsense_is_refused_in_one_line(specification: str) -> None:
    refusal(specification)
