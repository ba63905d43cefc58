"""HAProxy's configuration, made from the settings. Facts about HAProxy are those of version 2.6.

What shapes it:

* The place of a request is "/bucket/key", decoded, whether the bucket stands in the path or in the host name. It is
  hashed onto the shards with bounded load; equal server ids give equal placement on every dispatcher.
* Method, target, Host and all headers reach the shard as the client sent them, since they are signed.
* Bodies and `Expect: 100-continue` pass through. Nothing but a head is ever held.
* A connection that could not be made is tried elsewhere, for every method. A shard that broke off without an answer
  is replaced by another for methods that change nothing.
* A shard is asked by `/-/ready`, but leaves the rotation only when its storage fails. Redis is shared by all shards:
  taking them out for it would turn "no multipart uploads for a moment" into "nothing at all".
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dispatcher.front import READY_PATH
from dispatcher.refusals import BAD_HEAD, LATE_HEAD, REFUSALS, error_lines
from workers.settings import Settings

BACKEND: Final = "shards"
LAST_RESORT: Final = "any-shard"
"""The same servers without checks, for when every check fails: what all shards have in common, a storage that is slow
to answer or a host without a free core, is no reason to serve nobody."""
BACKENDS: Final = (BACKEND, LAST_RESORT)
DISPATCHER_PATH: Final = "/-/dispatcher"
"""Answered by HAProxy itself: 200 while at least one shard is usable, 503 otherwise."""

IDEMPOTENT: Final = ("GET", "HEAD", "OPTIONS")
ALGORITHM: Final = ("balance hash var(txn.place)", "hash-type consistent crc32 avalanche")
CHECK: Final = "check inter 1s fastinter 500ms downinter 500ms rise 1 fall 3"
IDLE_CONNECTIONS: Final = 1000
# Closing idle connections is left to HAProxy: a shard that did it could cross a request on its way.
SHARD_KEEPALIVE: Final = 3600.0

_LOG: Final = (
    "proxy: %ci:%cp %[var(txn.method)] %[var(txn.path)] %[var(txn.status)] %ts shard=%s requests=%sc time=%Tt ms id=%ID"
)
_BODY_MARGIN: Final = 10.0
_REWRITE_BYTES: Final = 1024
_MAX_HEADERS: Final = 128
_SPARE_DESCRIPTORS: Final = 200
_RATE_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Server:
    """A shard as HAProxy gets it. `address` is `unix@PATH` or `IP:PORT`."""

    name: str
    number: int
    address: str
    weight: int
    connections: int
    accepting: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where this HAProxy listens and is reached. `bind` is in HAProxy's notation, such as `fd@3` or `:9000`.

    `script` is a file with `refusals.lua()`, None for a HAProxy without Lua. `log` is `stderr` or `fd@NUMBER`.
    """

    bind: str
    stats_socket: Path
    certificate: Path | None = None
    script: Path | None = None
    log: str = "stderr"


