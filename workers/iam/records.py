"""Accounts, users, groups, roles, policies and access keys: what is known of them and how it is written down.

Times are nanoseconds since the epoch. A stored record is a JSON document with a format number in front, sealed by its
writer; fields of later formats are added with defaults, so that old records stay readable. The rules for names, paths
and tags, and the limits, are those of AWS ("IAM and AWS STS quotas" in the IAM user guide) unless said otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from workers.iam.accounts import Account, account_number
from workers.iam.policy.principals import PARTITION

RECORD_FORMAT: Final = 1

MAX_TAGS: Final = 50
MAX_KEYS: Final = 10
"""Access keys of one user or account. AWS allows 2, which leaves one client to rotate at a time."""
MAX_GROUPS: Final = 10
MAX_ATTACHED: Final = 10
MAX_VERSIONS: Final = 5
MAX_MANAGED_POLICY: Final = 6144
MAX_TRUST_POLICY: Final = 8192
MAX_DESCRIPTION: Final = 1000
SESSION_SECONDS: Final = range(3600, 43200 + 1)
"""What a role's longest session can be set to."""


class IamError(Exception):
    """A request about identities that cannot be done. `code` is the error code of the IAM query API."""

    code = "ServiceFailure"


class InvalidInput(IamError):
    """A name, path, tag or number breaks a rule."""

    code = "ValidationError"


class AlreadyExists(IamError):
    """The name is taken."""

    code = "EntityAlreadyExists"


class NotFound(IamError):
    """There is no such account, user, group, role, policy or key."""

    code = "NoSuchEntity"


class DeleteConflict(IamError):
    """What is to be deleted is still in use."""

    code = "DeleteConflict"


class LimitExceeded(IamError):
    """One more would be too many."""

    code = "LimitExceeded"


class Busy(IamError):
    """Others kept changing the same record; nothing was changed."""

    code = "ConcurrentModification"


class RecordError(Exception):
    """A stored record cannot be read: damaged, or of a later format."""


class AccountLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an account may use at most; 0 is no limit. `bytes` counts both directions, a second."""

    requests: int = 0
    bytes: int = 0
    concurrent: int = 0
    buckets: int = 0


class AccountRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An account: what owns buckets, objects, users, groups, roles and policies.

    Attributes:
        id: canonical user id, 64 hexadecimal digits, never changing and never given again.
        uid, gid, groups: the numeric identity in the storage system.
        admin: its own keys do what root's do, and nothing is closed to them. Its users' keys do not.
        pending: the account is being made and is none yet.
        claims: documents that keep its name, e-mail and number from others; while one of the first two is changed,
            the old and the new one.
        access_keys: the keys of the account itself. A key counts only while it is listed here, or by its user.
        changed: of the claims.
        origin: where the account comes from when not from an administrator; see `workers.iam.account_sync`.
    """

    id: str
    name: str
    email: str = ""
    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] = ()
    created: int = 0
    enabled: bool = True
    may_create_buckets: bool = True
    limits: AccountLimits = AccountLimits()
    admin: bool = False
    pending: bool = False
    claims: tuple[str, ...] = ()
    changed: int = 0
    access_keys: tuple[str, ...] = ()
    origin: str = ""

    @property
    def number(self) -> str:
        """The twelve-digit account id of ARNs."""
        return account_number(self.id)

    @property
    def arn(self) -> str:
        """The ARN of the account's root user."""
        return f"arn:{PARTITION}:iam::{self.number}:root"

    @property
    def account(self) -> Account:
        """The account as requests know it."""
        return Account(id=self.id, name=self.name, uid=self.uid, gid=self.gid, groups=self.groups)


class _Owned(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an account has: `id` is the unique id, `account` the canonical user id, `path` begins and ends with "/"."""

    id: str
    account: str
    name: str
    path: str = "/"
    created: int = 0

    def _arn(self, kind: str) -> str:
        return f"arn:{PARTITION}:iam::{account_number(self.account)}:{kind}{self.path}{self.name}"


class UserRecord(_Owned, frozen=True, kw_only=True, omit_defaults=True):
    """A user of an account.

    Attributes:
        uid, gid, groups: numeric identity in the storage system; None for the account's.
        inline: name to text of the policies that are the user's own.
        attached: ARNs of managed policies.
        boundary: ARN of the permissions boundary, "" for none.
        member_of: name to unique id of the groups. A later group of the same name is another one.
        access_keys: the user's keys, as in `AccountRecord`.
    """

    tags: Mapping[str, str] = {}
    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] | None = None
    inline: Mapping[str, str] = {}
    attached: tuple[str, ...] = ()
    boundary: str = ""
    member_of: Mapping[str, str] = {}
    access_keys: tuple[str, ...] = ()

    @property
    def arn(self) -> str:
        """The user's ARN."""
        return self._arn("user")


class GroupRecord(_Owned, frozen=True, kw_only=True, omit_defaults=True):
    """A group of users; who is in it is written in the users."""

    inline: Mapping[str, str] = {}
    attached: tuple[str, ...] = ()

    @property
    def arn(self) -> str:
        """The group's ARN."""
        return self._arn("group")


class RoleRecord(_Owned, frozen=True, kw_only=True, omit_defaults=True):
    """A role that others assume.

    Attributes:
        trust: the text of the policy that says who may.
        max_session: seconds that a session lasts at most.
        revoked_before: sessions that were issued earlier are worth nothing; 0 for none.
        uid, gid, groups: as in `UserRecord`.
    """

    trust: str
    description: str = ""
    tags: Mapping[str, str] = {}
    max_session: int = 3600
    revoked_before: int = 0
    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] | None = None
    inline: Mapping[str, str] = {}
    attached: tuple[str, ...] = ()
    boundary: str = ""

    @property
    def arn(self) -> str:
        """The role's ARN."""
        return self._arn("role")


