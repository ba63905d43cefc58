"""S3's listing semantics over any ordered sequence of keys.

Pure: the storage only has to be able to start at a key. Source of the rules:
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from backends.values import ListPage, ListQuery, ObjectEntry

LAST: Final = "\U0010ffff"
"""The greatest code point."""


def common_prefix(key: str, prefix: str, delimiter: str) -> str | None:
    """The group that `key` is rolled up to, None when it stands for itself."""
    if not delimiter:
        return None
    end = key.find(delimiter, len(prefix))
    return None if end < 0 else key[: end + len(delimiter)]


def behind_group(group: str) -> str:
    """A position behind every key that begins with `group`, for the `after` of a scan: itself no key of the group."""
    # The longest key is 1024 bytes, 256 of the greatest code points.
    return group + LAST * 257


def start_of(query: ListQuery) -> str:
    """Where a scan for this page begins (exclusive).

    A position that is itself a common prefix lies behind the whole group: the answer before this one ended with it.
    """
    if query.after and query.after.startswith(query.prefix):
        group = common_prefix(query.after, query.prefix, query.delimiter)
        if group == query.after:
            return behind_group(group)
    return query.after


def page_of_scan(scan: Callable[[str], Iterator[ObjectEntry]], query: ListQuery) -> ListPage:
    """One page out of `scan(after)`, which gives all entries with the query's prefix behind `after` in order.

    A scan is started anew behind each group, so that a group costs one entry, not all of its keys.
    """
    objects: list[ObjectEntry] = []
    prefixes: list[str] = []
    last = ""
    entries = scan(start_of(query))
    while (entry := next(entries, None)) is not None:
        if len(objects) + len(prefixes) == query.limit:
            return ListPage(tuple(objects), tuple(prefixes), last)
        group = common_prefix(entry.key, query.prefix, query.delimiter)
        if group is None:
            objects.append(entry)
            last = entry.key
        else:
            prefixes.append(group)
            last = group
            entries = scan(behind_group(group))
    return ListPage(tuple(objects), tuple(prefixes), None)
