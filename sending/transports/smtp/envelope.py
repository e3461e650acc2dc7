"""Write the envelope of one message in the words that a server offers, and its body for the wire.

SIZE is RFC 1870, 8BITMIME RFC 6152, SMTPUTF8 RFC 6531, DSN RFC 3461.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sending.errors import PermanentError, Phase, Reply
from sending.mime import Content
from sending.outgoing import Outgoing

# Anything that could end the command, or the path in it, and begin another parameter.
_UNSAFE = re.compile(r"[\x00-\x20\x7f<>]")
_XTEXT_ESCAPED = re.compile(r"[^!-*,-<>-~]")


def mail_command(outgoing: Outgoing, *, content: bytes, extensions: Mapping[str, str]) -> bytes:
    """Write MAIL FROM with every parameter that is offered and of use.

    Raises PermanentError when the message needs what the server does not offer.
    """
    path = _safe_path(outgoing.envelope_sender, phase=Phase.MAIL, enhanced="5.1.7")
    parameters = [
        *_size(content, extensions=extensions),
        *_encoding(outgoing, content=content, extensions=extensions),
    ]
    if "DSN" in extensions:
        parameters += ["RET=HDRS", f"ENVID={_local_part(outgoing.message_id)}"]
    return " ".join([f"MAIL FROM:<{path}>", *parameters, ""]).rstrip().encode() + b"\r\n"


def _local_part(message_id: str) -> str:
    return message_id.removeprefix("<").rpartition("@")[0]


def rcpt_command(outgoing: Outgoing, *, extensions: Mapping[str, str]) -> bytes:
    """Write RCPT TO; ask for reports of failure and delay where the server can pass that on."""
    path = _safe_path(outgoing.recipient, phase=Phase.RCPT, enhanced="5.1.3")
    command = f"RCPT TO:<{path}>"
    if "DSN" in extensions:
        command += " NOTIFY=FAILURE,DELAY"
        if path.isascii():  # another address type would be needed otherwise (RFC 6533)
            command += f" ORCPT=rfc822;{_xtext(path)}"
    return command.encode() + b"\r\n"


def body_for_wire(content: Content) -> bytes:
    """Stuff the dots and add the final one (RFC 5321 section 4.5.2).

    Raises PermanentError for a bare CR or LF: some servers take one for a line end, and then a
    body could smuggle in a second message (CVE-2023-51764).
    """
    octets = content.octets if content.is_wire_ready else _stuffed(content.octets)
    return octets + (b".\r\n" if octets.endswith(b"\r\n") or not octets else b"\r\n.\r\n")


def _stuffed(content: bytes) -> bytes:
    lines = content.count(b"\n")
    if content.count(b"\r") != lines or content.count(b"\r\n") != lines:
        raise PermanentError(
            "The message has a line that does not end in CRLF, which no server may be sent.",
            phase=Phase.MAIL,
            reply=Reply(enhanced="5.6.0", text="bare CR or LF in the message"),
        )
    stuffed = content.replace(b"\n.", b"\n..")
    return b"." + stuffed if content.startswith(b".") else stuffed


def _safe_path(address: str, *, phase: Phase, enhanced: str) -> str:
    if _UNSAFE.search(address):
        raise PermanentError(
            f"The address {address!r} has a blank, a bracket or a control character in it; "
            "it was not sent to the server. Correct the address.",
            phase=phase,
            reply=Reply(code=553, enhanced=enhanced, text="malformed address"),
        )
    return address


def _size(content: bytes, *, extensions: Mapping[str, str]) -> list[str]:
    if "SIZE" not in extensions:
        return []
    limit = extensions["SIZE"].strip()
    if limit.isdecimal() and 0 < int(limit) < len(content):
        raise PermanentError(
            f"The message has {len(content)} octets, the server takes {limit}. "
            "Shorten the message, or have the server's limit raised.",
            phase=Phase.MAIL,
            reply=Reply(code=552, enhanced="5.3.4", text="message larger than the server's SIZE"),
        )
    return [f"SIZE={len(content)}"]


def _encoding(outgoing: Outgoing, *, content: bytes, extensions: Mapping[str, str]) -> list[str]:
    parameters = []
    if not content.isascii():
        if "8BITMIME" not in extensions:
            raise PermanentError(
                "The message has octets outside ASCII, and the server does not offer 8BITMIME.",
                phase=Phase.MAIL,
                reply=Reply(code=554, enhanced="5.6.3", text="8BITMIME needed, not offered"),
            )
        parameters.append("BODY=8BITMIME")
    if outgoing.needs_smtputf8:
        if "SMTPUTF8" not in extensions:
            raise PermanentError(
                "The message has an address outside ASCII, and the server does not offer SMTPUTF8.",
                phase=Phase.MAIL,
                reply=Reply(code=553, enhanced="5.6.7", text="SMTPUTF8 needed, not offered"),
            )
        parameters.append("SMTPUTF8")
    return parameters


def _xtext(text: str) -> str:
    """Encode for a DSN parameter (RFC 3461 section 4): "+" and "=" have a meaning there."""
    return _XTEXT_ESCAPED.sub(lambda match: f"+{ord(match[0]):02X}", text)
