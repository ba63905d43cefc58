"""Text of XML documents: escaping, and the characters that XML 1.0 cannot hold."""

from typing import Final

_SPECIAL: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})

# Char in XML 1.0 (section 2.2) leaves out most control characters, the surrogates, U+FFFE and U+FFFF.
_UNREPRESENTABLE: Final = (*(set(range(0x20)) - {0x09, 0x0A, 0x0D}), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF)
_REPLACEMENT: Final = dict.fromkeys(_UNREPRESENTABLE, "\ufffd")
_REMOVAL: Final = dict.fromkeys(_UNREPRESENTABLE)


class UnrepresentableTextError(ValueError):
    """The text has a character that an XML 1.0 document cannot hold, not even as a character reference.

    S3 answers such keys only with `encoding-type=url`; the caller decides what to do without it.
    """

    def __init__(self, text: str) -> None:
        super().__init__(f"text that XML 1.0 cannot hold: {text!r}")
        self.text = text


def escape(text: str) -> str:
    """Escape text for element content: `&`, `<`, `>`, and CR, which a parser would turn into LF.

    Raises UnrepresentableTextError for characters that XML 1.0 cannot hold and for lone surrogates.
    """
    # PERF: what is printable (no control, surrogate or unassigned character) needs no look at every character.
    if text.isprintable():
        if "&" in text or "<" in text or ">" in text:
            return text.translate(_SPECIAL)
        return text
    if text.translate(_REMOVAL) != text:
        raise UnrepresentableTextError(text)
    return text.translate(_SPECIAL)


def escape_replacing(text: str) -> str:
    """Escape like `escape`, with U+FFFD in the place of every character that XML 1.0 cannot hold."""
    if not text.isprintable():
        text = text.translate(_REPLACEMENT)
    return text.translate(_SPECIAL)
