"""Failures of namespace operations: an errno and the text that EOS gives with it."""

import os


def printable(value: bytes) -> str:
    """A path as it stands in messages, which are strings on the wire: bytes that are not UTF-8 are replaced."""
    return value.decode("utf-8", "replace")


class EosError(Exception):
    """A refused or failed operation. `code` is a positive errno of Linux, `text` what the client is told."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class NotFound(EosError):
    """A path or an id that does not exist; only the namespace raises it, operations give it their own text."""


def unable(operation: str, code: int, path: bytes) -> EosError:
    """The failure of a namespace operation."""
    return EosError(code, f"Unable to {operation}: {os.strerror(code)}; {printable(path)}")


def unable_file(operation: str, code: int, path: bytes) -> EosError:
    """The failure of opening a file."""
    return EosError(code, f"Unable to {operation} {printable(path)}; {os.strerror(code)}")