def render(settings: Settings, place: Place, servers: Iterable[Server], *, descriptors: int | None = None) -> str:
    """The whole configuration. `descriptors` is how many files HAProxy may open, None for no limit."""
    clients = settings.max_connections
    servers = sorted(servers, key=lambda server: server.name)
    if descriptors is not None:
        # Each client connection may have one to a shard.
        clients = max(10, min(clients, (descriptors - _SPARE_DESCRIPTORS) // 2))
    sections = (
        _global(settings, place, clients),
        _defaults(settings),
        _frontend(settings, place, clients),
        *(_backend(settings, servers, name) for name in BACKENDS),
        *(_refusal(name) for name in REFUSALS if place.script is not None),
    )
    return "# Written by shardgate; changes are lost.\n\n" + "\n".join(sections)


def template(settings: Settings) -> str:
    """A configuration for an HAProxy that something else starts, with an example of a shard."""
    bind = f"unix@{settings.listen_socket}" if settings.listen_socket is not None else settings.bind
    place = Place(bind, settings.state_dir / "run" / "haproxy.sock", settings.tls_certificate)
    example = Server("shard-1", 1, "192.0.2.1:9000", settings.shard_weight, 3000, True)
    return render(settings, place, [example])


def server_arguments(server: Server, *, checked: bool = True) -> str:
    """What follows the name of a server, in the configuration and in `add server`: everything but its state."""
    # A connection belongs to one client, since it announces its address. Without the low mark HAProxy keeps only as
    # many idle ones as there are requests at a time, and 40 % of the requests of busy clients find theirs closed.
    idle = min(IDLE_CONNECTIONS, max(1, server.connections // 3))
    health = f"{CHECK} check-send-proxy " if checked else ""
    return (
        f"{server.address} id {server.number} weight {server.weight} maxconn {server.connections} send-proxy-v2-ssl "
        f"{health}pool-low-conn {idle} pool-max-conn {idle} pool-purge-delay 10s"
    )


def _global(settings: Settings, place: Place, clients: int) -> str:
    script = f"    lua-load {_quoted(place.script)}\n" if place.script is not None else ""
    return f"""\
global
    maxconn {clients}
    stats socket {_quoted(place.stats_socket)} mode 600 level admin
    stats timeout 30s
    log {place.log} format raw daemon notice
    hard-stop-after {_milliseconds(settings.graceful_timeout)}
    tune.bufsize {_buffer_bytes(settings)}
    tune.maxrewrite {_REWRITE_BYTES}
    tune.http.maxhdr {_MAX_HEADERS}
    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
{script}"""


def _buffer_bytes(settings: Settings) -> int:
    """A head has to fit: so large that the shard's limit, which is answered with S3's error, is the narrower one."""
    return (settings.max_header_bytes + 2 * _REWRITE_BYTES + 4095) // 4096 * 4096


def _defaults(settings: Settings) -> str:
    timing = f"""\
defaults
    mode http
    log global
    option dontlognull
    option dontlog-normal
    option log-separate-errors
    log-format "{_LOG}"
    timeout connect 2s
    timeout http-request {_milliseconds(settings.head_timeout)}
    timeout http-keep-alive {_milliseconds(settings.keepalive)}
    timeout client {_milliseconds(settings.body_timeout + _BODY_MARGIN)}
    timeout client-fin 10s
    timeout server {_milliseconds(settings.response_timeout)}
    timeout server-fin 10s
    timeout queue 10s
    timeout check 5s
    retries 3
    option redispatch 1
    option clitcpka
    clitcpka-idle 60s
    clitcpka-intvl 10s
    clitcpka-cnt 6
    option srvtcpka
    srvtcpka-idle 5s
    srvtcpka-intvl 2s
    srvtcpka-cnt 3
"""
    return timing + "\n".join(error_lines()) + "\n"


def _frontend(settings: Settings, place: Place, clients: int) -> str:
    tls = f" ssl crt {_quoted(place.certificate)} alpn h2,http/1.1" if place.certificate else ""
    lines = [
        "frontend s3",
        f"    bind {_quoted(place.bind)}{tls}",
        f"    maxconn {clients}",
        *_client_limits(settings),
        "    unique-id-format %{+X}o%Ts%rt%pid",
        *(_inspection(settings, place) if place.script is not None else ()),
        f"    use_backend {LAST_RESORT} if {{ nbsrv({BACKEND}) lt 1 }}",
        f"    default_backend {BACKEND}",
    ]
    return "\n".join(lines) + "\n"


def _inspection(settings: Settings, place: Place) -> list[str]:
    """Rules that let nothing but requests on to HTTP.

    Two kinds go on unseen. A target is needed twice for the look, so that a head beyond half of the buffer cannot be
    judged; and a client that has agreed on HTTP/2 could not read an answer of HTTP/1.
    """
    limit = _milliseconds(settings.head_timeout)
    late = f"{{ date(0,ms),sub(sess.began) ge {limit.removesuffix('ms')} }}"
    half, full = _buffer_bytes(settings) // 2 - _REWRITE_BYTES, _buffer_bytes(settings) - _REWRITE_BYTES
    return [
        "    mode tcp",
        "    tcp-request session set-var(sess.began) date(0,ms)",
        f"    tcp-request inspect-delay {limit}",
        *(["    tcp-request content switch-mode http if { ssl_fc_alpn h2 }"] if place.certificate else []),
        "    tcp-request content switch-mode http if HTTP",
        # By way of a variable, since a rule about the length itself would wait for more to come.
        "    tcp-request content set-var(txn.came) req.len",
        f"    tcp-request content reject if {{ var(txn.came) -m int 0 }} !{late}",
        f"    tcp-request content switch-mode http if {{ var(txn.came) -m int {half}:{full - 1} }}",
        # In a backend, since HAProxy 2.6.12 ends with a segmentation fault when the frontend's own rules have a service
        # and its default backend is one of HTTP.
        f"    use_backend {LATE_HEAD} if !HTTP {late}",
        f"    use_backend {BAD_HEAD} if !HTTP",
    ]


def _refusal(name: str) -> str:
    return f"backend {name}\n    mode tcp\n    no log\n    tcp-request content use-service lua.{name}\n"


def _client_limits(settings: Settings) -> list[str]:
    """Limits of connections by address, and the count of requests that `_request_lines` looks at."""
    connections, requests = settings.connections_per_client, settings.requests_per_client
    if not connections and not requests:
        return []
    stored = ["conn_cur"] * bool(connections) + [f"http_req_rate({_RATE_SECONDS}s)"] * bool(requests)
    lines = [
        f"    stick-table type ipv6 size 200k expire 10m store {','.join(stored)}",
        "    tcp-request connection track-sc0 src",
    ]
    if connections:
        lines.append(f"    tcp-request connection reject if {{ sc0_conn_cur gt {connections} }}")
    return lines


def _request_lines(settings: Settings) -> list[str]:
    """Rules of every request. They stand in the backends, since a connection becomes one of HTTP on its way there."""
    asked = f"{{ path {DISPATCHER_PATH} }}"
    lines = [
        f"    http-request deny deny_status 503 if {asked} {{ nbsrv({BACKEND}) lt 1 }}",
        f"    http-request return status 200 content-type text/plain string usable if {asked}",
        "    http-request set-var(txn.method) method",
        "    http-request set-var(txn.path) path",
    ]
    if settings.requests_per_client:
        # The rate is an average, so that SDKs may come in bursts.
        limit = settings.requests_per_client * _RATE_SECONDS
        lines.append(f"    http-request deny deny_status 503 if {{ sc0_http_req_rate gt {limit} }}")
    return [
        *lines,
        *_place_lines(settings.virtual_host_domains),
        # A client that was refused before it was asked for its body does not send it. HAProxy still expects it, and
        # would take the next head on this connection for it: the client has to hear that the connection ends.
        "    http-request set-var(txn.expects) bool(true) if { req.hdr(expect) -m found }",
        "    http-after-response set-header connection close if { var(txn.expects) -m bool } { status ge 300 }",
        "    http-after-response set-var(txn.status) status",
        f"    http-request disable-l7-retry unless {{ method {' '.join(IDEMPOTENT)} }}",
    ]


def _place_lines(domains: tuple[str, ...]) -> list[str]:
    """Rules that set txn.place, alike for both ways to name a bucket (see `workers.addressing`)."""
    lines = ["    http-request set-var(txn.place) path"]
    if domains:
        ordered = sorted(domains, key=len, reverse=True)  # the closest domain decides
        lines.append("    http-request set-var(txn.host) req.hdr(host),field(1,:),lower,rtrim(.)")
        plain = f"!{{ var(txn.host) -m str {' '.join(ordered)} }}"
        for domain in ordered:
            # `.` in brackets, since a backslash would need other escapes in every context.
            pattern = f"[.]{re.sub('[.]', '[.]', domain)}$"
            condition = f"{{ var(txn.host) -m end .{domain} }} {plain} !{{ var(txn.bucket) -m found }}"
            lines.append(f"    http-request set-var(txn.bucket) var(txn.host),regsub({pattern},) if {condition}")
        lines.append(
            '    http-request set-var-fmt(txn.place) "/%[var(txn.bucket)]%[path]" if { var(txn.bucket) -m found }'
        )
    # A bucket alone may be sent with or without a slash behind it.
    lines.append('    http-request set-var-fmt(txn.place) "%[var(txn.place)]/" if { var(txn.place) -m reg ^/[^/]+$ }')
    lines.append("    http-request set-var(txn.place) var(txn.place),url_dec")
    return lines


def _backend(settings: Settings, servers: Iterable[Server], name: str) -> str:
    checked = name == BACKEND
    lines = [
        f"backend {name}",
        *_request_lines(settings),
        *(f"    {line}" for line in ALGORITHM),
        f"    hash-balance-factor {settings.balance_factor}",
        "    retry-on conn-failure empty-response",
        # A connection carries one client's address, so that only this client's requests share it.
        "    http-reuse safe",
    ]
    if checked:
        lines += [
            "    option httpchk",
            f"    http-check send meth GET uri {READY_PATH} ver HTTP/1.1 hdr host dispatcher",
            '    http-check expect rstring "\\"backend\\": *\\"ok\\""',
        ]
    else:
        lines.append("    no log")  # of the same servers' comings and goings
    for server in servers:
        state = "" if server.accepting else " disabled"
        lines.append(f"    server {server.name} {server_arguments(server, checked=checked)}{state}")
    return "\n".join(lines) + "\n"


def _milliseconds(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"


def _quoted(value: Path | str) -> str:
    """A word as the configuration takes it; `fd@3` and the like need no quotes."""
    text = str(value)
    return text if re.fullmatch(r"[\w@:./\[\]*-]+", text) else "'" + text.replace("'", "'\\''") + "'"
