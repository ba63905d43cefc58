"""gunicorn's configuration: made from the settings, the same for every way of starting."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from workers import gunicorn_conf

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environ(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("SHARDGATE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SHARDGATE_STATE_DIR", str(tmp_path))
    return monkeypatch


def test_settings_become_gunicorns(environ):
    environ.setenv("SHARDGATE_PORT", "9123")
    environ.setenv("SHARDGATE_WORKERS", "5")
    environ.setenv("SHARDGATE_KEEPALIVE", "0.2e1")
    environ.setenv("SHARDGATE_GRACEFUL_TIMEOUT", "12.6")
    made = gunicorn_conf.configuration()
    assert made["bind"] == ["127.0.0.1:9123"]
    assert (made["workers"], made["keepalive"], made["graceful_timeout"]) == (5, 2, 13)
    assert made["worker_class"] == "workers.server.worker.ShardgateWorker"
    assert (made["preload_app"], made["control_socket_disable"], made["max_requests"]) == (False, True, 0)


def test_proxies_become_gunicorns(environ):
    assert gunicorn_conf.configuration()["proxy_protocol"] == "off"
    environ.setenv("SHARDGATE_PROXY_PROTOCOL", "yes")
    environ.setenv("SHARDGATE_TRUSTED_PROXIES", "10.0.0.0/8,::1")
    made = gunicorn_conf.configuration()
    assert (made["proxy_protocol"], made["proxy_allow_ips"]) == ("auto", "10.0.0.0/8,::1")


def test_limits_of_the_file_reach_the_connection_loop(environ, tmp_path):
    file = tmp_path / "c.toml"
    file.write_text("head_timeout = 7\nmax_header_bytes = 5000\n")
    environ.setenv("SHARDGATE_CONFIG", str(file))
    raw = gunicorn_conf.configuration()["raw_env"]
    assert {"SHARDGATE_HEAD_TIMEOUT=7", "SHARDGATE_MAX_HEADER_BYTES=5000", "SHARDGATE_BODY_TIMEOUT=60"} <= set(raw)


def test_the_top_level_file_gives_the_same(environ):
    made = gunicorn_conf.configuration()
    top_level = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
    assert {name: top_level[name] for name in made} == made


def test_gunicorn_takes_every_setting(environ):
    """gunicorn ignores names that it does not know: a misspelt one would go unnoticed."""
    from gunicorn.config import Config

    config = Config()
    for name, value in gunicorn_conf.configuration().items():
        config.set(name, value)


def test_a_wrong_setting_ends_gunicorn_with_one_line(environ):
    environ.setenv("SHARDGATE_PORT", "none")
    ended = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py")],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    assert ended.returncode == 2
    assert ended.stderr == "shardgate: port (SHARDGATE_PORT): 'none' is not a whole number\n"


class TestBootReport:
    def refuse(self) -> None:
        from backends.api import ConfigurationError

        raise ConfigurationError("backend: it\nhas two lines")

    def test_the_first_worker_tells_the_supervisor(self, environ, tmp_path):
        report = tmp_path / "report"
        environ.setenv(gunicorn_conf.BOOT_REPORT_VARIABLE, str(report))
        for status in (4, 0):
            with pytest.raises(SystemExit) as ended:
                gunicorn_conf._explained(self.refuse)
            assert ended.value.code == status
        assert report.read_text() == "backend: it has two lines\n"

    def test_without_a_supervisor_gunicorn_prints_the_line(self, environ):
        from gunicorn.errors import AppImportError

        environ.delenv(gunicorn_conf.BOOT_REPORT_VARIABLE, raising=False)
        with pytest.raises(AppImportError, match=r"^shardgate: backend: it"):
            gunicorn_conf._explained(self.refuse)

    def test_other_errors_keep_their_traceback(self, environ):
        with pytest.raises(ZeroDivisionError):
            gunicorn_conf._explained(lambda: 1 / 0)
