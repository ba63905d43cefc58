"""The policy of a POST form upload: its signature, its document, its conditions.

A browser sends a form whose fields the owner of the credentials has limited by a signed policy. The caller reads the
``multipart/form-data`` body up to the file, then calls :func:`verify_post_policy` and evaluates the policy that it
returns, and only then reads the file. Texts and order of the refusals are those of AWS.

Sources: "Creating an HTML form (using AWS Signature Version 4)" and "Creating a POST policy" in the Amazon S3 API
reference.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from workers.protocol.errors import S3Error
from workers.protocol.sigv4 import SigningKeys, signature_mismatch, verify
from workers.protocol.sigv4_canonical import ALGORITHM
from workers.protocol.sigv4_parse import (
    CredentialFault,
    check_scope,
    parse_credential,
    refusal,
    unsupported_mechanism,
)
from workers.protocol.times import parse_amz_date

MAX_POLICY_BYTES: Final = 20 * 1024

_SIGNATURE_FIELDS: Final = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Signature", "Policy")
_VERSION_2_FIELDS: Final = frozenset({"awsaccesskeyid", "signature"})

# A checksum only tightens what is accepted, so it needs no word in the policy.
_UNCOVERED: Final = frozenset({"x-amz-signature", "policy", "file", "awsaccesskeyid", "signature"})
_UNCOVERED_PREFIXES: Final = ("x-ignore-", "x-amz-checksum-")

_EXPIRATION: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Condition:
    """``eq`` or ``starts-with`` on a form field; ``name`` is in lower case and without ``$``, ``text`` is the
    condition as an error shows it."""

    operator: str
    name: str
    value: str
    text: str

    def holds(self, value: str | None) -> bool:
        """Whether the field's value satisfies the condition; an absent field never does."""
        if value is None:
            return False
        if self.operator == "eq":
            return value == self.value
        if self.name == "content-type" and "," in value:
            return all(part.strip().startswith(self.value) for part in value.split(","))
        return value.startswith(self.value)


@dataclass(frozen=True, slots=True)
class PostPolicy:
    """A policy document: what a form that carries it may contain.

    ``expiration`` is in seconds since the epoch; ``minimum`` and ``maximum`` bound the size of the file in bytes and
    are None where the policy does not.
    """

    expiration: float
    conditions: tuple[Condition, ...]
    minimum: int | None = None
    maximum: int | None = None

    def check(self, fields: Mapping[str, str], *, bucket: str, now: float) -> None:
        """Refuse a form that the policy does not allow: ``AccessDenied``.

        ``fields`` are the fields before the file by their names as sent, without the file itself.
        """
        if now >= self.expiration:
            raise S3Error("AccessDenied", "Invalid according to Policy: Policy expired.")
        values = lower_fields(fields)
        covered = set()
        for condition in self.conditions:
            name = condition.name
            value = values.get(name)
            if name == "bucket" and value in (None, bucket):
                # Where the object goes is decided by the request's target; a field can only agree with it.
                value = bucket
            elif name == "bucket":
                value = None
            if not condition.holds(value):
                raise S3Error("AccessDenied", f"Invalid according to Policy: Policy Condition failed: {condition.text}")
            covered.add(name)
        for name in ("bucket", *fields):
            lower = name.lower()
            if lower not in covered and lower not in _UNCOVERED and not lower.startswith(_UNCOVERED_PREFIXES):
                raise S3Error("AccessDenied", f"Invalid according to Policy: Extra input fields: {name}")

    def check_size(self, size: int) -> None:
        """Refuse a file of that many bytes when it is out of ``content-length-range``.

        Raises ``EntityTooLarge``, which is already right for a part of the file, and ``EntityTooSmall``.
        """
        if self.maximum is not None and size > self.maximum:
            raise S3Error("EntityTooLarge", ProposedSize=str(size), MaxSizeAllowed=str(self.maximum))
        if self.minimum is not None and size < self.minimum:
            raise S3Error("EntityTooSmall", ProposedSize=str(size), MinSizeAllowed=str(self.minimum))


