"""Finds and loads storage plugins, once per worker."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

from backends.api import CONTRACT_VERSION, Backend, BackendConfig, ConfigurationError, VersionedBackend

ENTRY_POINT_GROUP: Final = "shardgate.backends"


def names() -> list[str]:
    """The names of all installed plugins."""
    return sorted({point.name for point in entry_points(group=ENTRY_POINT_GROUP)})


def load(specification: str) -> type[Backend]:
    """The plugin class that `specification` names.

    It is the name of an entry point, `module:Class`, or the path of a Python file (`FILE.py` or `FILE.py:Class`) that
    defines one Backend. Raises `ConfigurationError` with one line.
    """
    path, _, attribute = specification.partition(":")
    if path.endswith(".py"):
        plugin = _from_file(Path(path), attribute)
    elif attribute:
        plugin = _from_module(path, attribute)
    else:
        plugin = _from_entry_point(specification)
    return _checked(specification, plugin)


def create(specification: str, config: BackendConfig) -> Backend:
    """Load a plugin and make it with its configuration; it is not opened yet. Raises `ConfigurationError`."""
    return load(specification)(config)


def _from_entry_point(name: str) -> object:
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        try:
            return point.load()
        except Exception as error:  # whatever the plugin's import raises is its author's to read
            raise ConfigurationError(f"backend: plugin {name!r} does not load: {_line(error)}") from error
    known = ", ".join(names()) or "none"
    raise ConfigurationError(f"backend: there is no plugin {name!r} (installed: {known})")


def _from_module(module_name: str, attribute: str) -> object:
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ConfigurationError(f"backend: module {module_name!r} does not load: {_line(error)}") from error
    if not hasattr(module, attribute):
        raise ConfigurationError(f"backend: module {module_name!r} has no {attribute!r}")
    return getattr(module, attribute)


def _from_file(path: Path, attribute: str) -> object:
    specification = importlib.util.spec_from_file_location(f"shardgate_plugin_{path.stem}", path)
    if specification is None or specification.loader is None or not path.is_file():
        raise ConfigurationError(f"backend: there is no file {str(path)!r}")
    module = importlib.util.module_from_spec(specification)
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        raise ConfigurationError(f"backend: {str(path)!r} does not load: {_line(error)}") from error
    if attribute:
        if not hasattr(module, attribute):
            raise ConfigurationError(f"backend: {str(path)!r} has no {attribute!r}")
        return getattr(module, attribute)
    found = [
        member
        for member in vars(module).values()
        if inspect.isclass(member) and issubclass(member, Backend) and member.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise ConfigurationError(
            f"backend: {str(path)!r} defines {len(found)} Backend classes; name one as FILE.py:Class"
        )
    return found[0]


def _checked(specification: str, plugin: object) -> type[Backend]:
    if not (inspect.isclass(plugin) and issubclass(plugin, Backend)):
        raise ConfigurationError(f"backend: {specification!r} is not a class derived from backends.api.Backend")
    missing = sorted(plugin.__abstractmethods__)
    if missing:
        raise ConfigurationError(f"backend: {specification!r} lacks {', '.join(missing)}")
    major, minor = plugin.contract
    if major != CONTRACT_VERSION[0] or minor > CONTRACT_VERSION[1]:
        ours = f"{CONTRACT_VERSION[0]}.{CONTRACT_VERSION[1]}"
        raise ConfigurationError(
            f"backend: {specification!r} is built for contract {major}.{minor}, this gateway speaks {ours}"
        )
    if plugin.capabilities.versioning and not issubclass(plugin, VersionedBackend):
        raise ConfigurationError(f"backend: {specification!r} declares versioning and is no VersionedBackend")
    return plugin


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
