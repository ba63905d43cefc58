"""The application log: one JSON object a line on standard error, with the request id where there is one."""

from __future__ import annotations

import json
import logging
import sys
import time

_FIELDS = ("request_id", "operation", "bucket", "key")


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without the newline."""
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        for field in _FIELDS:
            value = getattr(record, field, None)
            if value:
                line[field] = value
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(level: str) -> None:
    """Send the log of this process to standard error from `level` ("debug" … "error") on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # In a worker gunicorn's own lines go the same way; the master's are written before this is called.
    server = logging.getLogger("gunicorn.error")
    server.handlers.clear()
    server.propagate = True