@dataclass(frozen=True, slots=True)
class AuthenticatedForm:
    """Who signed a form, and the policy that he signed."""

    access_key: str
    session_token: str | None
    policy: PostPolicy


def lower_fields(fields: Mapping[str, str]) -> dict[str, str]:
    """The fields by lower-case name. Two names that differ in case alone are ambiguous: ``InvalidArgument``."""
    values = {name.lower(): value for name, value in fields.items()}
    if len(values) != len(fields):
        raise S3Error("InvalidArgument", "POST form fields must have different names.")
    return values


def verify_post_policy(
    fields: Mapping[str, str],
    *,
    region: str,
    secret_of: Callable[[str], str | None],
    keys: SigningKeys,
) -> AuthenticatedForm | None:
    """Verify the signature of a form's policy and read the policy. None for a form without credentials.

    ``fields`` are the fields before the file by their names as sent. The signature is that of the policy as sent, so
    it is verified before the policy is looked into. The caller goes on with :meth:`PostPolicy.check`.

    Raises ``InvalidArgument``, ``InvalidRequest`` for Signature Version 2 and SigV4A, ``InvalidAccessKeyId``,
    ``SignatureDoesNotMatch``, ``InvalidPolicyDocument``.
    """
    values = lower_fields(fields)
    stated = [name.lower() in values for name in _SIGNATURE_FIELDS[:-1]]
    if not any(stated):
        if not _VERSION_2_FIELDS.isdisjoint(values):
            raise unsupported_mechanism()
        return None
    for name in _SIGNATURE_FIELDS:
        if name.lower() not in values:
            raise S3Error(
                "InvalidArgument",
                f"Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the "
                "fields.",
                ArgumentName=name,
                ArgumentValue="",
            )
    access_key = _verify_signature(values, region=region, secret_of=secret_of, keys=keys)
    return AuthenticatedForm(access_key, values.get("x-amz-security-token"), parse_policy(values["policy"]))


def _verify_signature(
    values: Mapping[str, str], *, region: str, secret_of: Callable[[str], str | None], keys: SigningKeys
) -> str:
    """The access key that signed the form."""
    algorithm = values["x-amz-algorithm"]
    if algorithm != ALGORITHM:
        if algorithm == "AWS4-ECDSA-P256-SHA256":
            raise unsupported_mechanism()
        raise _invalid("X-Amz-Algorithm", algorithm, f'X-Amz-Algorithm only supports "{ALGORITHM}"')
    credential = values["x-amz-credential"]
    try:
        access_key, date, scope_region, service, terminator = parse_credential(credential)
        check_scope(scope_region, service, terminator, expected_region=region, services=("s3",))
    except CredentialFault as fault:
        raise _invalid("X-Amz-Credential", credential, fault.message, fault.elements) from None
    try:
        parse_amz_date(values["x-amz-date"])
    except ValueError:
        text = "X-Amz-Date must be formated via ISO8601 Long format"
        raise _invalid("X-Amz-Date", values["x-amz-date"], text) from None
    secret = secret_of(access_key)
    # An unknown key costs what a wrong signature costs.
    key = keys.get("" if secret is None else access_key, date, scope_region, service, secret or keys.decoy_secret)
    equal = verify(key, values["policy"], values["x-amz-signature"])
    if secret is None:
        raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=access_key)
    if not equal:
        raise signature_mismatch(access_key, values["policy"], values["x-amz-signature"])
    return access_key


def _invalid(name: str, value: str, message: str, elements: Mapping[str, str] | None = None) -> S3Error:
    return refusal("InvalidArgument", message, {"ArgumentName": name, "ArgumentValue": value, **(elements or {})})


