"""The noop plugin: it stores nothing, so that what is measured is the gateway."""

from backends.noop.backend import NoopBackend

__all__ = ["NoopBackend"]
