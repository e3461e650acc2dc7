"""Read HTTP requests of the plainest kind: what browsers and mail programs ask pictures with.

Everything that is not of this form is left to a real HTTP server.
"""

from __future__ import annotations

import re
from typing import Any

# RFC 9112 section 2, without bodies, blanks before colons, folded lines and absolute addresses.
_REQUEST = re.compile(
    rb"(GET|HEAD) (/[A-Za-z0-9_./~-]*) HTTP/1\.1\r\n"
    rb"((?:[A-Za-z0-9-]+:[ \t]*[\x20-\x7e\t]*\r\n)+)\r\n"
)
_FIELD = re.compile(r"([A-Za-z0-9-]+):[ \t]*([^\r]*?)[ \t]*\r\n")
# What makes a request other than a question whose answer leaves the connection open.
_BINDING = frozenset(
    {
        "HTTP_CONTENT_LENGTH",
        "HTTP_TRANSFER_ENCODING",
        "HTTP_EXPECT",
        "HTTP_UPGRADE",
        "HTTP_TE",
        "HTTP_TRAILER",
    }
)


def read_plain(octets: bytes, *, client: str) -> dict[str, Any] | None:
    """Return the request that `octets` are, as far as PEP 3333 needs it for an answer without body.

    None when they are less or more than one whole request, or one of another form.
    """
    match = _REQUEST.fullmatch(octets)
    if match is None:
        return None
    environ: dict[str, Any] = {
        "REQUEST_METHOD": match[1].decode(),
        "PATH_INFO": match[2].decode(),
        "REMOTE_ADDR": client,
    }
    for name, value in _FIELD.findall(match[3].decode("ascii")):
        key = "HTTP_" + name.upper().replace("-", "_")
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    if "HTTP_HOST" not in environ or "," in environ["HTTP_HOST"]:  # RFC 9112 section 3.2
        return None
    if environ.get("HTTP_CONNECTION", "keep-alive").lower() != "keep-alive":
        return None
    return None if _BINDING.intersection(environ) else environ
