"""The S3 operations, one module per family. Each function parses, authorizes, calls the backend, renders."""

from __future__ import annotations

from workers.operations import (
    attributes,
    bucket_configuration,
    bucket_tagging,
    buckets,
    completing,
    copying,
    cors,
    deleting,
    form_upload,
    listing,
    multipart,
    multipart_listing,
    object_configuration,
    object_tagging,
    reading,
    renaming,
    service,
    writing,
)
from workers.routing import OperationTable, declared_in

MODULES = (
    service,
    buckets,
    bucket_tagging,
    bucket_configuration,
    listing,
    reading,
    writing,
    form_upload,
    deleting,
    copying,
    renaming,
    attributes,
    object_tagging,
    object_configuration,
    multipart,
    completing,
    multipart_listing,
    cors,
)


def operation_table() -> OperationTable:
    """All operations of the gateway."""
    return OperationTable(declared_in(MODULES))
