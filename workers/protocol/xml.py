"""XML documents of requests, read strictly, and of answers, written fast.

Reading: expat with everything refused that a request has no use for: DTDs, entities, other encodings than UTF-8, deep
nesting, huge counts, mixed content, foreign namespaces. Writing: nested tuples become text without a tree in between.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote_plus
from xml.parsers import expat

from workers.protocol.errors import S3Error
from workers.protocol.xmltext import UnrepresentableTextError, escape, escape_replacing

__all__ = [
    "DECLARATION",
    "NAMESPACE",
    "Element",
    "Node",
    "Rendered",
    "UnrepresentableTextError",
    "document",
    "escape",
    "escape_replacing",
    "integer",
    "parse",
    "render",
    "url_encoded",
]

NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
"""The namespace of S3's documents; requests may also come without any."""

XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
"""The namespace of `xsi:type`, which tells the kinds of grantees apart."""

DECLARATION: Final = b'<?xml version="1.0" encoding="UTF-8"?>\n'

MAX_DEPTH: Final = 16
MAX_ELEMENTS: Final = 60_000
"""Ten thousand parts with number, ETag and three checksums each stay below; more only cost time (7 us each)."""

_ACCEPTED_NAMESPACES: Final = frozenset({NAMESPACE, "http://doc.s3.amazonaws.com/2006-03-01"})


