"""The S3 operations, one module per family. Each function parses, authorizes, calls the backend, renders.

The table also has the operations of IAM and STS, which are in `workers.query`.
"""

from __future__ import annotations

from workers.operations import (
    access_control,
    administration,
    attributes,
    bucket_configuration,
    bucket_policy,
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
from workers.query import absent, attachments, groups, policies, providers, roles, sts, users
from workers.routing import OperationTable, declared_in

MODULES = (
    service,
    buckets,
    bucket_tagging,
    bucket_configuration,
    bucket_policy,
    access_control,
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
    administration,
)

QUERY_MODULES = (users, groups, roles, policies, attachments, providers, absent, sts)


def operation_table() -> OperationTable:
    """All operations of the gateway."""
    return OperationTable(declared_in((*MODULES, *QUERY_MODULES)))
