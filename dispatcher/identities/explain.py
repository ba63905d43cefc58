"""`shardgate policies explain`: whether a request would be allowed, and which statement decides it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import click

from dispatcher.identities.common import as_json, opened, with_settings
from dispatcher.processes import SupervisionError

if TYPE_CHECKING:
    from backends.api import Backend
    from workers.iam.decision import BucketAccess, Lookup
    from workers.iam.explaining import Explanation
    from workers.settings import Settings

_S3: Final = "arn:aws:s3:::"


@click.command("explain")
@with_settings
@click.option(
    "--as",
    "caller",
    required=True,
    metavar="WHO",
    help="`anonymous`, `root`, an account, `ACCOUNT/USER`, the ARN of a user or role, or an access key.",
)
@click.option("--action", required=True, help="Such as s3:GetObject; the service may be left out for S3.")
@click.option("--resource", required=True, help="`BUCKET`, `BUCKET/KEY`, `s3://BUCKET/KEY`, or an ARN.")
@click.option("--source-ip", default="", metavar="ADDRESS", help="The client's address, for conditions.")
@click.option("--plain", is_flag=True, help="The request comes by plain HTTP.")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="A header of the request.")
@click.option("--query", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter, such as prefix=home/.")
@click.option("--version-id", default=None, metavar="ID", help="The version that the request names.")
@as_json
def explain_command(
    settings: Settings,
    caller: str,
    action: str,
    resource: str,
    source_ip: str,
    plain: bool,
    headers: tuple[str, ...],
    parameters: tuple[str, ...],
    version_id: str | None,
    as_json: bool,
) -> None:
    """Tell whether a request would be allowed, and why, without making it."""
    from workers.iam.explaining import Impersonator, explain
    from workers.iam.identities import Identities
    from workers.iam.policy.actions import ACTIONS
    from workers.iam.policy.context import RequestContext

    action = action if ":" in action else f"s3:{action}"
    if action not in ACTIONS:
        raise click.UsageError(f"there is no action {action}")
    arn = _arn(resource)
    sent = {name.lower(): value for name, value in _pairs(headers, ":")}
    with opened(settings) as found:
        principal = Impersonator(found.registry, Identities(found.registry)).principal(caller)
        access, lookup = _bucket(found.backend, arn)
        context = RequestContext(
            now=time.time(),
            source_ip=source_ip,
            secure=not plain,
            header=sent.get,
            query=dict(_pairs(parameters, "=")),
            region=settings.region,
            resource_account="" if access is None else access.owner_number,
            auth_type="" if caller == "anonymous" else "REST-HEADER",
            version_id=version_id,
        )
        _print(explain(action, arn, principal, context, access, lookup), as_json=as_json)


def _arn(resource: str) -> str:
    """The ARN of what may be given shorter."""
    return resource if resource.startswith("arn:") or resource == "*" else _S3 + resource.removeprefix("s3://")


def _pairs(given: Iterable[str], mark: str) -> Iterable[tuple[str, str]]:
    for text in given:
        name, found, value = text.partition(mark)
        if not found:
            raise click.UsageError(f"expected NAME{mark}VALUE, not {text!r}")
        yield name.strip(), value.strip()


def _bucket(backend: Backend, arn: str) -> tuple[BucketAccess | None, Lookup | None]:
    """What the bucket of an ARN, and its object, say about access. Raises SupervisionError."""
    from backends.api import NoSuchBucket, NoSuchObject
    from workers.buckets import GATEWAY, Buckets
    from workers.iam.acl import decode_acl
    from workers.iam.decision import ObjectAccess
    from workers.protocol.names import is_bucket_name
    from workers.state.announcements import Changes

    name, _, key = arn.removeprefix(_S3).partition("/")
    if not arn.startswith(_S3) or "*" in name:
        return None, None
    if not is_bucket_name(name):
        raise SupervisionError(f"{name} is no name of a bucket")
    try:
        access = Buckets(backend, Changes(None)).get(name).access
    except NoSuchBucket:
        # As for a bucket that is about to be made.
        click.echo(f"there is no bucket {name}", err=True)
        return None, None

    def look() -> ObjectAccess | None:
        try:
            record = backend.head_object(GATEWAY, name, key)
        except NoSuchObject:
            return None
        return ObjectAccess(record.owner, decode_acl(record.acl) if record.acl else None)

    return access, look if key else None


def _print(explanation: Explanation, *, as_json: bool) -> None:
    decision = explanation.decision
    if as_json:
        document = {
            "allowed": decision.allowed,
            "reason": decision.reason.value,
            "document": decision.document,
            "statement": decision.statement,
            "statements": [statement._asdict() for statement in explanation.statements],
        }
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(str(decision))
    for found in explanation.statements:
        click.echo(f"  {found.effect:<5}  {found.statement}  ({found.kind} {found.document})")
    if not explanation.statements:
        click.echo("  no statement of any policy speaks of it")
