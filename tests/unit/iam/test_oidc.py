"""Tokens of OpenID Connect: keys found and rotated, signatures and claims checked, a provider that is away."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from tests.support.oidc_provider import make_key, sign
from workers.iam.oidc import (
    GRACE_SECONDS,
    KEYS_SECONDS,
    MAX_DOCUMENT,
    PAUSE_SECONDS,
    HttpFetch,
    Issuers,
    ProviderUnavailable,
    TokenError,
    check_audience,
    condition_keys,
)

ISSUER = "https://idp.example.org/realms/x"
NOW = 1_800_000_000.0
AUDIENCES = ("gateway", "other")


class World:
    """An issuer, its keys, and the clock."""

    def __init__(self) -> None:
        self.keys = [make_key("RSA", 1)]
        self.issuer = ISSUER
        self.away = False
        self.asked = 0
        self.clock = 1000.0
        self.issuers = Issuers([ISSUER], self.fetch, clock=lambda: self.clock, now=lambda: NOW)

    def fetch(self, url: str) -> bytes:
        if self.away:
            raise ProviderUnavailable(url)
        if url == f"{ISSUER}/.well-known/openid-configuration":
            return json.dumps({"issuer": self.issuer, "jwks_uri": "https://keys.example.org/keys"}).encode()
        assert url == "https://keys.example.org/keys"
        self.asked += 1
        strange = [{"kty": "OKP-NEW"}, {"kty": "RSA"}, "nonsense", {"kty": "oct", "k": "c2VjcmV0"}]
        return json.dumps({"keys": [*strange, *(key.as_dict(private=False) for key in self.keys)]}).encode()

    def claims(self, **changed: Any) -> dict[str, Any]:
        found = {"iss": ISSUER, "sub": "ann", "aud": "gateway", "iat": NOW - 10, "exp": NOW + 600, **changed}
        return {name: value for name, value in found.items() if value is not None}

    def token(self, key: Any = None, **changed: Any) -> str:
        return sign(key or self.keys[-1], self.claims(**changed))

    def verify(self, token: str) -> dict[str, Any]:
        claims = self.issuers.verify(token)
        check_audience(claims, AUDIENCES)
        return claims

    def refused(self, token: str) -> tuple[str, str]:
        with pytest.raises(TokenError) as caught:
            self.verify(token)
        return caught.value.code, str(caught.value)


@pytest.fixture
def world() -> World:
    return World()


def test_token_of_an_rsa_key_is_accepted(world: World) -> None:
    assert world.verify(world.token())["sub"] == "ann"


@pytest.mark.parametrize("algorithm", ["RS512", "PS256"])
def test_other_algorithms_of_rsa_are_accepted(world: World, algorithm: str) -> None:
    world.keys = [RSAKey.generate_key(2048, {"kid": "a", "alg": algorithm})]
    assert world.verify(world.token())["sub"] == "ann"


@pytest.mark.parametrize(("curve", "algorithm"), [("P-256", "ES256"), ("P-384", "ES384")])
def test_token_of_an_ec_key_is_accepted(world: World, curve: str, algorithm: str) -> None:
    world.keys = [ECKey.generate_key(curve, {"kid": "e", "alg": algorithm})]
    assert world.verify(world.token())["sub"] == "ann"


def test_keys_are_kept(world: World) -> None:
    for _ in range(5):
        world.verify(world.token())
    assert world.asked == 1
    world.clock += KEYS_SECONDS
    world.verify(world.token())
    assert world.asked == 2


def test_new_key_is_found_at_once_and_a_removed_one_is_worth_nothing(world: World) -> None:
    old = world.token()
    world.verify(old)
    world.keys = [make_key("EC", 2)]
    world.clock += PAUSE_SECONDS
    assert world.verify(world.token())["sub"] == "ann"
    assert world.asked == 2
    world.clock += PAUSE_SECONDS
    assert world.refused(old)[0] == "InvalidIdentityToken"


def test_invented_key_ids_do_not_load_the_provider(world: World) -> None:
    world.verify(world.token())
    foreign = make_key("RSA", 77)
    world.clock += PAUSE_SECONDS
    for _ in range(20):
        assert world.refused(world.token(foreign))[0] == "InvalidIdentityToken"
    assert world.asked == 2


def test_token_without_a_key_id_is_tried_with_all_keys(world: World) -> None:
    world.keys = [make_key("RSA", 1), make_key("RSA", 2)]
    token = sign(world.keys[0], world.claims(), kid=None)
    assert world.verify(token)["sub"] == "ann"
    world.keys = [make_key("RSA", 3)]
    world.clock += PAUSE_SECONDS
    assert world.verify(sign(world.keys[0], world.claims(), kid=None))["sub"] == "ann"


def test_known_keys_go_on_while_the_provider_is_away_for_a_while(world: World) -> None:
    world.verify(world.token())
    world.away = True
    world.clock += KEYS_SECONDS
    assert world.verify(world.token())["sub"] == "ann"
    world.clock += GRACE_SECONDS
    assert world.refused(world.token())[0] == "IDPCommunicationError"


def test_provider_that_never_answered(world: World) -> None:
    world.away = True
    assert world.refused(world.token())[0] == "IDPCommunicationError"
    world.away = False
    assert world.refused(world.token())[0] == "IDPCommunicationError"  # it was asked a moment ago
    world.clock += PAUSE_SECONDS
    assert world.verify(world.token())["sub"] == "ann"


def test_provider_that_calls_itself_otherwise_is_not_believed(world: World) -> None:
    world.issuer = "https://other.example.org"
    assert world.refused(world.token())[0] == "IDPCommunicationError"


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        ({"exp": NOW - 61}, "ExpiredTokenException", "expired"),
        ({"exp": None}, "InvalidIdentityToken", "when it ends"),
        ({"exp": "soon"}, "InvalidIdentityToken", "exp is no time"),
        ({"exp": True}, "InvalidIdentityToken", "exp is no time"),
        ({"nbf": NOW + 61}, "InvalidIdentityToken", "future"),
        ({"iat": NOW + 61}, "InvalidIdentityToken", "future"),
        ({"iat": None}, "InvalidIdentityToken", "issued"),
        ({"aud": "stranger"}, "InvalidIdentityToken", "audience"),
        ({"aud": None}, "InvalidIdentityToken", "audience"),
        ({"aud": ["gateway", "stranger"]}, "InvalidIdentityToken", "audience"),
        ({"sub": None}, "InvalidIdentityToken", "subject"),
        ({"sub": 5}, "InvalidIdentityToken", "subject"),
        ({"iss": "https://evil.example.org"}, "InvalidIdentityToken", "issuer"),
        ({"iss": ISSUER + "/"}, "InvalidIdentityToken", "issuer"),
    ],
)
def test_claims_that_do_not_fit_are_refused(world: World, changed: dict[str, Any], code: str, words: str) -> None:
    found = world.refused(world.token(**changed))
    assert found[0] == code
    assert words in found[1]


@pytest.mark.parametrize(
    "changed", [{"exp": NOW - 30}, {"nbf": NOW + 30}, {"iat": NOW + 30}, {"aud": ["gateway", "x"], "azp": "gateway"}]
)
def test_clocks_may_differ_a_little(world: World, changed: dict[str, Any]) -> None:
    assert world.verify(world.token(**changed))["sub"] == "ann"


def unsigned(world: World) -> str:
    def part(document: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none'})}.{part(world.claims())}."


def signed_with_the_public_key(world: World) -> str:
    public = json.dumps(world.keys[0].as_dict(private=False)).encode()
    header = {"alg": "HS256", "kid": world.keys[0].kid}
    return jwt.encode(header, world.claims(), OctKey.import_key(public), algorithms=["HS256"])


def changed_afterwards(world: World) -> str:
    head, _, signature = world.token().split(".")
    body = base64.urlsafe_b64encode(json.dumps(world.claims(sub="eve")).encode()).decode().rstrip("=")
    return f"{head}.{body}.{signature}"


def of_another_key_of_that_name(world: World) -> str:
    return world.token(RSAKey.generate_key(2048, {"kid": "rsa-1", "alg": "RS256"}))


@pytest.mark.parametrize(
    "forge",
    [
        unsigned,
        signed_with_the_public_key,
        changed_afterwards,
        of_another_key_of_that_name,
        lambda world: "",
        lambda world: "a.b.c",
        lambda world: "ü.ü.ü",
        lambda world: world.token() + "." + world.token(),
        lambda world: "x" * 20_001,
    ],
)
def test_forged_tokens_are_refused(world: World, forge: Callable[[World], str]) -> None:
    assert world.refused(forge(world))[0] == "InvalidIdentityToken"


def test_condition_keys_of_claims() -> None:
    claims = {
        "sub": "Ann",
        "groups": ["a", 5, "b"],
        "email_verified": True,
        "level": 3,
        "realm_access": {"roles": ["admin"], "deep": {"er": {"est": "x"}}},
        "nothing": None,
    }
    assert condition_keys("idp.example.org/x", claims) == {
        "idp.example.org/x:sub": "Ann",
        "idp.example.org/x:groups": ("a", "b"),
        "idp.example.org/x:email_verified": "true",
        "idp.example.org/x:level": "3",
        "idp.example.org/x:realm_access.roles": ("admin",),
    }


class _Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, data, headers = {
            "/good": (200, b'{"a": 1}', {}),
            "/moved": (302, b"", {"Location": "/good"}),
            "/large": (200, b"x" * (MAX_DOCUMENT + 1), {}),
        }.get(self.path, (404, b"", {}))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


def test_documents_are_fetched_within_bounds() -> None:
    server = HTTPServer(("127.0.0.1", 0), _Server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    base = f"http://127.0.0.1:{server.server_port}"
    fetch = HttpFetch()
    try:
        assert fetch(f"{base}/good") == b'{"a": 1}'
        for path in ("/moved", "/large", "/missing"):
            with pytest.raises(ProviderUnavailable):
                fetch(base + path)
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(ProviderUnavailable):
        fetch(f"{base}/good")
