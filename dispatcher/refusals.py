"""HAProxy's own answers as S3's error documents.

Most come from `http-error` lines. A head that HAProxy cannot parse, or that does not become complete in time, never
reaches them: its HTTP multiplexer answers by itself, in HTML. So the first head of a connection is looked at before
the connection becomes one of HTTP, and what is none goes to a service in Lua that has the documents for 400 and 408.
"""

from typing import Final

from workers.protocol.errors import S3Error, render_error

BAD_HEAD: Final = "bad-head"
LATE_HEAD: Final = "late-head"
REFUSALS: Final = (BAD_HEAD, LATE_HEAD)
"""Backends, and in Lua services, that answer a connection which has brought no request."""

_HOST_ID: Final = "dispatcher"
_ERRORS: Final[tuple[tuple[int, str, str], ...]] = (
    # status, code, message ("" is the catalogue's)
    (400, "BadRequest", ""),
    (403, "AccessDenied", ""),
    (405, "MethodNotAllowed", ""),
    (408, "RequestTimeout", ""),
    (413, "EntityTooLarge", ""),
    (429, "SlowDown", ""),
    (500, "InternalError", ""),
    (501, "NotImplemented", ""),
    (502, "InternalError", ""),
    (503, "SlowDown", ""),
    (504, "ServiceUnavailable", "The server did not answer in time. Please try again."),
)
_STATUS_LINES: Final = {
    BAD_HEAD: ("400 Bad Request", "BadRequest"),
    LATE_HEAD: ("408 Request Timeout", "RequestTimeout"),
}
_LUA: Final = """\
-- Written by shardgate; changes are lost.
local function refusal(status, before, after)
    local number = status:match("%d+")
    return function(applet)
        local id = applet.f:unique_id()
        local body = before .. id .. after
        applet:send("HTTP/1.1 " .. status .. "\\r\\nconnection: close\\r\\ncontent-type: application/xml\\r\\n"
            .. "x-amz-request-id: " .. id .. "\\r\\ncontent-length: " .. #body .. "\\r\\n\\r\\n" .. body)
        core.log(core.notice, "proxy: " .. applet.f:src() .. ":" .. applet.f:src_port() .. " - - " .. number
            .. " no request id=" .. id)
    end
end
"""


def error_lines() -> list[str]:
    """The `http-error` lines, with a request id that HAProxy's log has, too."""
    lines = []
    for status, code, message in _ERRORS:
        text = _document(code, message, "%[unique-id]").replace("'", "&apos;")
        headers = "hdr x-amz-request-id %[unique-id]" + (" hdr retry-after 1" if status in (429, 503) else "")
        lines.append(f"    http-error status {status} content-type application/xml lf-string '{text}' {headers}")
    return lines


def lua() -> str:
    """The script that `lua-load` takes: a service for each of REFUSALS."""
    lines = [_LUA]
    for name, (status, code) in _STATUS_LINES.items():
        before, after = _document(code, "", "ID").split("<RequestId>ID</RequestId>")
        arguments = ", ".join(map(_lua_string, (status, f"{before}<RequestId>", f"</RequestId>{after}")))
        lines.append(f'core.register_service("{name}", "tcp", refusal({arguments}))\n')
    return "".join(lines)


def _document(code: str, message: str, request_id: str) -> str:
    error = S3Error(code, message or None)
    return render_error(error, resource="", request_id=request_id, host_id=_HOST_ID).decode().replace("\n", "")


def _lua_string(text: str) -> str:
    return "[[" + text + "]]"
