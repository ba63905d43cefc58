"""Who asks, and the names by which a policy can speak of him."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from workers.iam.accounts import account_number

if TYPE_CHECKING:
    from workers.iam.policy.compiler import CompiledPolicy

NONE: Final = 0
ACCOUNT: Final = 1
"""A grant to the account of the caller: it lets the account pass it on by its identity policies."""
DIRECT: Final = 2
"""A grant to the caller himself, or to everyone."""
SESSION: Final = 3
"""A grant to one session of a role, which no boundary limits."""

PARTITION: Final = "aws"
_NO_TAGS: Final[Mapping[str, str]] = MappingProxyType({})


class PrincipalKind(enum.Enum):
    """Kinds of callers; the values are those of aws:PrincipalType."""

    ANONYMOUS = "Anonymous"
    ACCOUNT = "Account"
    """An account's own keys (its root user)."""
    USER = "User"
    ROLE = "AssumedRole"
    WEB_IDENTITY = "FederatedUser"
    """The holder of an OIDC token who is about to assume a role by it."""
    SERVICE = "Service"
    """The gateway itself on behalf of a function of its own, such as the delivery of logs."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Principal:
    """A caller and the policies attached to him. Made once for each credential and kept; equal by identity.

    Attributes:
        account_id: canonical user id of the account that he is, or belongs to; "" for an anonymous caller.
        root: whether he is the gateway's own root account, which owns everything.
        name: the user's name, the role's name and session, or the service ("logging.s3.amazonaws.com").
        user_id: the unique id (aws:userid).
        arn: of the user, of the role session, or of the account's root.
        role_arn: of the role, "" for others.
        provider: the OIDC provider by which a role was assumed, "" for none.
        tags: of the user or session, names in lower case.
        policies: the identity policies: his own and those of his groups, or of his role.
        boundary: the permissions boundary.
        session: session policies; None without any, so that they limit nothing.
        token_issued: seconds since the epoch at which temporary credentials were issued, None for others.
        multi_factor: when multi-factor authentication took place; None without. Only for temporary credentials.
    """

    kind: PrincipalKind
    account_id: str = ""
    root: bool = False
    name: str = ""
    user_id: str = ""
    arn: str = ""
    role_arn: str = ""
    provider: str = ""
    tags: Mapping[str, str] = field(default_factory=lambda: _NO_TAGS)
    policies: tuple[CompiledPolicy, ...] = ()
    boundary: CompiledPolicy | None = None
    session: tuple[CompiledPolicy, ...] | None = None
    token_issued: int | None = None
    multi_factor: int | None = None
    account_number: str = field(init=False)
    names: tuple[tuple[str, int], ...] = field(init=False, repr=False)
    """Under which names policies know him, with the strength of a grant to that name, strongest first."""
    strongest: int = field(init=False, repr=False)
    """The strength beyond which no grant to him goes."""

    def __post_init__(self) -> None:
        number = account_number(self.account_id) if self.account_id else ""
        object.__setattr__(self, "account_number", number)
        object.__setattr__(self, "names", tuple(self._names(number)))
        object.__setattr__(self, "strongest", SESSION if self.kind is PrincipalKind.ROLE else DIRECT)

    def _names(self, number: str) -> list[tuple[str, int]]:
        if self.kind is PrincipalKind.ANONYMOUS:
            return []
        if self.kind is PrincipalKind.SERVICE:
            return [(f"service:{self.name}", DIRECT)]
        own: list[tuple[str, int]] = []
        if self.kind is PrincipalKind.USER:
            own = [(self.arn, DIRECT), (f"id:{self.user_id}", DIRECT)]
        elif self.kind is PrincipalKind.ROLE:
            role_id = self.user_id.partition(":")[0]
            own = [(self.arn, SESSION), (self.role_arn, DIRECT), (f"id:{role_id}", DIRECT)]
        if self.provider:
            arn = f"arn:{PARTITION}:iam::{number}:oidc-provider/{self.provider}"
            own += [(f"federated:{self.provider}", DIRECT), (f"federated:{arn}", DIRECT)]
        if self.kind is PrincipalKind.WEB_IDENTITY:
            return own
        strength = DIRECT if self.kind is PrincipalKind.ACCOUNT else ACCOUNT
        return [*own, (f"account:{number}", strength), (f"canonical:{self.account_id}", strength)]


ANONYMOUS: Final = Principal(kind=PrincipalKind.ANONYMOUS, user_id="anonymous")


def account_principal(
    account_id: str,
    *,
    name: str = "",
    root: bool = False,
    policies: tuple[CompiledPolicy, ...] = (),
    boundary: CompiledPolicy | None = None,
) -> Principal:
    """An account acting by its own keys. What it owns is open to it; `policies` and `boundary` can only deny."""
    number = account_number(account_id)
    return Principal(
        kind=PrincipalKind.ACCOUNT,
        account_id=account_id,
        root=root,
        name=name,
        user_id=number,
        arn=f"arn:{PARTITION}:iam::{number}:root",
        policies=policies,
        boundary=boundary,
    )


def user_principal(
    account_id: str,
    name: str,
    *,
    path: str = "/",
    user_id: str = "",
    tags: Mapping[str, str] = _NO_TAGS,
    policies: tuple[CompiledPolicy, ...] = (),
    boundary: CompiledPolicy | None = None,
    session: tuple[CompiledPolicy, ...] | None = None,
    token_issued: int | None = None,
    multi_factor: int | None = None,
) -> Principal:
    """A user of an account. `path` begins and ends with a slash."""
    return Principal(
        kind=PrincipalKind.USER,
        account_id=account_id,
        name=name,
        user_id=user_id or name,
        arn=f"arn:{PARTITION}:iam::{account_number(account_id)}:user{path}{name}",
        tags=_lower_names(tags),
        policies=policies,
        boundary=boundary,
        session=session,
        token_issued=token_issued,
        multi_factor=multi_factor,
    )


def role_principal(
    account_id: str,
    role: str,
    session_name: str,
    *,
    path: str = "/",
    role_id: str = "",
    provider: str = "",
    tags: Mapping[str, str] = _NO_TAGS,
    policies: tuple[CompiledPolicy, ...] = (),
    boundary: CompiledPolicy | None = None,
    session: tuple[CompiledPolicy, ...] | None = None,
    token_issued: int | None = None,
    multi_factor: int | None = None,
) -> Principal:
    """A session of a role. `provider` is the URL, without its scheme, by which it was assumed."""
    number = account_number(account_id)
    return Principal(
        kind=PrincipalKind.ROLE,
        account_id=account_id,
        name=f"{role}/{session_name}",
        user_id=f"{role_id or role}:{session_name}",
        arn=f"arn:{PARTITION}:sts::{number}:assumed-role/{role}/{session_name}",
        role_arn=f"arn:{PARTITION}:iam::{number}:role{path}{role}",
        provider=provider,
        tags=_lower_names(tags),
        policies=policies,
        boundary=boundary,
        session=session,
        token_issued=token_issued,
        multi_factor=multi_factor,
    )


def web_identity_principal(account_id: str, provider: str, *, user_id: str = "") -> Principal:
    """The holder of a token of a provider that an account trusts. Only trust policies speak of him.

    `provider` is the URL without its scheme, `user_id` the token's subject.
    """
    return Principal(kind=PrincipalKind.WEB_IDENTITY, account_id=account_id, provider=provider, user_id=user_id)


def service_principal(name: str) -> Principal:
    """A function of the gateway, under the name that bucket policies give it: `logging.s3.amazonaws.com`."""
    return Principal(kind=PrincipalKind.SERVICE, name=name)


def _lower_names(tags: Mapping[str, str]) -> Mapping[str, str]:
    return {name.lower(): value for name, value in tags.items()} if tags else _NO_TAGS


_ARN: Final = re.compile(
    rf"arn:{PARTITION}:(?:iam::(?P<number>\d{{12}}):(?:(?P<root>root)|(?:user|role)/(?P<name>[^*?]+))"
    r"|sts::\d{12}:(?:assumed-role/[^/*?]+/[^/*?]+|federated-user/[^/*?]+))",
    re.ASCII,
)
PINNED: Final = re.compile(
    rf"(?P<arn>arn:{PARTITION}:iam::\d{{12}}:(?:user|role)/[^*?]+)#(?P<id>A(?:ID|RO)A[A-Z2-7]{{17}})", re.ASCII
)
"""An entry of a kept policy: see `workers.iam.policy.pinning`."""
_PROVIDER_ARN: Final = re.compile(rf"arn:{PARTITION}:iam::\d{{12}}:oidc-provider/[^*?\s]+", re.ASCII)
_NUMBER: Final = re.compile(r"\d{12}", re.ASCII)
_CANONICAL: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SERVICE: Final = re.compile(r"[a-z0-9][a-z0-9.-]*\.amazonaws\.com", re.ASCII)
_PROVIDER: Final = re.compile(r"[a-z0-9][a-z0-9.-]*(?::\d{1,5})?(?:/[^*?\s]*)?", re.ASCII | re.IGNORECASE)


PrincipalKey = Callable[[str], str | None]
"""The unique id of the user or role of a name, as `principal_name` gives it; "" for another principal that there is,
None for one that there is not."""


def principal_name(kind: str, text: str) -> str | None:
    """The name of one entry of a Principal element, in the form of `Principal.names`; None for what is none.

    Args:
        kind: AWS, CanonicalUser, Federated or Service.
    """
    if kind == "AWS":
        if _NUMBER.fullmatch(text):
            return f"account:{text}"
        if _CANONICAL.fullmatch(text):
            return f"canonical:{text}"
        pinned = PINNED.fullmatch(text)
        if pinned is not None:
            return f"id:{pinned['id']}"
        match = _ARN.fullmatch(text)
        if match is None:
            return None
        return f"account:{match['number']}" if match["root"] else text
    if kind == "CanonicalUser":
        return f"canonical:{text}" if _CANONICAL.fullmatch(text) else None
    if kind == "Service":
        return f"service:{text}" if _SERVICE.fullmatch(text) else None
    found = _PROVIDER_ARN.fullmatch(text) or _PROVIDER.fullmatch(text)
    return f"federated:{text}" if found else None
