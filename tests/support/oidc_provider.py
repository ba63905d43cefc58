"""An OpenID Connect provider in a process of its own, for tests of sign-in by token.

    with Provider() as provider:
        provider.issuer                                     # http://127.0.0.1:PORT/realms/test
        provider.token(sub="subject-ann", aud="gateway")            # signed by the present key
        provider.rotate("EC")                               # a new key; the former ones go from the published set
        provider.rotate("RSA", keep=True)                   # … or stay
        provider.switch(False)                              # answers 503 from now on
        provider.asked                                      # how often the keys were fetched

It publishes a discovery document and its keys, and signs whatever claims it is told, as no real provider does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

ROOT = Path(__file__).resolve().parents[2]
ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}
REALM = "/realms/test"


def make_key(kind: str, number: int) -> Any:
    parameters = {"kid": f"{kind.lower()}-{number}", "use": "sig", "alg": ALGORITHMS[kind]}
    return RSAKey.generate_key(2048, parameters) if kind == "RSA" else ECKey.generate_key("P-256", parameters)


def sign(key: Any, claims: dict[str, Any], **header: Any) -> str:
    """A token of these claims."""
    fields = {"alg": key.get("alg"), "kid": key.kid, "typ": "JWT", **header}
    fields = {name: value for name, value in fields.items() if value is not None}
    return jwt.encode(fields, claims, key, algorithms=[fields["alg"]])


class _State:
    def __init__(self) -> None:
        self.keys = [make_key("RSA", 1)]
        self.made = 1
        self.available = True
        self.asked = 0


class _Handler(BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        state: _State = self.server.state
        issuer = f"http://127.0.0.1:{self.server.server_port}{REALM}"
        if not state.available:
            self.answer({"error": "temporarily_unavailable"}, 503)
        elif self.path == f"{REALM}/.well-known/openid-configuration":
            self.answer({"issuer": issuer, "jwks_uri": f"{issuer}/keys", "token_endpoint": f"{issuer}/token"})
        elif self.path == f"{REALM}/keys":
            state.asked += 1
            self.answer({"keys": [key.as_dict(private=False) for key in state.keys]})
        else:
            self.answer({"error": "not_found"}, 404)

    def do_POST(self) -> None:
        state: _State = self.server.state
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/sign":
            self.answer({"token": sign(state.keys[-1], order)})
        elif self.path == "/rotate":
            state.made += 1
            kept = state.keys if order["keep"] else []
            state.keys = [*kept, make_key(order["kind"], state.made)]
            self.answer({})
        elif self.path == "/switch":
            state.available = order["on"]
            self.answer({})
        else:
            self.answer({"asked": state.asked})

    def answer(self, document: Any, status: int = 200) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


class Provider:
    """A running provider process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.oidc_provider"], stdout=subprocess.PIPE, cwd=ROOT, text=True
        )
        assert self._process.stdout is not None
        self.address = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        self.issuer = self.address + REALM

    def __enter__(self) -> Provider:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def _post(self, path: str, **order: Any) -> Any:
        request = urllib.request.Request(self.address + path, json.dumps(order).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def token(self, **claims: Any) -> str:
        now = int(time.time())
        base = {"iss": self.issuer, "sub": "subject-ann", "aud": "gateway", "iat": now, "exp": now + 600}
        return str(self._post("/sign", **{**base, **claims})["token"])

    def rotate(self, kind: str, *, keep: bool = False) -> None:
        self._post("/rotate", kind=kind, keep=keep)

    def switch(self, on: bool) -> None:
        self._post("/switch", on=on)

    @property
    def asked(self) -> int:
        return int(self._post("/asked")["asked"])


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.state = _State()  # type: ignore[attr-defined]
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
