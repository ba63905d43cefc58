"""Console commands over HTTP: `/proc/user/?mgm.cmd=file&mgm.subcmd=…`."""

import errno
import json
from collections.abc import Mapping
from urllib.parse import quote

from backends.eos.emulator import copying, directories, opening, paths, renaming
from backends.eos.emulator.failures import EosError
from backends.eos.emulator.http_answers import HttpFailure
from backends.eos.emulator.identity import Identity
from backends.eos.emulator.instance import Instance
from backends.eos.emulator.wire import Connection


def run(instance: Instance, who: Identity, path: bytes, query: Mapping[str, str], connection: Connection) -> None:
    """Run a command and answer with its output; its return code is in the body, the status is 200."""
    if not path.startswith(b"/proc/user"):
        raise HttpFailure(403, "this command needs an administrator")
    out, err, code = "", "", 0
    try:
        out = _command(instance, who, query)
    except EosError as error:
        err, code = error.text, error.code
    if query.get("mgm.format") == "json":
        body = json.dumps({"errormsg": err, "retc": str(code), "result": out}).encode()
        connection.respond(200, [("Content-Type", "application/json")], body)
        return
    text = f"mgm.proc.stdout={quote(out, safe=' /:')}&mgm.proc.stderr={quote(err, safe=' /:')}&mgm.proc.retc={code}"
    connection.respond(200, [("Content-Type", "text/plain")], text.encode())


def _command(instance: Instance, who: Identity, query: Mapping[str, str]) -> str:
    kind = (query.get("mgm.cmd", ""), query.get("mgm.subcmd", ""))
    option = query.get("mgm.file.option", "")
    if kind == ("whoami", ""):
        return f"Virtual Identity: uid={who.uid} gid={who.gid}"
    if kind == ("file", "copy"):
        return copying.copy(
            instance,
            who,
            _path(query, "mgm.path", who),
            _path(query, "mgm.file.target", who),
            force="f" in option,
            clone="c" in option,
        )
    if kind == ("file", "rename"):
        source, target = _path(query, "mgm.path", who), _path(query, "mgm.file.target", who)
        return renaming.rename(instance, who, source, target, overwrite=True)
    if kind == ("file", "touch"):
        path = _path(query, "mgm.path", who)
        if "n" in option or instance.namespace.lookup(path) is not None:
            return directories.touch(instance, who, path)
        opening.open_for_writing(instance, who, path, opening.WriteRequest())
        return "info: touched file"
    raise EosError(errno.EINVAL, "error: no such user command")


def _path(query: Mapping[str, str], name: str, who: Identity) -> bytes:
    return paths.normalised(query.get(name, "").encode("utf-8", "surrogateescape"), privileged=who.is_root)
