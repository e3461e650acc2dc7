"""Let requests arrive at fixed times, whether or not earlier ones have been answered."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

CONNECTIONS = 64


def arrive(
    url: str, *, headers: Mapping[str, str], per_second: float, seconds: float
) -> list[float]:
    """Ask for single mails; return how many ms each answer took from when it was to be asked for.

    A request that has to wait for one of the connections waits at the server's expense: otherwise
    a server that stalls would be asked less, and look better. Raises RuntimeError if one is
    refused.
    """
    return asyncio.run(_arrive(url, headers, per_second, seconds))


async def _arrive(
    url: str, headers: Mapping[str, str], per_second: float, seconds: float
) -> list[float]:
    place = urlsplit(url)
    idle: asyncio.Queue[_Connection] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        idle.put_nowait(_Connection(place.hostname or "", place.port or 80))
    latencies: list[float] = []

    async def ask(number: int, due: float) -> None:
        connection = await idle.get()
        await connection.post(_request(place.path, headers, number))
        latencies.append((time.monotonic() - due) * 1000)
        idle.put_nowait(connection)

    began = time.monotonic()
    async with asyncio.TaskGroup() as asked:
        for number in range(round(per_second * seconds)):
            due = began + number / per_second
            await asyncio.sleep(max(due - time.monotonic(), 0))
            asked.create_task(ask(number, due))
    while not idle.empty():
        idle.get_nowait().close()
    return latencies


class _Connection:
    """A kept HTTP connection for requests one after the other, as cheap as can be."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, request: bytes) -> None:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        if not head.startswith(b"http/1.1 200"):
            raise RuntimeError(f"A request was refused: {head!r}{body!r}")
        if b"connection: close" in head:
            self.close()

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _request(path: str, headers: Mapping[str, str], number: int) -> bytes:
    body = json.dumps(
        {
            "recipient": f"r{number}@recipient.example",
            "attribs": {"name": "Ann", "city": "Lisbon", "code": str(number)},
        }
    )
    fields = {"Host": "127.0.0.1", "Content-Type": "application/json"} | dict(headers)
    fields["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n{body}".encode()
