"""A gunicorn configuration with a tiny application, to test supervision without the gateway's own application."""

import os

from workers.gunicorn_conf import when_ready  # noqa: F401 - a hook, found by its name

worker_class = "gevent"
wsgi_app = "tests.support.standin_app:application"
workers = 2
control_socket_disable = True
errorlog = "-"
loglevel = "warning"
timeout = 30
graceful_timeout = 20
pythonpath = os.environ.get("STANDIN_ROOT", "")
