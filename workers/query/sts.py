"""STS: who one is, and temporary credentials."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from msgspec.structs import replace

from workers.iam.accounts import account_number
from workers.iam.decision import decide_assume_role, denial_message
from workers.iam.oidc import Issuers, TokenError, audiences_of, check_audience, condition_keys
from workers.iam.policy.compiler import compile_policy
from workers.iam.policy.context import Value
from workers.iam.policy.model import Kind
from workers.iam.policy.principals import PARTITION, Principal, PrincipalKind, web_identity_principal
from workers.iam.providers import provider_name
from workers.iam.records import SESSION_NAME, AccountRecord, ProviderRecord, RoleRecord, check_tags
from workers.iam.sessions import SessionRecord, Sessions
from workers.protocol.errors import S3Error
from workers.protocol.query import Parameters, QueryError
from workers.protocol.xml import Node
from workers.query.caller import context_of, keys_of
from workers.query.rendering import reply, when
from workers.request import Request, Response
from workers.routing import STS, Level, operation

SHORTEST: Final = 900
LONGEST: Final = 129_600
OF_ROOT: Final = 3600
OF_CHAIN: Final = 3600
MAX_POLICY: Final = 2048
MAX_POLICY_ARNS: Final = 10
MAX_PACKED: Final = 4096
"""Bytes that the policies and tags of a session may be packed to: the token goes with each request."""

_ROLE_ARN: Final = re.compile(rf"arn:{PARTITION}:iam::(\d{{12}}):role/(?:[^*?]*/)?([^/*?]+)", re.ASCII)
_EXTERNAL_ID: Final = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)
_TAGS_CLAIM: Final = "https://aws.amazon.com/tags"
_REFUSED: Final = "Not authorized to perform sts:AssumeRoleWithWebIdentity"

H = TypeVar("H", bound=Callable[[Request], Response])


def sts_operation(name: str, *, action: str = "", anonymous: bool = False) -> Callable[[H], H]:
    """Declare an operation of STS. Each decides by itself whether it is allowed; `action` is what it asks for."""
    return operation(name, "POST", Level.SERVICE, service=STS, action=action, anonymous=anonymous)


class Limits(NamedTuple):
    """What a request asks to limit or to mark a session by."""

    policy: str
    policy_arns: tuple[str, ...]
    tags: Mapping[str, str]
    transitive: tuple[str, ...]
    packed: int
    """Percent of what there may be; 0 for none."""


@sts_operation("GetCallerIdentity")
def get_caller_identity(request: Request) -> Response:
    """Who the caller is. Nobody can be refused this."""
    principal = request.principal
    nodes = [("UserId", principal.user_id), ("Account", principal.account_number), ("Arn", principal.arn)]
    return reply(request, nodes)


@sts_operation("GetSessionToken")
def get_session_token(request: Request) -> Response:
    """Temporary credentials of the user or account that asks. They end with the access key that was used, too."""
    parameters: Parameters = request.payload
    principal = request.principal
    if principal.token_issued is not None:
        raise QueryError("AccessDenied", "Cannot call GetSessionToken with session credentials")
    _refuse_codes(parameters)
    seconds = parameters.integer("DurationSeconds", 43_200, SHORTEST, LONGEST)
    if principal.kind is PrincipalKind.ACCOUNT:
        seconds = min(seconds, OF_ROOT)
    sessions = sessions_of(request)
    record = replace(sessions.begin(seconds, principal.account_id), base=request.access_key)
    return reply(request, [("Credentials", _credentials(sessions, record))])


@sts_operation("AssumeRole", action="sts:AssumeRole")
def assume_role(request: Request) -> Response:
    """Temporary credentials of a role, for those whom its trust policy names."""
    parameters: Parameters = request.payload
    _refuse_codes(parameters)
    if parameters.members("ProvidedContexts"):
        raise QueryError("ValidationError", "ProvidedContexts are not supported")
    role_arn = parameters.require("RoleArn")
    name = _session_name(parameters)
    external = parameters.get("ExternalId", "no")
    if not _EXTERNAL_ID.fullmatch(external):
        raise QueryError("ValidationError", "ExternalId has 2 to 1224 letters, digits or _+=,.@:/-")
    principal = request.principal
    former = _former(request)
    source = _source_identity(parameters, former)
    found = _role(request, role_arn)
    if found is None:
        raise _denied(principal, "sts:AssumeRole", role_arn)
    account, role = found
    limits = _limits(request, account, former)
    seconds = _duration(parameters, role, chained=principal.kind is PrincipalKind.ROLE)
    actions = ["sts:AssumeRole"]
    actions += ["sts:TagSession"] if limits.tags else []
    actions += ["sts:SetSourceIdentity"] if source else []
    claims: dict[str, Value] = {**keys_of(request)}
    claims |= {f"aws:requesttag/{tag}": value for tag, value in limits.tags.items()}
    _check_trust(request, role, actions, principal, claims)
    sessions = sessions_of(request)
    record = replace(
        sessions.begin(seconds, account.id),
        role=role.name,
        role_id=role.id,
        name=name,
        policy=limits.policy,
        policy_arns=limits.policy_arns,
        tags=limits.tags,
        transitive=limits.transitive,
        source=source,
    )
    nodes = _assumed(sessions, record, limits)
    return reply(request, [*nodes, ("SourceIdentity", source or None)])


@sts_operation("AssumeRoleWithWebIdentity", action="sts:AssumeRoleWithWebIdentity", anonymous=True)
def assume_role_with_web_identity(request: Request) -> Response:
    """Temporary credentials of a role, for the holder of a token of a provider that the role's account trusts."""
    parameters: Parameters = request.payload
    if "ProviderId" in parameters:
        raise QueryError("ValidationError", "Only tokens of OpenID Connect are taken, without ProviderId")
    token = parameters.require("WebIdentityToken")
    role_arn = parameters.require("RoleArn")
    name = _session_name(parameters)
    try:
        # The signature first: nobody without a token of a known issuer makes the gateway look for anything.
        claims = _issuers(request).verify(token)
        found = _role(request, role_arn)
        provider = None if found is None else _provider(request, found[0], claims["iss"])
        if found is None or provider is None:
            raise QueryError("AccessDenied", _REFUSED)
        account, role = found
        check_audience(claims, provider.client_ids)
    except TokenError as error:
        raise QueryError(error.code, str(error)) from None
    limits = _limits(request, account, None, _tags_of(claims))
    seconds = _duration(parameters, role, chained=False)
    principal = web_identity_principal(account.id, provider.name, user_id=claims["sub"])
    actions = ["sts:AssumeRoleWithWebIdentity", *(["sts:TagSession"] if limits.tags else [])]
    keys: dict[str, Value] = {**keys_of(request), **condition_keys(provider.name, claims)}
    keys |= {f"aws:requesttag/{tag}": value for tag, value in limits.tags.items()}
    try:
        _check_trust(request, role, actions, principal, keys)
    except QueryError:
        raise QueryError("AccessDenied", _REFUSED) from None
    sessions = sessions_of(request)
    record = replace(
        sessions.begin(seconds, account.id),
        role=role.name,
        role_id=role.id,
        name=name,
        policy=limits.policy,
        policy_arns=limits.policy_arns,
        tags=limits.tags,
        transitive=limits.transitive,
        provider=provider.name,
    )
    audience = next((one for one in provider.client_ids if one in audiences_of(claims)), None)
    nodes = [
        *_assumed(sessions, record, limits),
        ("SubjectFromWebIdentityToken", claims["sub"]),
        ("Provider", provider.arn),
        ("Audience", audience),
    ]
    return reply(request, nodes)