def parse_policy(encoded: str) -> PostPolicy:
    """The policy in a form's ``policy`` field. Raises ``InvalidPolicyDocument``."""
    if len(encoded) > MAX_POLICY_BYTES:
        raise _bad_policy("the policy is too long.")
    try:
        document = base64.b64decode("".join(encoded.split()), validate=True)
    except ValueError:
        raise _bad_policy("invalid Base64 encoding.") from None
    try:
        policy = json.loads(document.decode(), object_pairs_hook=_object, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise _bad_policy("Invalid JSON.") from None
    if not isinstance(policy, dict):
        raise _bad_policy("Invalid JSON.")
    if "expiration" not in policy:
        raise _bad_policy("Policy missing expiration.")
    if "conditions" not in policy:
        raise _bad_policy("Policy missing conditions.")
    expiration = _parse_expiration(policy["expiration"])
    if not isinstance(policy["conditions"], list):
        raise _bad_policy("Invalid 'conditions' value: must be a List.")
    conditions: list[Condition] = []
    minimum: int | None = None
    maximum: int | None = None
    for item in policy["conditions"]:
        parsed = _parse_condition(item)
        if isinstance(parsed, Condition):
            conditions.append(parsed)
            continue
        # Each range is a condition of its own: all of them have to hold.
        minimum = parsed[0] if minimum is None else max(minimum, parsed[0])
        maximum = parsed[1] if maximum is None else min(maximum, parsed[1])
    return PostPolicy(expiration, tuple(conditions), minimum, maximum)


def _bad_policy(message: str) -> S3Error:
    return S3Error("InvalidPolicyDocument", f"Invalid Policy: {message}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a name that comes twice would mean different things to different readers."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _parse_expiration(value: Any) -> float:
    if isinstance(value, str) and _EXPIRATION.fullmatch(value):
        whole, _, fraction = value[:-1].partition(".")
        try:
            seconds = datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()
        except ValueError:
            pass
        else:
            return seconds + float(f"0.{fraction or 0}")
    raise _bad_policy(f"Invalid 'expiration' value: '{value}'")


def _parse_condition(item: Any) -> Condition | tuple[int, int]:
    """A condition on a field, or the bounds of a ``content-length-range``."""
    if isinstance(item, dict):
        if len(item) != 1:
            raise _bad_policy("Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
        [(name, value)] = item.items()
        if not isinstance(value, str):
            raise _bad_policy("Invalid Simple-Condition: value must be a string.")
        return Condition("eq", name.lower(), value, _shown(["eq", f"${name}", value]))
    if not isinstance(item, list):
        raise _bad_policy("Invalid condition test: must be a List or Object.")
    if not item or not isinstance(item[0], str):
        raise _bad_policy("Invalid Condition: missing operation identifier.")
    operator = item[0].lower()
    if operator not in ("eq", "starts-with", "content-length-range"):
        raise _bad_policy(f"Invalid Condition: unknown operation '{item[0]}'.")
    if len(item) != 3:
        raise _bad_policy(f"Invalid {operator}: wrong number of arguments.")
    if operator == "content-length-range":
        return _parse_range(item)
    _, name, value = item
    if not isinstance(name, str) or not isinstance(value, str):
        raise _bad_policy("Invalid JSON.")
    if name[:1] != "$":
        raise S3Error("AccessDenied", f"Invalid according to Policy: Policy Condition failed: {_shown(item)}")
    return Condition(operator, name[1:].lower(), value, _shown(item))


def _parse_range(item: list[Any]) -> tuple[int, int]:
    bounds = []
    for bound in item[1:]:
        if isinstance(bound, float | bool) or not isinstance(bound, int | str):
            raise _bad_policy("Invalid JSON.")
        text = str(bound)
        if not (text.isascii() and text.isdigit()) or len(text) > 19:
            raise S3Error("AccessDenied", f"Invalid according to Policy: Policy Condition failed: {_shown(item)}")
        bounds.append(int(text))
    return bounds[0], bounds[1]


def _shown(item: list[Any]) -> str:
    return json.dumps(item, ensure_ascii=False)