class Element:
    """An element of a request document: it has either children or text.

    `attributes` have the names of their namespaces in front: `"<uri> type"`. All helpers raise S3Error MalformedXML
    when the document is not what they ask for.
    """

    __slots__ = ("attributes", "children", "name", "text")

    def __init__(self, name: str, attributes: Mapping[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        # PERF: a list only for those that have children; most have none.
        self.children: Sequence[Element] = ()
        self.text = ""

    def allow(self, *names: str) -> None:
        """Refuse children of other names."""
        for child in self.children:
            if child.name not in names:
                raise S3Error("MalformedXML")

    def all(self, name: str) -> list["Element"]:
        """Return the children of that name."""
        return [child for child in self.children if child.name == name]

    def find(self, name: str) -> "Element | None":
        """Return the child of that name, or None; there may not be two."""
        found = self.all(name)
        if len(found) > 1:
            raise S3Error("MalformedXML")
        return found[0] if found else None

    def get(self, name: str) -> "Element":
        """Return the one child of that name."""
        found = self.find(name)
        if found is None:
            raise S3Error("MalformedXML")
        return found

    def find_text(self, name: str) -> str | None:
        """Return the text of the child of that name, or None without one."""
        found = self.find(name)
        return None if found is None else found.own_text()

    def get_text(self, name: str) -> str:
        """Return the text of the one child of that name."""
        return self.get(name).own_text()

    def find_integer(self, name: str) -> int | None:
        """Return the child's text as a number of up to 18 digits, or None without the child."""
        text = self.find_text(name)
        return None if text is None else integer(text)

    def get_integer(self, name: str) -> int:
        """Return the one child's text as a number of up to 18 digits."""
        return integer(self.get_text(name))

    def find_boolean(self, name: str) -> bool | None:
        """Return the child's text as `true` or `false` in any case, or None without the child."""
        text = self.find_text(name)
        if text is None:
            return None
        value = text.strip().lower()
        if value not in ("true", "false"):
            raise S3Error("MalformedXML")
        return value == "true"

    def own_text(self) -> str:
        """Return the element's text; it may not have children."""
        if self.children:
            raise S3Error("MalformedXML")
        return self.text


def parse(body: bytes, root: str, *, limit: int) -> Element:
    """Return the root element of a request document.

    `root` is the name that it must have, `limit` the greatest number of bytes. Raises S3Error MalformedXML, or
    MaxMessageLengthExceeded.
    """
    if len(body) > limit:
        raise S3Error("MaxMessageLengthExceeded", MaxMessageLengthBytes=str(limit))
    element = _Builder().build(body)
    if element.name != root:
        raise S3Error("MalformedXML")
    return element


class _Builder:
    """Builds the tree from expat's events."""

    def __init__(self) -> None:
        self._stack: list[Element] = []
        self._text = ""
        self._root: Element | None = None
        self._count = 0

    def build(self, body: bytes) -> Element:
        # The encoding given here overrides what the document declares, but expat still recognizes UTF-16 by its NULs
        # or its byte order mark.
        if b"\0" in body:
            raise S3Error("MalformedXML")
        parser = expat.ParserCreate("utf-8", " ")
        parser.buffer_text = True
        parser.buffer_size = 64 * 1024
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data
        parser.StartDoctypeDeclHandler = _refuse
        parser.EntityDeclHandler = _refuse
        try:
            body.decode("utf-8")
            parser.Parse(body, True)
        except (expat.ExpatError, UnicodeDecodeError) as error:
            raise S3Error("MalformedXML") from error
        assert self._root is not None  # noqa: S101 - expat refuses a document without a root
        return self._root

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if len(self._stack) >= MAX_DEPTH or self._count > MAX_ELEMENTS:
            raise S3Error("MalformedXML")
        namespace, space, local = name.rpartition(" ")
        if space and namespace not in _ACCEPTED_NAMESPACES:
            raise S3Error("MalformedXML")
        element = Element(local, attributes)
        if self._stack:
            parent = self._stack[-1]
            if isinstance(parent.children, list):
                parent.children.append(element)
            else:
                parent.children = [element]
        else:
            self._root = element
        self._stack.append(element)
        self._drop_white_space()

    def _end(self, _name: str) -> None:
        element = self._stack.pop()
        if element.children:
            self._drop_white_space()
        else:
            element.text = self._text
            self._text = ""

    def _data(self, text: str) -> None:
        self._text += text

    def _drop_white_space(self) -> None:
        """Forget the text between two tags, where elements and other text do not mix."""
        if self._text:
            if not self._text.isspace():
                raise S3Error("MalformedXML")
            self._text = ""


def _refuse(*_arguments: object) -> None:
    raise S3Error("MalformedXML")


def integer(text: str) -> int:
    """Return the number of up to 18 digits that an element's text is. Raises S3Error MalformedXML."""
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        raise S3Error("MalformedXML")
    return int(digits)


class Rendered(str):
    """Content that is XML already: written as it stands. For elements of which a document has thousands."""

    __slots__ = ()


Node = tuple[str, object] | tuple[str, object, Mapping[str, str]]
"""An element to write: its name, its content and, seldom, its attributes.

The content is text, a number, a truth value (`true` or `false`), an iterable of nodes, or `Rendered`; None leaves the
element out.
It is typed as object, since no type checker infers the nested union in the calls that this is for.
"""


def document(
    root: str,
    content: Iterable[Node] | str,
    *,
    escaping: Callable[[str], str] = escape,
    namespace: str | None = NAMESPACE,
    declaration: bool = True,
) -> bytes:
    """Return a whole document of nested tuples.

        document("ListBucketResult", [("Name", "b"), ("Contents", [("Key", "a"), ("Size", 1)])])

    Raises UnrepresentableTextError for text that XML cannot hold; `escape_replacing` as `escaping` replaces it.
    `declaration=False` leaves out the XML declaration, for an answer that sent it before.
    """
    head = f'<{root} xmlns="{namespace}">' if namespace else f"<{root}>"
    parts = [head]
    if isinstance(content, str):
        parts.append(escaping(content))
    else:
        _render(content, parts, escaping)
    parts.append(f"</{root}>")
    text = "".join(parts).encode()
    return DECLARATION + text if declaration else text


def render(nodes: Iterable[Node], *, escaping: Callable[[str], str] = escape) -> bytes:
    """Return elements without a root or a declaration around them."""
    parts: list[str] = []
    _render(nodes, parts, escaping)
    return "".join(parts).encode()


def _render(nodes: Iterable[Node], parts: list[str], escaping: Callable[[str], str]) -> None:
    # PERF: one append for each element, and str tested first, since it is most.
    append = parts.append
    for node in nodes:
        name, content = node[0], node[1]
        if len(node) == 3:
            _render_with_attributes(node, parts, escaping)
        elif isinstance(content, Rendered):
            append(f"<{name}>{content}</{name}>")
        elif isinstance(content, str):
            append(f"<{name}>{escaping(content)}</{name}>" if content else f"<{name}/>")
        elif content is None:
            continue
        elif content is True or content is False:
            append(f"<{name}>true</{name}>" if content else f"<{name}>false</{name}>")
        elif isinstance(content, int):
            append(f"<{name}>{content}</{name}>")
        else:
            children: Any = content
            append(f"<{name}>")
            _render(children, parts, escaping)
            append(f"</{name}>")


def _render_with_attributes(node: Node, parts: list[str], escaping: Callable[[str], str]) -> None:
    name, content, attributes = node  # type: ignore[misc]
    if content is None:
        return
    start = len(parts)
    _render([(name, content)], parts, escaping)
    texts = [f' {key}="{escaping(value).replace(chr(34), "&quot;")}"' for key, value in attributes.items()]
    parts[start] = parts[start].replace(name, name + "".join(texts), 1)


def url_encoded(text: str) -> str:
    """Return a key, prefix or marker as lists show it with `encoding-type=url`: like a form field, but `/` stays."""
    return quote_plus(text, safe="/*", errors="strict").replace("~", "%7E")
