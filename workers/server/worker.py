"""`ShardgateWorker`: gunicorn's gevent worker with connections of our own.

gunicorn.conf.py names it as `worker_class = "workers.server.worker.ShardgateWorker"`. Of gunicorn's settings it honours
those of processes, sockets, TLS, `worker_connections`, `max_requests`, `graceful_timeout`, `proxy_protocol` and
`proxy_allow_ips`, and the worker hooks; the limits of requests are `Limits`. `pre_request` and `post_request` are not
called and gunicorn's access log is not written: the application has both, with more to say.
"""

import ipaddress
import os
import ssl
from functools import partial
from time import monotonic
from typing import Any, Final

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn.http.wsgi import base_environ
from gunicorn.sock import ssl_context
from gunicorn.workers.ggevent import GeventWorker

from workers.server.connection import FRESH_SECONDS, Connection, Service
from workers.server.errors import request_ids
from workers.server.head import EnvironKeys, Hosts
from workers.server.limits import Limits, limits_from
from workers.server.response import Context, Dates, FileWrapper, HeaderKinds
from workers.server.transport import TlsTransport, Transport

_TICK: Final = 0.2  # seconds between looks at deadlines, signals and the heartbeat


class ShardgateWorker(GeventWorker):  # type: ignore[misc]  # gunicorn ships no types
    """One process of a shard. `limits` may be set on the class; else the SHARDGATE_* variables give them."""

    limits: Limits | None = None
    alive: bool

    _limits: Limits
    _service: Service
    _transports: set[Transport]
    _tls: ssl.SSLContext | None

    def load_wsgi(self) -> None:
        """Load the application and the limits: an error here stops the master, one in `run` only the worker."""
        self._limits = self.limits or limits_from(os.environ)
        super().load_wsgi()

    def run(self) -> None:
        """Serve until told to stop, then finish what is in flight."""
        limits = self._limits
        self._service = Service(
            application=self.wsgi,
            limits=limits,
            log=self.log.error_log,
            request_id=request_ids(int.from_bytes(os.urandom(4))),
            count_request=self._count_request,
            keys=EnvironKeys(),
            hosts=Hosts(),
            context=Context(limits.body_timeout, self.log.error_log, HeaderKinds(), Dates()),
        )
        self._transports = set()
        self._tls = self._tls_context()
        tick = min(_TICK, limits.shortest_timeout / 4)
        servers = [self._server(listener) for listener in self.sockets]
        while self.alive:
            self._tick()
            gevent.sleep(tick)
        self._stop(servers)

    def _server(self, listener: Any) -> StreamServer:
        listener.setblocking(True)
        server = StreamServer(
            listener, handle=partial(self.handle, self._base_environ(listener)), spawn=Pool(self.worker_connections)
        )
        if self.cfg.workers > 1:
            server.max_accept = 1  # the other workers take their share
        server.start()
        return server

    def _tls_context(self) -> ssl.SSLContext | None:
        if not self.cfg.is_ssl:
            return None
        context: ssl.SSLContext = ssl_context(self.cfg)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def _base_environ(self, listener: Any) -> dict[str, Any]:
        environ: dict[str, Any] = base_environ(self.cfg)
        name = listener.getsockname()
        scheme = "https" if self.cfg.is_ssl else "http"
        environ |= {
            "wsgi.multithread": True,  # greenlets: several requests are under way at once
            "wsgi.file_wrapper": FileWrapper,
            "wsgi.url_scheme": scheme,
            "SERVER_SOFTWARE": "shardgate",
            "SCRIPT_NAME": "",
            # WSGI asks for both; a unix socket has neither
            "SERVER_NAME": name[0] if isinstance(name, tuple) else "localhost",
            "SERVER_PORT": str(name[1]) if isinstance(name, tuple) else {"http": "80", "https": "443"}[scheme],
        }
        return environ

    # one tick

    def _tick(self) -> None:
        self.notify()
        now = monotonic()
        for transport in [transport for transport in self._transports if transport.deadline <= now]:
            transport.expire()

    def _count_request(self) -> None:
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
            self._service.context.draining = True

    def _stop(self, servers: list[StreamServer]) -> None:
        """Take no more connections, end the idle ones, wait for the others up to graceful_timeout."""
        self._service.context.draining = True
        for server in servers:
            server.close()
        now = monotonic()
        deadline = now + self.cfg.graceful_timeout
        for transport in list(self._transports):
            if transport.idle:
                transport.expire()
            elif transport.fresh:
                transport.deadline = min(transport.deadline, now + FRESH_SECONDS)
        while any(len(server.pool) for server in servers):
            if monotonic() >= deadline:
                self.log.warning("Worker graceful timeout (pid:%s)", self.pid)
                for server in servers:
                    server.pool.kill(block=True, timeout=1)
                return
            self._tick()
            gevent.sleep(0.02)

    # one connection

    def handle(self, base: dict[str, Any], client: Any, address: Any) -> None:
        """Serve one accepted connection (in a greenlet of its own)."""
        template = base.copy()
        # The peer of a unix socket is on this machine, as one from the loopback address is.
        is_ip = isinstance(address, tuple)
        template["REMOTE_ADDR"] = address[0] if is_ip else "127.0.0.1"
        template["REMOTE_PORT"] = str(address[1]) if is_ip else "0"
        transport = Transport(client)
        self._transports.add(transport)
        try:
            if self._tls is not None:
                transport = secured = self._handshake(client, transport)
                template["shardgate.tls"] = secured.version
            connection = Connection(self._service, transport, template)
            mode = self.cfg.proxy_protocol
            if mode == "off" or connection.proxied(mode, self._may_send_proxy_header(address)):
                connection.run()
        except OSError as error:
            self.log.debug("TLS handshake with %s failed: %s", template["REMOTE_ADDR"], error)
        finally:
            self._transports.discard(transport)
            transport.close()

    def _handshake(self, client: Any, plain: Transport) -> TlsTransport:
        assert self._tls is not None  # noqa: S101
        sock = self._tls.wrap_socket(
            client,
            server_side=True,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=self.cfg.suppress_ragged_eofs,
        )
        self._transports.discard(plain)
        transport = TlsTransport(sock)
        self._transports.add(transport)
        try:
            transport.handshake(monotonic() + self._service.limits.head_timeout)
        except BaseException:
            self._transports.discard(transport)
            transport.close()
            raise
        return transport

    def _may_send_proxy_header(self, address: Any) -> bool:
        if not isinstance(address, tuple) or "*" in self.cfg.proxy_allow_ips:
            return True
        try:
            peer = ipaddress.ip_address(address[0])
        except ValueError:
            return False
        return any(peer in network for network in self.cfg.proxy_allow_networks())
