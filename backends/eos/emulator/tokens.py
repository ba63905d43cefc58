"""EOS tokens: a signed statement that somebody may do something below a path until some time."""

import base64
import errno
import hashlib
import hmac
import json
import re
import zlib
from dataclasses import asdict, dataclass
from typing import Any, Final

from backends.eos.emulator.failures import EosError

PREFIX: Final = "zteos64:"
SEVERAL: Final = "://:"


@dataclass(frozen=True, slots=True)
class Token:
    """A token's content. `path` may be several joined by `://:`; `origins` are regexes (host, name, protocol)."""

    path: str
    permission: str
    expires: int
    owner: str
    group: str
    generation: int = 1
    allowtree: bool = False
    origins: tuple[tuple[str, str, str], ...] = ()

    def covers(self, path: bytes) -> bool:
        """Whether the token speaks of this path."""
        asked = path.rstrip(b"/") or b"/"
        for part in self.path.split(SEVERAL):
            base = part.encode()
            if asked == (base.rstrip(b"/") or b"/"):
                return True
            if self.allowtree and asked.startswith(base.rstrip(b"/") + b"/"):
                return True
        return False


class Tokens:
    """Signs and checks tokens. Clients take the text as it is; its inner form is the emulator's own."""

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.sha256(b"token\0" + key).digest()

    def signed(self, token: Token) -> str:
        """The text of a token."""
        body = json.dumps(asdict(token), sort_keys=True).encode()
        packed = base64.b64encode(zlib.compress(self._signature(body) + body)).decode()
        return PREFIX + packed.replace("+", "-").replace("/", "_").replace("=", "%3d")

    def opened(self, text: str, *, now: int, generation: int, peer: str, protocol: str) -> Token:
        """A token's content. Raises `EosError`: EKEYEXPIRED when it is too old, EACCES for all that is wrong else."""
        token = self.inspected(text)
        if token.expires <= now:
            raise EosError(errno.EKEYEXPIRED, "error: token has expired")
        if token.generation != generation:
            raise EosError(errno.EACCES, "error: token generation number does not match the instance")
        if token.origins and not any(_fits(origin, token, peer, protocol) for origin in token.origins):
            raise EosError(errno.EACCES, "error: token is not valid for this origin")
        return token

    def inspected(self, text: str) -> Token:
        """A token's content when its signature is right; nothing else is checked. Raises `EosError` with EACCES."""
        packed = text.removeprefix(PREFIX).replace("%3d", "=").replace("%3D", "=").replace("_", "/").replace("-", "+")
        try:
            opened = zlib.decompress(base64.b64decode(packed, validate=True))
            signature, body = opened[:32], opened[32:]
            if not hmac.compare_digest(signature, self._signature(body)):
                raise ValueError("wrong signature")
            content: dict[str, Any] = json.loads(body)
        except (ValueError, zlib.error) as error:
            raise EosError(errno.EACCES, "error: token signature is invalid") from error
        content["origins"] = tuple(tuple(origin) for origin in content["origins"])
        return Token(**content)

    def _signature(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")


def _fits(origin: tuple[str, str, str], token: Token, peer: str, protocol: str) -> bool:
    host, name, prot = origin
    return bool(re.fullmatch(host, peer) and re.fullmatch(name, token.owner) and re.fullmatch(prot, protocol))
