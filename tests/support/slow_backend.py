"""The posix plugin, whose completions take as long as the key says: `slow-SECONDS-OUTCOME`."""

from __future__ import annotations

import time
from typing import Any

from backends.api import ObjectRecord, PreconditionFailed, StorageUnavailable, UploadRecord
from backends.posix import PosixBackend


class SlowBackend(PosixBackend):
    """Sleeps before it completes."""

    def complete_upload(self, caller: Any, bucket: str, upload: UploadRecord, *rest: Any) -> ObjectRecord:
        _, seconds, outcome = upload.key.split("-")
        time.sleep(float(seconds))
        match outcome:
            case "precondition":
                raise PreconditionFailed("If-None-Match")
            case "unavailable":
                raise StorageUnavailable("on purpose")
            case "bug":
                raise RuntimeError("on purpose")
        return super().complete_upload(caller, bucket, upload, *rest)
