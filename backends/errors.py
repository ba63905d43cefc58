"""The errors that a storage plugin raises. The gateway maps each to one S3 error."""

from __future__ import annotations


class BackendError(Exception):
    """Base of all errors of a storage plugin; its text may be shown to operators, never to S3 clients."""


class ConfigurationError(BackendError):
    """The plugin cannot work with its configuration. The text is one line that names the setting."""


class NoSuchBucket(BackendError):
    """There is no such bucket."""


class BucketExists(BackendError):
    """A bucket of that name exists."""


class BucketNotEmpty(BackendError):
    """The bucket holds objects, versions or open uploads."""


class NoSuchObject(BackendError):
    """There is no object under that key."""


class NoSuchVersion(BackendError):
    """The object has no such version."""

    def __init__(self, version_id: str) -> None:
        super().__init__(version_id)
        self.version_id = version_id


class NoSuchUpload(BackendError):
    """There is no such multipart upload."""


class KeyNotStorable(BackendError):
    """The storage cannot hold an object under this key; the text says why."""


class PreconditionFailed(BackendError):
    """A precondition does not hold. `condition` names it as S3's error does, such as "If-Match"."""

    def __init__(self, condition: str) -> None:
        super().__init__(condition)
        self.condition = condition


class DocumentChanged(BackendError):
    """A document does not have the expected revision any more."""


class PermissionDenied(BackendError):
    """The storage system's own permissions forbid this to the caller."""


class QuotaExceeded(BackendError):
    """A quota of the storage system is used up."""


class StorageFull(BackendError):
    """No space is left."""


class StorageUnavailable(BackendError):
    """The storage cannot answer now; `retry_after` is a hint in seconds."""

    def __init__(self, reason: str, retry_after: int = 5) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class NotSupported(BackendError):
    """The storage cannot do this; the text names what."""
