"""Who an HTTP request at the MGM acts as: gateways with a key, tokens, nobody."""

from collections.abc import Mapping

from backends.eos.emulator.failures import EosError
from backends.eos.emulator.faults import Call
from backends.eos.emulator.http_answers import HttpFailure
from backends.eos.emulator.identity import Identity, http_role
from backends.eos.emulator.instance import Instance
from backends.eos.emulator.tokens import PREFIX


def identify(
    instance: Instance, headers: Mapping[str, str], query: Mapping[str, str], peer: str, token: str, call: Call
) -> Identity:
    """The identity of a request; `token` came in its path. Raises `HttpFailure`."""
    found = _of_gateway(instance, headers, peer, call) if "x-forwarded-for" in headers else None
    if found is None:
        found = _of_token(instance, headers, query, peer, token)
    return http_role(found, query.get("eos.ruid", ""), query.get("eos.rgid", ""), instance.identities)


def _of_gateway(instance: Instance, headers: Mapping[str, str], peer: str, call: Call) -> Identity | None:
    """The user whom a gateway speaks for; None when the peer is not a gateway."""
    identities = instance.identities
    key = headers.get("x-gateway-authorization", "")
    if key and instance.faults.take("key_revoked", call) is not None:
        key = "revoked key"
    known = bool(key) and identities.has_key(key, "https")
    if not known and not identities.is_gateway(peer, "https"):
        return None
    account = identities.of_key(key, "https", peer) if key else identities.nobody
    user = headers.get("remote-user", "")
    if key and not account.sudoer:
        user = ""
    if not user:
        return account
    if instance.faults.take("user_unknown", call) is not None:
        return identities.nobody
    return identities.remote_user(user, numeric=instance.quirks.numeric_remote_user)


def _of_token(
    instance: Instance, headers: Mapping[str, str], query: Mapping[str, str], peer: str, token: str
) -> Identity:
    header, authz = headers.get("authorization", ""), query.get("authz", "")
    if header and authz:
        raise HttpFailure(500, "conflicting authorization info present")
    text = token or authz or header
    kind, _, rest = text.partition(" ")
    text = rest.strip() if kind.lower() == "bearer" else text
    if not text.startswith(PREFIX):
        return instance.identities.nobody
    try:
        opened = instance.tokens.opened(
            text, now=instance.seconds(), generation=instance.quirks.token_generation, peer=peer, protocol="https"
        )
    except EosError:
        return instance.identities.nobody
    return instance.identities.of_token(opened)
