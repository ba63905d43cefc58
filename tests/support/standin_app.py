"""The stand-in's application: ready at once, `/slow` takes a second, `/broken` ends the worker."""

import os
import time


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        time.sleep(1.5)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {os.environ.get('SHARDGATE_REDIS_URL', '')}".encode()]