# -- what operations work with


def sessions_of(request: Request) -> Sessions:
    """What issues sessions. Raises `QueryError` NotSupported where the gateway has none."""
    sessions = request.services.sessions
    if sessions is None:
        raise QueryError("NotSupported", "This gateway issues no temporary credentials.")
    return sessions


def _issuers(request: Request) -> Issuers:
    issuers = request.services.issuers
    if issuers is None:
        raise QueryError("InvalidIdentityToken", "This gateway knows no identity providers.")
    return issuers


def _role(request: Request, arn: str) -> tuple[AccountRecord, RoleRecord] | None:
    """The role of an ARN and its account, None when there is no such role or its account is disabled."""
    match = _ROLE_ARN.fullmatch(arn)
    if match is None:
        raise QueryError("ValidationError", f"{arn[:600]} is invalid")
    registry = sessions_of(request).registry
    account = registry.account_by_number(match[1])
    role = None if account is None else registry.roles.find(account.id, match[2])
    if account is None or not account.enabled or role is None or role.arn != arn:
        return None
    return account, role


def _provider(request: Request, account: AccountRecord, issuer: str) -> ProviderRecord | None:
    found = sessions_of(request).registry.providers.find(account.id, provider_name(issuer))
    return found if found is not None and found.url == issuer else None


