"""Inline policies, attached policies and tags: the same operations for users, groups and roles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from msgspec.structs import replace

from workers.iam.entities import Collection, Groups, Roles, Users
from workers.iam.records import NotFound, check_tags
from workers.iam.registry import Registry
from workers.query.caller import account_of, registry_of
from workers.query.policies import own_policy, the_policy
from workers.query.rendering import encoded, members, paged, reply, tag_nodes
from workers.query.resources import (
    group_resource,
    iam_operation,
    policy_arn_resource,
    role_resource,
    user_resource,
)
from workers.request import Request, Response
from workers.routing import Handler, Resource


@dataclass(frozen=True, slots=True)
class _Holder:
    """A kind of entity that policies are attached to."""

    kind: str
    resource: Resource
    find: Callable[[Registry], Users | Groups | Roles]

    def name(self, request: Request) -> str:
        name: str = request.payload.require(f"{self.kind}Name")
        return name

    def collection(self, request: Request) -> Any:
        return self.find(registry_of(request))

    def record(self, request: Request) -> Any:
        return self.collection(request).get(account_of(request), self.name(request))


_HOLDERS: Final = (
    _Holder("User", user_resource, lambda registry: registry.users),
    _Holder("Group", group_resource, lambda registry: registry.groups),
    _Holder("Role", role_resource, lambda registry: registry.roles),
)


def _described(function: Handler, text: str) -> Handler:
    function.__doc__ = text
    return function


def _inline_handlers(holder: _Holder) -> list[Handler]:
    kind = holder.kind
    what = f"a {kind.lower()}"

    @iam_operation(f"Put{kind}Policy", holder.resource, writes=True)
    def put(request: Request) -> Response:
        parameters = request.payload
        holder.collection(request).put_inline(
            account_of(request),
            holder.name(request),
            parameters.require("PolicyName"),
            parameters.require("PolicyDocument"),
        )
        return reply(request)

    @iam_operation(f"Get{kind}Policy", holder.resource)
    def get(request: Request) -> Response:
        record, name = holder.record(request), request.payload.require("PolicyName")
        if name not in record.inline:
            raise NotFound(f"The {kind.lower()} policy with name {name[:128]} cannot be found.")
        nodes = [(f"{kind}Name", record.name), ("PolicyName", name), ("PolicyDocument", encoded(record.inline[name]))]
        return reply(request, nodes)

    @iam_operation(f"Delete{kind}Policy", holder.resource, writes=True)
    def delete(request: Request) -> Response:
        holder.collection(request).delete_inline(
            account_of(request), holder.name(request), request.payload.require("PolicyName")
        )
        return reply(request)

    @iam_operation(f"List{kind}Policies", holder.resource)
    def names(request: Request) -> Response:
        page, more = paged(request.payload, sorted(holder.record(request).inline), str)
        return reply(request, [("PolicyNames", members(page)), *more])

    return [
        _described(put, f"Write a policy that is {what}'s own."),
        _described(get, f"A policy that is {what}'s own."),
        _described(delete, f"Remove a policy that is {what}'s own."),
        _described(names, f"The names of the policies that are {what}'s own, in pages."),
    ]


def _attachment_handlers(holder: _Holder) -> list[Handler]:
    kind = holder.kind
    what = f"a {kind.lower()}"

    @iam_operation(f"Attach{kind}Policy", holder.resource, writes=True)
    def attach(request: Request) -> Response:
        holder.collection(request).attach(
            account_of(request), holder.name(request), request.payload.require("PolicyArn")
        )
        return reply(request)

    @iam_operation(f"Detach{kind}Policy", holder.resource, writes=True)
    def detach(request: Request) -> Response:
        holder.collection(request).detach(
            account_of(request), holder.name(request), request.payload.require("PolicyArn")
        )
        return reply(request)

    @iam_operation(f"ListAttached{kind}Policies", holder.resource)
    def attached(request: Request) -> Response:
        prefix = request.payload.get("PathPrefix", "/")
        paths = {arn: "/" + arn.partition("policy/")[2] for arn in holder.record(request).attached}
        arns = sorted(arn for arn, path in paths.items() if path.startswith(prefix))
        page, more = paged(request.payload, arns, str)
        nodes = ([("PolicyName", arn.rpartition("/")[2]), ("PolicyArn", arn)] for arn in page)
        return reply(request, [("AttachedPolicies", members(nodes)), *more])

    return [
        _described(attach, f"Attach a managed policy to {what}."),
        _described(detach, f"Detach a managed policy from {what}."),
        _described(attached, f"The managed policies that are attached to {what}, in pages."),
    ]


@dataclass(frozen=True, slots=True)
class _Tagged:
    """A kind of entity with tags; `name` finds the one that a request names."""

    kind: str
    resource: Resource
    find: Callable[[Registry], Collection[Any]]
    name: Callable[[Request], str]

    def change(self, request: Request, change: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
        def changed(record: Any) -> Any:
            return replace(record, tags=check_tags(change(record.tags)))

        self.find(registry_of(request)).update(account_of(request), self.name(request), changed)


_TAGGED: Final = (
    _Tagged("User", user_resource, lambda registry: registry.users, lambda r: str(r.payload.require("UserName"))),
    _Tagged("Role", role_resource, lambda registry: registry.roles, lambda r: str(r.payload.require("RoleName"))),
    _Tagged("Policy", policy_arn_resource, lambda registry: registry.policies, lambda r: own_policy(r).name),
)


def _tag_handlers(tagged: _Tagged) -> list[Handler]:
    kind = tagged.kind
    what = f"a {kind.lower()}"

    @iam_operation(f"Tag{kind}", tagged.resource, writes=True)
    def tag(request: Request) -> Response:
        added = request.payload.pairs("Tags")
        tagged.change(request, lambda tags: _merged(tags, added))
        return reply(request)

    @iam_operation(f"Untag{kind}", tagged.resource, writes=True)
    def untag(request: Request) -> Response:
        gone = {name.lower() for name in request.payload.texts("TagKeys")}
        tagged.change(request, lambda tags: {name: tags[name] for name in tags if name.lower() not in gone})
        return reply(request)

    @iam_operation(f"List{kind}Tags", tagged.resource)
    def tags(request: Request) -> Response:
        if kind == "Policy":
            record: Any = the_policy(request)
        else:
            record = tagged.find(registry_of(request)).get(account_of(request), tagged.name(request))
        page, more = paged(request.payload, sorted(record.tags), str)
        return reply(request, [("Tags", tag_nodes({name: record.tags[name] for name in page})), *more])

    return [
        _described(tag, f"Add tags to {what}; one of the same name, in whatever case, is replaced."),
        _described(untag, f"Remove tags from {what}."),
        _described(tags, f"The tags of {what}, in pages."),
    ]


def _merged(tags: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    lowered = {name.lower() for name in added}
    return {**{name: value for name, value in tags.items() if name.lower() not in lowered}, **added}


HANDLERS: Final = (
    *(handler for holder in _HOLDERS for handler in _inline_handlers(holder)),
    *(handler for holder in _HOLDERS for handler in _attachment_handlers(holder)),
    *(handler for tagged in _TAGGED for handler in _tag_handlers(tagged)),
)
