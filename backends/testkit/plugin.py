"""The suite's command line options: a pytest plugin, registered by an entry point when shardgate is installed."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options."""
    group = parser.getgroup("shardgate", "conformance of storage plugins (pytest --pyargs backends.testkit)")
    group.addoption("--backend", metavar="NAME|MODULE:CLASS|FILE.py", help="the storage plugin to be tested")
    group.addoption("--backend-config", metavar="FILE.toml", help="the plugin's options")
    group.addoption("--backend-directory", metavar="DIR", help="where the plugin stores; a temporary one by default")
    group.addoption(
        "--backend-caller", metavar="UID:GID", help="numeric identity in the storage system that all calls are made as"
    )
    group.addoption(
        "--backend-processes",
        metavar="N",
        type=int,
        default=4,
        help="processes that contend for one key, where the plugin shares its storage; 0 leaves those tests out",
    )
    group.addoption(
        "--backend-relaxed", action="store_true", help="let the plugin acknowledge writes that are not yet durable"
    )
    group.addoption("--gevent", action="store_true", help="patch the standard library with gevent, as a worker does")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Patch before any module of the suite or of the plugin under test is imported."""
    options = early_config.known_args_namespace
    if not getattr(options, "gevent", False):
        return
    if getattr(options, "numprocesses", None):
        raise pytest.UsageError("--gevent patches the process it is given to: not together with -n")
    from gevent import monkey

    monkey.patch_all()


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say what is tested and how."""
    specification = config.getoption("--backend")
    if not specification:
        return None
    return f"storage plugin: {specification}, {'patched by gevent' if config.getoption('--gevent') else 'with threads'}"
