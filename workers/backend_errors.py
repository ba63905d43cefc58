"""The errors of storage plugins, and of Redis, as S3 errors, mapped in this one place."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import redis

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
    """The S3 error that says what a plugin's error says; None when it is none of the contract's.

    A plugin's own text is for operators: it may name paths and hosts.
    """
    match error:
        case NoSuchBucket():
            return S3Error("NoSuchBucket", BucketName=bucket)
        case NoSuchObject():
            return S3Error("NoSuchKey", Key=key)
        case NoSuchVersion():
            return S3Error("NoSuchVersion", Key=key, VersionId=error.version_id)
        case NoSuchUpload():
            return S3Error("NoSuchUpload")
        case PreconditionFailed():
            return S3Error("PreconditionFailed", Condition=error.condition)
        case BucketExists():
            return S3Error("BucketAlreadyExists", BucketName=bucket)
        case BucketNotEmpty():
            return S3Error("BucketNotEmpty", BucketName=bucket)
        case KeyNotStorable():
            return S3Error("InvalidArgument", "The storage cannot hold an object under this key.", ArgumentName="Key")
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
            return S3Error("NotImplemented", "The storage does not support this.")
        case _:
            return None


def refusal_of(
    error: BackendError | redis.RedisError, bucket: str, key: str, log: logging.Logger, fields: Mapping[str, str]
) -> S3Error:
    """The S3 error for a plugin's, whatever it is, or for Redis away. What operators should know of it is logged."""
    if isinstance(error, redis.RedisError):
        log.error("redis: %s: %s", type(error).__name__, error, extra=fields)
        return S3Error("ServiceUnavailable", headers={"Retry-After": "1"})
    mapped = s3_error(error, bucket, key)
    if mapped is None or mapped.status in (500, 503, 507):
        log.error("storage: %s: %s", type(error).__name__, error, extra=fields, exc_info=mapped is None)
    elif isinstance(error, KeyNotStorable | NotSupported):
        log.info("storage: %s: %s", type(error).__name__, error, extra=fields)
    return mapped or S3Error("InternalError")