class PolicyVersion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One version of a managed policy."""

    text: str
    created: int = 0


class PolicyRecord(_Owned, frozen=True, kw_only=True, omit_defaults=True):
    """A managed policy.

    Attributes:
        versions: "v1", "v2", … to what they say, oldest first; numbers are never given again.
        default: the version in force.
        last: the number of the newest version that there ever was.
        condemned: it is being deleted, so that nobody may attach it; where it is attached it holds.
    """

    versions: Mapping[str, PolicyVersion]
    default: str = "v1"
    last: int = 1
    description: str = ""
    tags: Mapping[str, str] = {}
    condemned: bool = False

    @property
    def arn(self) -> str:
        """The policy's ARN."""
        return self._arn("policy")

    @property
    def text(self) -> str:
        """The version in force."""
        return self.versions[self.default].text


class ProviderRecord(_Owned, frozen=True, kw_only=True, omit_defaults=True):
    """An OpenID Connect provider that an account trusts.

    Attributes:
        name: its URL without the scheme, as trust policies name it.
        url: its issuer, as tokens say it.
        client_ids: the audiences that tokens may be for.
        thumbprints: of its certificate, as clients of IAM send them; certificates are verified, so nothing needs them.
    """

    url: str
    client_ids: tuple[str, ...] = ()
    thumbprints: tuple[str, ...] = ()
    tags: Mapping[str, str] = {}

    @property
    def arn(self) -> str:
        """The provider's ARN."""
        return self._arn("oidc-provider")


class AccessKeyRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An access key.

    Attributes:
        sealed_secret: sealed apart from the record, so that a record that is read or printed tells no secret.
        account: canonical user id.
        user: the user's name, "" for a key of the account itself.
        user_id: the user's unique id, so that the key is none of a later user of that name.
        last_used: to within minutes; 0 for never.
        expires: when it stops working, 0 for never.
    """

    access_key: str
    sealed_secret: bytes
    account: str
    user: str = ""
    user_id: str = ""
    created: int = 0
    last_used: int = 0
    enabled: bool = True
    expires: int = 0


class ClaimRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Keeps a name, an e-mail address or an account number for an account that lists the claim."""

    account: str


Record = (
    AccountRecord
    | UserRecord
    | GroupRecord
    | RoleRecord
    | PolicyRecord
    | ProviderRecord
    | AccessKeyRecord
    | ClaimRecord
)
RecordT = TypeVar("RecordT", bound=Record)

_encoder = msgspec.json.Encoder(order="deterministic")
_MARK: Final = b"%d " % RECORD_FORMAT


def encode(record: Record) -> bytes:
    """The record as it is sealed."""
    return _MARK + _encoder.encode(record)


def decode(data: bytes, kind: type[RecordT]) -> RecordT:
    """A record from what was sealed. Raises `RecordError`."""
    if not data.startswith(_MARK):
        raise RecordError(f"unknown record format {data[:8]!r}, this version reads {RECORD_FORMAT}")
    try:
        return msgspec.json.decode(data[len(_MARK) :], type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"damaged {kind.__name__}: {error}") from None


# -- rules

SESSION_NAME: Final = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
"""The name of a role's session."""
_NAME: Final = re.compile(r"[A-Za-z0-9_+=,.@-]+", re.ASCII)
_PATH: Final = re.compile(r"/|/[\x21-\x7e]+/", re.ASCII)
_EMAIL: Final = re.compile(r"[\x21-\x3f\x41-\x7e]+@[A-Za-z0-9.-]+", re.ASCII)
LONGEST_ACCESS_KEY: Final = 128
_ACCESS_KEY: Final = re.compile(rf"[A-Za-z0-9_.@+-]{{3,{LONGEST_ACCESS_KEY}}}", re.ASCII)
_TAG_TEXT: Final = re.compile(r"[\w\s.:/=+\-@]*")
_CANONICAL: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_DESCRIPTION: Final = re.compile(r"[\t\n\r\x20-\x7e\xa1-\xff]*")
_MOST: Final = (1 << 63) - 1
_MOST_ID: Final = (1 << 32) - 2
"""The largest uid or gid; the one above means "none" to the kernel."""


