"""A server that does exactly what a test tells it to, byte by byte."""

import socket
import struct
import threading
from dataclasses import dataclass
from typing import Callable, Dict, Iterable, List, Optional

PATIENCE = 30.0  # what must come comes within this time, or the test has failed


@dataclass
class Seen:
    """A request that has arrived."""

    method: str
    target: str
    headers: Dict[str, str]  # names in lower case
    body: bytes


class Connection:
    """A request, and how to answer it."""

    def __init__(self, sock: socket.socket, file: "socket.SocketIO") -> None:
        self.socket = sock
        self.file = file

    def read_request(self) -> Optional[Seen]:
        first = self.file.readline().decode("latin-1").split()
        if len(first) != 3:
            return None
        headers: Dict[str, str] = {}
        while True:
            line = self.file.readline().decode("utf-8").strip()
            if not line:
                break
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = self.file.read(int(headers.get("content-length", "0"))) or b""
        return Seen(first[0], first[1], headers, body)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reset(self) -> None:
        """Breaks the connection, as a machine that restarts does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def wait_gone(self) -> None:
        """Waits for the client to close."""
        try:
            while self.socket.recv(1 << 16):
                pass
        except OSError:
            pass


Script = Callable[[Connection], None]


def reply(
    parts: Iterable[bytes] = (),
    *,
    type: str = "text/event-stream",
    status: str = "200 OK",
    headers: str = "",
    framing: str = "chunked",
    length: Optional[int] = None,
    cut: bool = False,
    reset: bool = False,
    hold: bool = False,
) -> Script:
    """Returns a script that answers with parts, each of which arrives by
    itself if it is a chunk. cut leaves out the end of the body, reset breaks
    the connection, hold keeps it open until the client goes."""

    def script(connection: Connection) -> None:
        whole = list(parts)
        head = f"HTTP/1.1 {status}\r\n{headers}"
        if type:
            head += f"Content-Type: {type}\r\n"
        if framing == "chunked":
            head += "Transfer-Encoding: chunked\r\n"
        elif framing == "length":
            head += f"Content-Length: {sum(map(len, whole)) if length is None else length}\r\n"
        else:
            head += "Connection: close\r\n"
        connection.send(head.encode("utf-8") + b"\r\n")
        for part in whole:
            connection.send(b"%x\r\n%s\r\n" % (len(part), part) if framing == "chunked" else part)
        if hold:
            connection.wait_gone()
        elif reset:
            connection.reset()
        elif framing == "chunked" and not cut:
            connection.send(b"0\r\n\r\n")

    return script


def empty(status: str, headers: str = "", body: bytes = b"", type: str = "text/plain") -> Script:
    """Returns a script for an answer with a length."""
    if status.startswith("204"):
        return lambda connection: connection.send(f"HTTP/1.1 {status}\r\n{headers}\r\n".encode())
    return reply([body], status=status, headers=headers, type=type, framing="length")


def stop(connection: Connection) -> None:
    """The script that ends a reader."""
    connection.send(b"HTTP/1.1 204 No Content\r\n\r\n")


class Server:
    """Answers requests with its scripts, one after another; after the last one
    with 204. A connection is closed after its script, unless keep is set."""

    def __init__(self, *scripts: Script, keep: bool = False, tls: Optional[Callable[[socket.socket], socket.socket]] = None) -> None:
        self.seen: List[Seen] = []
        self._scripts = list(scripts)
        self._keep = keep
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._sockets: List[socket.socket] = []
        # Ended by stop, which joins it.
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        for sock in self._sockets:
            try:
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                pass
        self._thread.join(PATIENCE)
        self._listener.close()
        assert not self._thread.is_alive(), "a script does not end"

    def _run(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._tls:
                    sock = self._tls(sock)
                self._sockets.append(sock)
                with sock.makefile("rb") as file:
                    self._serve(Connection(sock, file))  # type: ignore[arg-type]
            except OSError:
                pass  # the client has gone
            finally:
                sock.close()

    def _serve(self, connection: Connection) -> None:
        while True:
            request = connection.read_request()
            if request is None:
                return
            self.seen.append(request)
            script = self._scripts.pop(0) if self._scripts else stop
            script(connection)
            if not self._keep:
                return
