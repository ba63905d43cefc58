"""gunicorn's configuration for one shard, made from the gateway's settings.

`configuration()` is called again on each reload, so that a changed settings file takes effect on SIGHUP.
The file works by itself (`gunicorn -c PATH/workers/gunicorn_conf.py`) and through the top-level gunicorn.conf.py.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar

from gunicorn.arbiter import Arbiter
from gunicorn.errors import AppImportError

from workers.settings import Settings, SettingsError, load_worker_settings
from workers.settings_table import OPTIONS

T = TypeVar("T")

BOOT_REPORT_VARIABLE: Final = "SHARDGATE_BOOT_REPORT"
"""Set by a supervisor: the file in which the first worker that cannot start leaves the reason, one line."""

_SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 - gunicorn makes an unlinked file of its own there

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT)


def configuration() -> dict[str, Any]:
    """gunicorn's settings by name. Ends the process with status 2 and one line when our settings are wrong."""
    try:
        settings = load_worker_settings()
    except SettingsError as error:
        sys.stderr.write(f"shardgate: {error}\n")
        raise SystemExit(2) from None
    return {
        **_fixed(),
        "bind": [settings.bind],
        "workers": settings.workers,
        "worker_connections": settings.worker_connections,
        "backlog": settings.backlog,
        "keepalive": _whole(settings.keepalive),
        "timeout": _whole(settings.worker_timeout),
        "graceful_timeout": _whole(settings.graceful_timeout),
        "loglevel": settings.log_level,
        **_tls(settings),
        "proxy_protocol": "auto" if settings.proxy_protocol else "off",
        "proxy_allow_ips": ",".join(settings.trusted_proxies),
        # The connection loop reads its limits from the environment: give it what the settings file says, too.
        "raw_env": [
            f"{option.variable}={option.kind.show(getattr(settings, option.name))}"
            for option in OPTIONS
            if option.section == "Limits"
        ],
    }


def _tls(settings: Settings) -> dict[str, str]:
    """Certificate and key, unless a dispatcher on this host has them: then its shards speak plain HTTP."""
    if settings.tls_certificate is None or settings.shards > 0:
        return {}
    key = {"keyfile": str(settings.tls_key)} if settings.tls_key else {}
    return {"certfile": str(settings.tls_certificate), **key}


def _fixed() -> dict[str, Any]:
    """What is not for an operator to choose."""
    return {
        "worker_class": "workers.server.worker.ShardgateWorker",
        "wsgi_app": "workers.gunicorn_conf:application()",
        # Connections and file descriptors of plugins and Redis do not survive a fork.
        "preload_app": False,
        # One listening socket for all workers. With reuse_port each worker has a queue of its own, and what waits in
        # the queue of a worker that stops is reset; a shared one loses nothing on reload or after a kill.
        "reuse_port": False,
        # Recycling workers would cut long transfers off at graceful_timeout.
        "max_requests": 0,
        "control_socket_disable": True,
        "accesslog": None,
        "errorlog": "-",
        "proc_name": "shardgate",
        # The workers' heartbeat is a file: on a busy disk its update could block.
        "worker_tmp_dir": _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None,
        "when_ready": when_ready,
        "post_worker_init": post_worker_init,
        "worker_exit": worker_exit,
    }


def application() -> Callable[..., Any]:
    """The WSGI application of this worker. An expected failure ends the worker with one line, not a traceback."""
    from workers.app import create_app_from_environment

    return _explained(create_app_from_environment)


def when_ready(server: Any) -> None:
    """gunicorn's hook: the master is about to start its first workers.

    A worker inherits the master's signal handlers and replaces them only when it has booted. Until then a stop would
    be noted in a queue that nobody reads, and the master would wait for that worker until graceful_timeout.
    """
    master = os.getpid()

    def before() -> None:
        if os.getpid() == master:
            signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)

    def in_master() -> None:
        if os.getpid() == master:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)

    def in_worker() -> None:
        if os.getppid() == master:
            for number in _STOP_SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)

    os.register_at_fork(before=before, after_in_parent=in_master, after_in_child=in_worker)


def post_worker_init(worker: Any) -> None:
    """gunicorn's hook: the worker is patched for gevent and about to accept connections."""
    from workers.lifecycle import worker_started

    _explained(worker_started, worker)


def worker_exit(server: Any, worker: Any) -> None:
    """gunicorn's hook: the worker's last moment. gunicorn also calls it in the master for a worker that vanished."""
    if worker.pid != os.getpid() or not worker.booted:
        return
    from workers.lifecycle import worker_stopping

    worker_stopping(worker)


def _explained(step: Callable[..., T], *arguments: Any) -> T:
    # Imported late: the master has no need of the backends, and a worker has patched its modules by now.
    from backends.api import BackendError

    try:
        return step(*arguments)
    except (SettingsError, BackendError) as error:
        _refuse(f"{error}")


def _refuse(reason: str) -> NoReturn:
    report = os.environ.get(BOOT_REPORT_VARIABLE)
    if report is None:
        raise AppImportError(f"shardgate: {reason}")
    try:
        with open(report, "x", encoding="utf-8") as file:
            file.write(" ".join(reason.split()) + "\n")
    except FileExistsError:
        # Another worker has told it, and its status stops the master. A second such status that arrives while the
        # master stops would raise out of its signal handling as a traceback.
        raise SystemExit(0) from None
    raise SystemExit(Arbiter.APP_LOAD_ERROR)


def _whole(seconds: float) -> int:
    return max(1, round(seconds))


if __name__ == "__config__":  # the name under which gunicorn executes its configuration file
    globals().update(configuration())
