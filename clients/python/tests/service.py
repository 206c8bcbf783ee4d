"""The test service of this client, for a harness of clients of event streams.

    PORT=8000 PYTHONPATH=src python3 tests/service.py

listens at 127.0.0.1:$PORT. Its contract is in conformance/README.md; a client is
started for each POST to /, and what it reads is posted to a callback.
"""

import http.client
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, Optional
from urllib.parse import urlsplit

from leat import Client, Events, LeatError, Notice

CAPABILITIES = [
    "bom", "comments", "event-type-listeners", "headers", "last-event-id", "post", "read-timeout", "report", "restart",
    "server-directed-shutdown-request",
]


class Reader:
    """One client that reads one stream."""

    def __init__(self, wish: Dict[str, Any]) -> None:
        self._wish = wish
        self._callback = wish["callbackUrl"].rstrip("/")
        self._told = 0
        self._wanted = {"message"}
        self._client = Client(
            headers=wish.get("headers") or {},
            stall=(wish.get("readTimeoutMs") or 45_000) / 1000,
            retry=(wish.get("initialDelayMs") or 1) / 1000,
            notify=self._notice,
        )
        self._ended = False
        self._restart = False
        self._stream = self._open(wish.get("lastEventId") or "")
        # Ended by stop, which joins it.
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _open(self, last_event_id: str) -> Events:
        body: Optional[str] = self._wish.get("body")
        headers = {}
        if body is not None and "content-type" not in {name.lower() for name in self._wish.get("headers") or {}}:
            headers["Content-Type"] = "text/plain; charset=utf-8"
        return self._client.events(
            self._wish["streamUrl"], method=self._wish.get("method") or "GET", headers=headers,
            body=None if body is None else body.encode(), repeat=True, last_event_id=last_event_id)

    def listen(self, type: str) -> None:
        self._wanted.add(type)

    def restart(self) -> None:
        self._restart = True
        self._stream.close()

    def stop(self) -> None:
        self._ended = True
        self._stream.close()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                for event in self._stream:
                    if event.type in self._wanted:
                        self._tell({"kind": "event", "event": {"type": event.type, "data": event.data, "id": event.id}})
            except LeatError as e:
                self._failed(e)
            if self._ended or not self._restart:
                return
            self._restart = False
            self._stream = self._open(self._stream.last_event_id)

    def _notice(self, notice: Notice) -> None:
        if notice.kind == "comment":
            self._tell({"kind": "comment", "comment": notice.comment})
        elif notice.kind == "waiting":
            self._failed(notice.error)

    def _failed(self, error: Optional[Exception]) -> None:
        # The documentation of the contract calls the text comment, its harness error.
        self._tell({"kind": "error", "error": str(error), "comment": str(error)})

    def _tell(self, message: Dict[str, Any]) -> None:
        """Sends a callback, and waits for its answer so that the next one comes
        after it."""
        if self._ended:
            return
        self._told += 1
        url = urlsplit(f"{self._callback}/{self._told}")
        connection = http.client.HTTPConnection(url.netloc)
        try:
            connection.request("POST", url.path, json.dumps(message).encode(), {"Content-Type": "application/json"})
            connection.getresponse().read()
        except OSError as e:
            if not self._ended:
                print("service:", e, file=sys.stderr)
        finally:
            connection.close()


class Service(ThreadingHTTPServer):
    daemon_threads = True  # that of DELETE / answers while the server ends

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.lock = threading.Lock()
        self.readers: Dict[str, Reader] = {}  # guarded by lock, as is made
        self.made = 0


class Handler(BaseHTTPRequestHandler):
    server: Service

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, status: int, location: str = "", body: bytes = b"") -> None:
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> Dict[str, Any]:
        try:
            value = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        except ValueError:
            value = None
        return value if isinstance(value, dict) else {}

    def do_GET(self) -> None:
        if self.path == "/":
            self._answer(200, body=json.dumps({"capabilities": CAPABILITIES}).encode())
        else:
            self._answer(404)

    def do_POST(self) -> None:
        wish = self._body()
        if self.path == "/":
            self._start(wish)
            return
        with self.server.lock:
            reader = self.server.readers.get(self.path)
        command = wish.get("command")
        if reader is None:
            self._answer(404)
        elif command == "listen":
            reader.listen(str((wish.get("listen") or {}).get("type")))
            self._answer(202)
        elif command == "restart":
            reader.restart()
            self._answer(202)
        else:
            self._answer(400)

    def _start(self, wish: Dict[str, Any]) -> None:
        if not wish.get("streamUrl") or not wish.get("callbackUrl"):
            self._answer(400)
            return
        with self.server.lock:
            self.server.made += 1
            path = f"/{self.server.made}"
            self.server.readers[path] = Reader(wish)
        self._answer(201, path)

    def do_DELETE(self) -> None:
        if self.path == "/":
            self._answer(204)
            self.server.shutdown()
            return
        with self.server.lock:
            reader = self.server.readers.pop(self.path, None)
        if reader is None:
            self._answer(404)
        else:
            reader.stop()
            self._answer(204)


def main() -> None:
    service = Service(int(os.environ["PORT"]))
    try:
        service.serve_forever()
    finally:
        service.server_close()
        for reader in service.readers.values():
            reader.stop()


if __name__ == "__main__":
    main()
