"""Golden requests over a real socket: what the worker takes for a request, and what it refuses."""

import hashlib
import json
from pathlib import Path

import pytest
from serving import Client, Server

REQUESTS = Path(__file__).parent / "requests"
# If a refusal left the connection open, this would be answered too.
SMUGGLED = b"GET /hello HTTP/1.1\r\nHost: smuggled\r\n\r\n"


def cases(kind: str) -> list[str]:
    return sorted(path.stem for path in (REQUESTS / kind).glob("*.http"))


def load(kind: str, name: str) -> tuple[bytes, object]:
    folder = REQUESTS / kind
    return (folder / f"{name}.http").read_bytes(), json.loads((folder / f"{name}.json").read_text())


def calls(server: Server) -> int:
    return server.get("/log").json()["calls"]


@pytest.mark.parametrize("name", cases("invalid"))
def test_invalid_request_is_refused_once_and_the_connection_closed(server: Server, name: str) -> None:
    data, expected = load("invalid", name)
    before = calls(server)
    with server.connect(timeout=5) as client:
        client.send(data + SMUGGLED)
        answer = client.answer()
        assert (answer.status, answer.code) == (expected["status"], expected["code"])
        assert answer.headers["connection"] == "close"
        assert len(answer.headers["x-amz-request-id"]) == 16
        assert client.closed()
    assert calls(server) - before - 1 == int(expected["called"])


def check(client: Client, expected: dict) -> None:
    answer = client.answer()
    assert answer.status == 200
    seen = answer.json()
    assert {key: seen.get(key) for key in expected["environ"]} == expected["environ"]
    body = expected["body"].encode("latin-1")
    assert seen["body"]["length"] == len(body)
    assert seen["body"]["sha256"] == hashlib.sha256(body).hexdigest()
    assert seen["underscore"] == expected.get("underscore", {})


@pytest.mark.parametrize("name", cases("valid"))
def test_valid_request_reaches_the_application_as_expected(server: Server, name: str) -> None:
    data, expected = load("valid", name)
    with server.connect(timeout=5) as client:
        client.send(data)
        for one in expected:
            check(client, one)


@pytest.mark.parametrize("name", ["pipelined-bodies", "chunk-trailer", "leading-empty-line", "header-cookies"])
def test_valid_request_may_come_byte_by_byte(server: Server, name: str) -> None:
    data, expected = load("valid", name)
    with server.connect(timeout=5) as client:
        client.sock.setsockopt(6, 1, 1)  # TCP_NODELAY
        for at in range(len(data)):
            client.send(data[at : at + 1])
        for one in expected:
            check(client, one)


def test_the_golden_files_are_pairs() -> None:
    for kind in ("valid", "invalid"):
        folder = REQUESTS / kind
        assert {path.stem for path in folder.glob("*.http")} == {path.stem for path in folder.glob("*.json")}
    assert len(cases("invalid")) >= 80
    assert len(cases("valid")) >= 40
