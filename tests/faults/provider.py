"""Stand for a provider's HTTP API that fails as providers do (Postmark's form)."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# Before the message was taken, then after it.
REFUSALS = {"esp-429": 429, "esp-503": 503}
AMBIGUOUS = ("esp-500", "esp-drop", "esp-stall")
MISHAPS = (*REFUSALS, *AMBIGUOUS)
STALL_SECONDS = 3


class Provider:
    """An HTTP server that writes down what it takes, then answers, or not."""

    def __init__(self, *, record: Path) -> None:
        self._record = record
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = provider.take(json.loads(body))
                if answer is None:
                    self.close_connection = True
                    return
                status, content = answer
                octets = json.dumps(content).encode()
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", "1")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(octets)))
                self.end_headers()
                self.wfile.write(octets)

            def log_message(self, *words: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def take(self, message: dict[str, Any]) -> tuple[int, Any] | None:
        """Return the status and body of the answer; None: hang up."""
        recipient = message["To"].rpartition("<")[2].rstrip(">")
        name = recipient.partition(".")[0]
        with self._lock:
            mishap = name if name in MISHAPS and recipient not in self._seen else ""
            self._seen.add(recipient)
        if mishap in REFUSALS:
            return REFUSALS[mishap], {"ErrorCode": 0, "Message": "not now"}
        headers = {field["Name"].lower(): field["Value"] for field in message.get("Headers", ())}
        self._write(headers.get("message-id", ""), recipient)
        if mishap == "esp-500":
            return 500, {"ErrorCode": 0, "Message": "oops"}
        if mishap == "esp-stall":
            time.sleep(STALL_SECONDS)
        if mishap:
            return None
        return 200, {
            "ErrorCode": 0,
            "Message": "OK",
            "MessageID": f"pm-{recipient}",
            "To": recipient,
        }

    def forget(self) -> None:
        """Begin anew."""
        with self._lock:
            self._seen.clear()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _write(self, message_id: str, recipient: str) -> None:
        with self._lock, self._record.open("a") as record:
            record.write(f"{message_id}\t{recipient}\t{time.time()}\n")
