"""S3 keys and S3 listings on tree-shaped storage: the key <-> path rule and pages read out of directories."""

from backends.hierarchy.directory import Directory, build_directory, is_utf8
from backends.hierarchy.names import DEFAULT_NAMES, Kind, Names
from backends.hierarchy.walk import Tree, page, scan

__all__ = ["DEFAULT_NAMES", "Directory", "Kind", "Names", "Tree", "build_directory", "is_utf8", "page", "scan"]
