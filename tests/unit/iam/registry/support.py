"""A registry over any store, its clock, and a store whose user dies."""

from collections.abc import Callable
from typing import Any

from workers.iam.registry import Registry
from workers.iam.sealing import Sealer
from workers.iam.stores.api import DocumentStore, Stored

KEY, NEW_KEY = "k" * 32, "n" * 32
ALLOW = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}'
TRUST = '{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}}'
HOUR = 3600 * 10**9


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1_782_043_200 * 10**9

    def __call__(self) -> int:
        return self.now


class Crash(BaseException):
    """The process dies."""


class Mortal:
    """A store whose user dies before the given change, which 0 is the first of."""

    def __init__(self, inner: DocumentStore, changes: int) -> None:
        self.inner = inner
        self.left = changes

    def get(self, name: str) -> Stored | None:
        return self.inner.get(name)

    def names(self, prefix: str) -> Any:
        return self.inner.names(prefix)

    def put(self, name: str, data: bytes, expected: str | None) -> str:
        self._live()
        return self.inner.put(name, data, expected)

    def delete(self, name: str, expected: str) -> None:
        self._live()
        self.inner.delete(name, expected)

    def _live(self) -> None:
        if self.left == 0:
            raise Crash
        self.left -= 1


def registry_over(store: DocumentStore, clock: Callable[[], int] | None = None, **options: Any) -> Registry:
    return Registry(store, Sealer([KEY]), clock=clock or Clock(), sleep=lambda seconds: None, **options)
