"""Be a next hop that misbehaves on purpose, in a process of its own.

It writes down every message it has read to the final dot before it answers, so that the record
holds whatever a sender may believe. A recipient such as ``dot-drop.17@recipient.example`` asks for
that mishap at its first try; the moods of the file that `Moods` writes concern connections.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import time
from collections.abc import Callable
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any

SILENCE_SECONDS = 3600
# What is answered instead; None: the connection ends; "": no answer ever.
RCPT_MISHAPS: dict[str, str | None] = {
    "rcpt-drop": None,
    "rcpt-stall": "",
    "rcpt-450": "450 4.2.1 mailbox is busy",
    "rcpt-multi": "451-4.7.1 greylisted,\r\n451-please come\r\n451 4.7.1 back later",
    "rcpt-bare": "450 no enhanced status here",
    "rcpt-421": "421 4.3.2 shutting down",
    "rcpt-550": "550 5.1.1 no such user",
}
DATA_MISHAPS: dict[str, str | None] = {
    "data-drop": None,
    "data-stall": "",
    "data-451": "451 4.3.0 no space for this",
    "data-421": "421 4.3.2 shutting down",
    "data-554": "554 5.7.1 no",
}
# Refused after the dot: the message was read and thrown away.
DOT_REFUSALS: dict[str, str | None] = {
    "dot-451": "451 4.3.0 try again",
    "dot-421": "421 4.3.2 shutting down",
    "dot-552": "552-5.2.2 the mailbox\r\n552 5.2.2 is full",
    "dot-554": "554 5.6.0 bad content",
}
# Taken, and then no answer, a strange one, or a bad end.
DOT_MISHAPS: dict[str, str | None] = {"dot-drop": None, "dot-stall": ""}
ENDS: dict[str, str | None] = {"quit-drop": None, "quit-500": "500 5.5.1 what?"}
AMBIGUOUS = tuple(DOT_MISHAPS)
REFUSED = tuple(
    name
    for table in (RCPT_MISHAPS, DATA_MISHAPS, DOT_REFUSALS)
    for name, reply in table.items()
    if reply and reply.startswith("5")
)
MISHAPS = (*RCPT_MISHAPS, *DATA_MISHAPS, "body-drop", *DOT_REFUSALS, *DOT_MISHAPS, *ENDS)


class Hop:
    """What all connections share: the record, the mood, who has had their mishap already."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.delay_seconds = arguments.delay_ms / 1000
        self.random = random.Random(arguments.seed)
        self._record = os.open(arguments.record, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._mood = Path(arguments.mood)
        self._seen: set[str] = set()

    def mood(self, name: str) -> Any:
        """Return what the mood says of this now, None when it is calm."""
        try:
            moods = json.loads(self._mood.read_text())
        except (OSError, ValueError):
            return None
        if name not in moods or self.random.random() > moods.get("rate", 1.0):
            return None
        return moods[name]

    def mishap(self, recipient: str) -> str:
        """Return the mishap that this recipient asks for and has not had yet, else nothing."""
        name = recipient.partition(".")[0]
        return name if name in MISHAPS and recipient not in self._seen else ""

    def spend(self, recipient: str) -> None:
        """Let the next try of this recipient go well."""
        self._seen.add(recipient)

    def record(self, *, message_id: str, recipient: str) -> None:
        """Write down what arrived; one write, so that nothing ends half of it."""
        os.write(self._record, f"{message_id}\t{recipient}\t{time.time()}\n".encode())


class Hangup(Exception):
    """This connection ends here, without a word."""


class Connection:
    """One SMTP session."""

    def __init__(
        self, hop: Hop, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._hop, self._reader, self._writer = hop, reader, writer
        self._has_sender = False
        self._recipients: list[str] = []
        self._mishap = ""
        self._end = ""
        self._commands: dict[str, Callable[[str], Any]] = {
            "EHLO": self._ehlo,
            "HELO": self._ehlo,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._take_message,
            "RSET": self._rset,
            "QUIT": self._quit,
        }

    async def run(self) -> None:
        """Speak until the client leaves or the connection is dropped."""
        try:
            await self._answer(self._hop.mood("connect"), "220 sink.example ESMTP")
            while line := await self._reader.readline():
                command = line.decode("utf-8", "replace").strip()
                act = self._commands.get(command[:4].upper())
                await (act(command) if act else self._say("502 5.5.1 unknown"))
        except (Hangup, OSError, ValueError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writer.transport.abort()

    async def _say(self, *lines: str) -> None:
        self._writer.write("".join(f"{line}\r\n" for line in lines).encode())
        await self._writer.drain()

    async def _misbehave(self, reply: str | None) -> None:
        """Answer wrongly, or not at all, or hang up; a 421 is the last word."""
        if reply == "":
            await asyncio.sleep(SILENCE_SECONDS)
        if not reply or reply == "drop":
            raise Hangup
        await self._say(reply)
        if reply.startswith("421"):
            raise Hangup

    async def _answer(self, mood: str | None, reply: str) -> None:
        if mood is None:
            await self._say(reply)
        else:
            await self._misbehave("" if mood == "stall" else mood)

    async def _ehlo(self, command: str) -> None:
        offers = [] if self._hop.mood("no-pipelining") else ["250-PIPELINING"]
        await self._say("250-sink.example", *offers, "250 ENHANCEDSTATUSCODES")

    async def _mail(self, command: str) -> None:
        self._recipients, self._mishap = [], ""
        mood = self._hop.mood("mail")
        self._has_sender = mood is None
        await self._answer(mood, "250 2.1.0 Ok")
        if self._hop.mood("deaf"):  # offers PIPELINING and throws away what came with MAIL
            await self._reader.read(65536)

    async def _rcpt(self, command: str) -> None:
        if not self._has_sender:
            return await self._say("503 5.5.1 no sender yet")
        recipient = re.search("<(.*?)>", command)[1]
        self._mishap = self._hop.mishap(recipient)
        self._hop.spend(recipient)
        if self._mishap in RCPT_MISHAPS:
            return await self._misbehave(RCPT_MISHAPS[self._mishap])
        self._recipients.append(recipient)
        return await self._say("250 2.1.5 Ok")

    async def _take_message(self, command: str) -> None:
        if not self._recipients:
            return await self._say("554 5.5.1 no valid recipients")
        if self._mishap in DATA_MISHAPS:
            return await self._misbehave(DATA_MISHAPS[self._mishap])
        await self._say("354 go ahead")
        if self._mishap == "body-drop":
            await self._reader.readline()
            raise Hangup
        content = await self._content()
        if self._mishap in DOT_REFUSALS:
            return await self._misbehave(DOT_REFUSALS[self._mishap])
        return await self._keep(content)

    async def _content(self) -> bytes:
        lines = []
        while (line := await self._reader.readline()) != b".\r\n":
            if not line:
                raise Hangup
            lines.append(line)
        return b"".join(lines)

    async def _keep(self, content: bytes) -> None:
        message_id = str(BytesHeaderParser().parsebytes(content)["Message-ID"]).strip()
        for recipient in self._recipients:
            self._hop.record(message_id=message_id, recipient=recipient)
        await asyncio.sleep(self._hop.delay_seconds)
        if self._mishap in DOT_MISHAPS:
            await self._misbehave(DOT_MISHAPS[self._mishap])
        self._end = self._mishap if self._mishap in ENDS else self._end
        await self._say("250 2.0.0 Ok: queued as SINK1")

    async def _rset(self, command: str) -> None:
        self._has_sender, self._recipients, self._mishap = False, [], ""
        await self._say("250 2.0.0 Ok")

    async def _quit(self, command: str) -> None:
        await self._misbehave(ENDS.get(self._end, "221 2.0.0 Bye"))
        raise Hangup


async def serve(arguments: argparse.Namespace) -> None:
    """Listen on the loopback until the process is ended."""
    hop = Hop(arguments)
    server = await asyncio.start_server(
        lambda reader, writer: Connection(hop, reader, writer).run(),
        "127.0.0.1",
        arguments.port,
        backlog=512,
        limit=2**24,
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--record", required=True)
    parser.add_argument("--mood", required=True)
    parser.add_argument("--delay-ms", type=float, default=10)
    parser.add_argument("--seed", default="0")
    asyncio.run(serve(parser.parse_args()))