def _check_trust(
    request: Request, role: RoleRecord, actions: list[str], principal: Principal, claims: Mapping[str, Value]
) -> None:
    """Raises `QueryError` AccessDenied unless the role's trust policy, and what else has to, allows all of it."""
    try:
        trust = compile_policy(role.trust, Kind.TRUST, role.arn)
    except S3Error:
        # One that was stored and cannot be read any more trusts nobody.
        raise _denied(principal, actions[0], role.arn) from None
    context = context_of(request, principal, claims)
    for action in actions:
        decision = decide_assume_role(action, role.arn, role.account, trust, principal, context)
        if not decision.allowed:
            own = principal.account_id == role.account
            reason = denial_message(decision, principal, action, role.arn) if own else None
            raise QueryError("AccessDenied", reason) if reason else _denied(principal, action, role.arn)


def _denied(principal: Principal, action: str, arn: str) -> QueryError:
    return QueryError(
        "AccessDenied", f"User: {principal.arn} is not authorized to perform: {action} on resource: {arn}"
    )


def _refuse_codes(parameters: Parameters) -> None:
    if parameters.get("SerialNumber") or parameters.get("TokenCode"):
        raise QueryError("AccessDenied", "MultiFactorAuthentication failed with invalid MFA one time pass code.")


def _session_name(parameters: Parameters) -> str:
    name = parameters.require("RoleSessionName")
    if not SESSION_NAME.fullmatch(name):
        raise QueryError("ValidationError", "RoleSessionName has 2 to 64 letters, digits or _+=,.@-")
    return name


