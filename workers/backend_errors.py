"""The errors of storage plugins as S3 errors, mapped in this one place."""

from __future__ import annotations

from backends.api import (
    BackendError,
    BucketExists,
    BucketNotEmpty,
    DocumentChanged,
    KeyNotStorable,
    NoSuchBucket,
    NoSuchObject,
    NoSuchUpload,
    NoSuchVersion,
    NotSupported,
    PermissionDenied,
    PreconditionFailed,
    QuotaExceeded,
    StorageFull,
    StorageUnavailable,
)
from workers.protocol.errors import S3Error


def s3_error(error: BackendError, bucket: str, key: str) -> S3Error | None:
    """The S3 error that says what a plugin's error says; None when it is none of the contract's."""
    match error:
        case NoSuchBucket():
            return S3Error("NoSuchBucket", BucketName=bucket)
        case NoSuchObject():
            return S3Error("NoSuchKey", Key=key)
        case NoSuchVersion():
            return S3Error("NoSuchVersion", Key=key)
        case NoSuchUpload():
            return S3Error("NoSuchUpload")
        case PreconditionFailed():
            return S3Error("PreconditionFailed", Condition=error.condition)
        case BucketExists():
            return S3Error("BucketAlreadyExists", BucketName=bucket)
        case BucketNotEmpty():
            return S3Error("BucketNotEmpty", BucketName=bucket)
        case KeyNotStorable():
            return S3Error("InvalidArgument", f"The storage cannot hold this key: {error}", ArgumentName="Key")
        case DocumentChanged():
            return S3Error("OperationAborted")
        case PermissionDenied():
            return S3Error("AccessDenied")
        case StorageFull():
            return S3Error("InsufficientStorage")
        case QuotaExceeded():
            return S3Error("InsufficientStorage", "The storage quota is used up.")
        case StorageUnavailable():
            return S3Error("ServiceUnavailable", headers={"Retry-After": str(error.retry_after)})
        case NotSupported():
            return S3Error("NotImplemented", f"The storage does not support this: {error}")
        case _:
            return None
