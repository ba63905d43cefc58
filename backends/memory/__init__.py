"""The memory plugin: everything in the worker's own memory, gone with it. For tests, and as the example of a plugin."""

from backends.memory.backend import MemoryBackend

__all__ = ["MemoryBackend"]