def _duration(parameters: Parameters, role: RoleRecord, *, chained: bool) -> int:
    seconds = parameters.integer("DurationSeconds", 3600, SHORTEST, 43_200)
    if chained and seconds > OF_CHAIN:
        raise QueryError(
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
        )
    if seconds > role.max_session:
        raise QueryError(
            "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        )
    return seconds


def _former(request: Request) -> SessionRecord | None:
    """The session that a request was signed with, None for long-term keys."""
    token = None if request.authenticated is None else request.authenticated.session_token
    return sessions_of(request).read(token) if token else None


def _source_identity(parameters: Parameters, former: SessionRecord | None) -> str:
    wanted = parameters.get("SourceIdentity")
    if wanted and not SESSION_NAME.fullmatch(wanted):
        raise QueryError("ValidationError", "SourceIdentity has 2 to 64 letters, digits or _+=,.@-")
    if former is not None and former.source:
        if wanted not in ("", former.source):
            raise QueryError("AccessDenied", "The source identity of a session cannot be changed")
        return former.source
    return wanted


def _limits(
    request: Request,
    account: AccountRecord,
    former: SessionRecord | None,
    claimed: tuple[Mapping[str, str], tuple[str, ...]] | None = None,
) -> Limits:
    """Session policies and tags of a request. Raises `QueryError`, `IamError`, `S3Error` MalformedPolicy.

    Args:
        claimed: the tags that a token carries, and which are transitive; such a request has none of its own.
    """
    parameters: Parameters = request.payload
    policy = parameters.get("Policy")
    if len(policy) > MAX_POLICY:
        raise QueryError("PackedPolicyTooLarge", f"A session policy has {MAX_POLICY} characters at most")
    if policy:
        compile_policy(policy, Kind.IDENTITY, "session policy")
    arns = tuple(dict.fromkeys(member.get("arn", "") for member in parameters.members("PolicyArns")))
    if len(arns) > MAX_POLICY_ARNS:
        raise QueryError("ValidationError", f"There are {MAX_POLICY_ARNS} session policies at most")
    registry = sessions_of(request).registry
    for arn in arns:
        if registry.policies.by_arn(account.id, arn) is None:
            raise QueryError("MalformedPolicyDocument", f"The managed policy {arn[:600]} does not exist")
    tags: Mapping[str, str]
    if claimed is None:
        tags, transitive = parameters.pairs("Tags"), tuple(parameters.texts("TransitiveTagKeys"))
    else:
        tags, transitive = claimed
    lowered = {name.lower() for name in tags}
    if not {name.lower() for name in transitive} <= lowered:
        raise QueryError("ValidationError", "TransitiveTagKeys name tags that are not given")
    if former is not None and former.transitive:
        kept = {name: value for name, value in former.tags.items() if name in former.transitive}
        if lowered & {name.lower() for name in kept}:
            raise QueryError("ValidationError", "A transitive tag of the session cannot be given another value")
        tags, transitive = {**tags, **kept}, (*transitive, *kept)
    checked = check_tags(tags)
    names = tuple(name for name in checked if name.lower() in {one.lower() for one in transitive})
    packed = 0
    if policy or arns or checked:
        text = "\n".join((policy, *arns, *(f"{name}={value}" for name, value in checked.items())))
        packed = 100 * len(zlib.compress(text.encode())) // MAX_PACKED + 1
        if packed > 100:
            raise QueryError("PackedPolicyTooLarge", f"The session's policies and tags are {packed}% of what can be")
    return Limits(policy, arns, checked, names, packed)


def _tags_of(claims: Mapping[str, Any]) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The session tags that a token carries in the claim which AWS reads."""
    claim = claims.get(_TAGS_CLAIM)
    if not isinstance(claim, dict):
        return {}, ()
    tags, transitive = claim.get("principal_tags", {}), claim.get("transitive_tag_keys", [])
    if not isinstance(tags, dict) or not isinstance(transitive, list):
        raise QueryError("InvalidIdentityToken", f"The claim {_TAGS_CLAIM} of the token is malformed")
    found: dict[str, str] = {}
    for name, value in tags.items():
        one = value[0] if isinstance(value, list) and len(value) == 1 else value
        if not isinstance(one, str):
            raise QueryError("InvalidIdentityToken", f"The claim {_TAGS_CLAIM} of the token is malformed")
        found[name] = one
    return found, tuple(str(name) for name in transitive)


def _credentials(sessions: Sessions, record: SessionRecord) -> list[Node]:
    return [
        ("AccessKeyId", record.access_key),
        ("SecretAccessKey", record.secret),
        ("SessionToken", sessions.seal(record)),
        ("Expiration", when(record.expires)),
    ]


def _assumed(sessions: Sessions, record: SessionRecord, limits: Limits) -> list[Node]:
    number = account_number(record.account)
    arn = f"arn:{PARTITION}:sts::{number}:assumed-role/{record.role}/{record.name}"
    return [
        ("Credentials", _credentials(sessions, record)),
        ("AssumedRoleUser", [("AssumedRoleId", f"{record.role_id}:{record.name}"), ("Arn", arn)]),
        ("PackedPolicySize", limits.packed or None),
    ]
