"""The posix plugin: buckets are directories, objects are files, for any Linux file system."""

from backends.posix.backend import PosixBackend

__all__ = ["PosixBackend"]