def check_name(name: str, longest: int, what: str) -> str:
    """The name if it is one: letters, digits and `_+=,.@-`. Raises `InvalidInput`."""
    if len(name) > longest or not _NAME.fullmatch(name):
        raise InvalidInput(f"{what} must be 1 to {longest} characters of A-Z, a-z, 0-9 and _+=,.@-")
    return name


def check_path(path: str) -> str:
    """The path of a user, group, role or policy if it is one. Raises `InvalidInput`."""
    if len(path) > 512 or not _PATH.fullmatch(path):
        raise InvalidInput("Path must begin and end with / and have 512 printable ASCII characters at most")
    if "*" in path or "?" in path:
        # They would be wildcards in an ARN that names the entity.
        raise InvalidInput("Path must not contain * or ?")
    return path


def check_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags if they are some; names are unique whatever their case. Raises `InvalidInput`, `LimitExceeded`."""
    if len(tags) > MAX_TAGS:
        raise LimitExceeded(f"There can be {MAX_TAGS} tags at most")
    if len({name.lower() for name in tags}) != len(tags):
        raise InvalidInput("Tag keys must be unique; case does not tell them apart")
    for name, value in tags.items():
        if not 1 <= len(name) <= 128 or not _TAG_TEXT.fullmatch(name) or name.lower().startswith("aws:"):
            raise InvalidInput("A tag key has 1 to 128 letters, digits, spaces or _.:/=+-@ and no prefix aws:")
        if len(value) > 256 or not _TAG_TEXT.fullmatch(value):
            raise InvalidInput("A tag value has at most 256 letters, digits, spaces or _.:/=+-@")
    return dict(tags)


def check_email(email: str) -> str:
    """The e-mail address if it looks like one, or "". Raises `InvalidInput`."""
    if email and (len(email) > 254 or not _EMAIL.fullmatch(email)):
        raise InvalidInput("Email is not an e-mail address")
    return email


def check_access_key(access_key: str) -> str:
    """The access key if clients can use it: it becomes part of a credential scope. Raises `InvalidInput`."""
    if not _ACCESS_KEY.fullmatch(access_key):
        raise InvalidInput(f"AccessKeyId must be 3 to {LONGEST_ACCESS_KEY} characters of A-Z, a-z, 0-9 and _.@+-")
    return access_key


def check_secret(secret: str) -> str:
    """The secret if it is one that is not guessed at once. Raises `InvalidInput`."""
    if not 8 <= len(secret) <= 128 or not secret.isascii() or not secret.isprintable():
        raise InvalidInput("SecretAccessKey must be 8 to 128 printable ASCII characters")
    return secret


def check_account_id(account_id: str) -> str:
    """The canonical user id if it is one. Raises `InvalidInput`."""
    if not _CANONICAL.fullmatch(account_id):
        raise InvalidInput("A canonical user id is 64 hexadecimal digits in lower case")
    return account_id


def check_numbers(uid: int | None, gid: int | None, groups: tuple[int, ...] | None) -> None:
    """Raises `InvalidInput` for what is no identity in a storage system."""
    for number in (uid, gid, *(groups or ())):
        if number is not None and not 0 <= number <= _MOST_ID:
            raise InvalidInput(f"A uid or gid lies between 0 and {_MOST_ID}")


def check_limits(limits: AccountLimits) -> AccountLimits:
    """The limits if none is negative. Raises `InvalidInput`."""
    if not all(0 <= limit <= _MOST for limit in (limits.requests, limits.bytes, limits.concurrent, limits.buckets)):
        raise InvalidInput(f"A limit lies between 0, for none, and {_MOST}")
    return limits


def check_expiry(expires: int) -> int:
    """The time, in nanoseconds since the epoch or 0 for never, if it is one. Raises `InvalidInput`."""
    if not 0 <= expires <= _MOST:
        raise InvalidInput("The time of expiry is 0, for never, or nanoseconds since the epoch")
    return expires


def check_description(text: str) -> str:
    """The description if it is one: printable Latin-1 and line breaks. Raises `InvalidInput`."""
    if len(text) > MAX_DESCRIPTION or not _DESCRIPTION.fullmatch(text):
        raise InvalidInput(f"Description has {MAX_DESCRIPTION} printable characters of Latin-1 at most")
    return text


def policy_size(text: str) -> int:
    """The characters that count towards a policy's limit: AWS does not count white space."""
    return sum(not character.isspace() for character in text)


_INLINE_SIZE: Final[Mapping[type, int]] = {UserRecord: 2048, GroupRecord: 5120, RoleRecord: 10240}


def check_inline(inline: Mapping[str, str], owner: type[UserRecord | GroupRecord | RoleRecord]) -> None:
    """Raises `LimitExceeded` when the inline policies of a user, group or role are too large together."""
    most = _INLINE_SIZE[owner]
    if sum(policy_size(text) for text in inline.values()) > most:
        raise LimitExceeded(f"Inline policies have {most} characters at most, all together, white space not counted")
