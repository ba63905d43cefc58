"""What TLS clients of EOS need, from the files that the options name."""

from __future__ import annotations

import ssl

import grpc

from backends.api import ConfigurationError
from backends.eos.options import Tls


def context_of(tls: Tls, setting: str) -> ssl.SSLContext:
    """For the HTTP ends. Raises `ConfigurationError`, with the option's name, for a file that cannot be used."""
    for name, path in _files(tls):
        _content(f"{setting}.{name}", path)
    try:
        context = ssl.create_default_context(cafile=tls.ca or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"eos: {setting}.ca: {tls.ca!r} holds no certificates: {error}") from None
    try:
        if tls.certificate:
            context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"eos: {setting}.certificate: {tls.certificate!r} with its key: {error}") from None
    return context


def channel_credentials(tls: Tls) -> grpc.ChannelCredentials | None:
    """For gRPC; None for clear text. Raises `ConfigurationError` like `context_of`."""
    if not tls.enabled:
        return None
    # gRPC says nothing of files that it cannot use but that it cannot connect.
    context_of(tls, "tls")
    contents = {name: _content(f"tls.{name}", path) for name, path in _files(tls)}
    return grpc.ssl_channel_credentials(contents.get("ca"), contents.get("key"), contents.get("certificate"))


def stream_context(tls: Tls) -> ssl.SSLContext | None:
    """For gRPC's streams, over HTTP/2; None for clear text. Raises `ConfigurationError` like `context_of`."""
    if not tls.enabled:
        return None
    context = context_of(tls, "tls")
    context.set_alpn_protocols(["h2"])
    return context


def _files(tls: Tls) -> list[tuple[str, str]]:
    named = (("ca", tls.ca), ("certificate", tls.certificate), ("key", tls.key))
    return [(name, path) for name, path in named if path]


def _content(setting: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigurationError(f"eos: {setting}: {path!r} cannot be read: {error.strerror}") from None
