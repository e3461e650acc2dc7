"""Put distance before a server: `python -m tests.bench.distance FROM_PORT TO_PORT`.

What the server says arrives late, all of it by the same time, as over a long line: replies that
were sent together arrive together, so whoever asks several questions at once waits once.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

REPLY_DELAY_SECONDS = 0.020
CHUNK_BYTES = 64 * 1024


async def main(from_port: int, to_port: int) -> None:
    """Serve until somebody ends this process."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await asyncio.open_connection("127.0.0.1", to_port)
        await asyncio.gather(_pass_on(reader, questions), _pass_on_late(answers, writer))

    server = await asyncio.start_server(relay, "127.0.0.1", from_port, backlog=256)
    async with server:
        await server.serve_forever()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    writer.close()


async def _pass_on_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(CHUNK_BYTES):
            loop.call_later(REPLY_DELAY_SECONDS, writer.write, chunk)
    loop.call_later(REPLY_DELAY_SECONDS, writer.close)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
