"""Requests over HTTP/1.1, and bodies whose every cut is noticed."""

import email.utils
import http.client
import json
import re
import socket
import ssl
import threading
import time
from typing import Any, Callable, Dict, Iterator, Mapping, NamedTuple, Optional, Tuple
from urllib.parse import quote, urljoin, urlsplit

from .backoff import MAX_RETRY
from .errors import LeatError

BLOCK = 64 << 10  # the most that is read at once
MAX_PROBLEM = 64 << 10  # how much of an error's body is kept
MAX_REDIRECTS = 10
# What a chunk head, or a line of a trailer, may take.
_MAX_LINE = 8 << 10
_SIZE = re.compile(rb"([0-9a-fA-F]{1,16})[ \t]*(;[^\r\n]*)?\r?\n")
# These are the caller's secrets, and none of another server's business.
_PRIVATE = ("authorization", "cookie", "proxy-authorization")


class _Target(NamedTuple):
    scheme: str
    host: str
    port: int
    path: str  # with the query

    @property
    def origin(self) -> Tuple[str, str, int]:
        return self.scheme, self.host, self.port


def _target(url: str) -> _Target:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as e:
        raise _no_url(url, str(e)) from e
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _no_url(url, "it needs http:// or https:// and a host")
    if parts.username is not None:
        raise LeatError(
            "invalid_parameter",
            "the URL has a user name",
            advice="Send it with headers, as Authorization.",
        )
    path = parts.path or "/"
    if parts.query:
        path += "?" + parts.query
    # What is no ASCII, a space or a control character cannot be sent as it is.
    path = quote(path, safe="/?%:@!$&'()*+,;=~[]|")
    return _Target(parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80), path)


def _no_url(url: str, why: str) -> LeatError:
    return LeatError("invalid_parameter", f"no request can be made for {url!r}: {why}")


def strict(context: ssl.SSLContext) -> ssl.SSLContext:
    """Makes a connection that ends without a farewell an error. Several
    versions of Python have their contexts forgive that."""
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0x80)
    return context


class _Connection(http.client.HTTPConnection):
    """A connection whose socket is known to its wire before anything can wait
    for it, so that another thread can end that."""

    def __init__(self, target: _Target, timeout: Optional[float], context: Optional[ssl.SSLContext],
                 adopt: Callable[[socket.socket], None]) -> None:
        super().__init__(target.host, target.port, timeout=timeout)
        self.default_port = 443 if context else 80
        self._context = context
        self._adopt = adopt
        self._limit = timeout

    def connect(self) -> None:
        last: Optional[OSError] = None
        for family, kind, proto, _, address in socket.getaddrinfo(self.host, self.port, 0, socket.SOCK_STREAM):
            sock = socket.socket(family, kind, proto)
            try:
                sock.settimeout(self._limit)
                self._adopt(sock)
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                if self._context:
                    # A peer that goes without a farewell may have been cut
                    # off by anybody: that is no end of a body (see strict).
                    secure = self._context.wrap_socket(sock, server_hostname=self.host, do_handshake_on_connect=False,
                                                       suppress_ragged_eofs=False)
                    sock = secure
                    self._adopt(sock)
                    secure.do_handshake()
            except ssl.SSLError:
                sock.close()
                raise
            except OSError as e:
                sock.close()
                last = e
                continue
            except BaseException:
                sock.close()
                raise
            self.sock = sock
            return
        raise last or OSError(f"{self.host} has no address")


class Answer:
    """The answer to a request. It belongs to one thread."""

    def __init__(self, wire: "Wire", url: str, response: http.client.HTTPResponse) -> None:
        self.url = url
        self.status = response.status
        self.headers: Dict[str, str] = {name.lower(): value for name, value in response.getheaders()}
        self._wire = wire
        self._response = response
        self._sized = response.chunked or response.length is not None

    @property
    def sized(self) -> bool:
        """Whether the end of the body can be told from a broken connection."""
        return self._sized

    def media_type(self) -> str:
        """The Content-Type without its parameters, in lower case. Parameters
        that are not well formed are forgiven, as browsers do."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def chunks(self) -> Iterator[bytes]:
        """Yields the body as it arrives. LeatError "truncated" if it breaks
        off, "stalled" if nothing arrives for too long."""
        coding = self.headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("identity", ""):
            raise LeatError("unexpected_answer", f"{self.url} is compressed ({coding}), which was not asked for",
                            status=self.status, headers=self.headers)
        try:
            if self._response.chunked:
                yield from self._chunked()
            elif self._response.length is not None:
                yield from self._exactly(self._response.length)
            else:
                while True:
                    data = self._response.fp.read1(BLOCK)
                    if not data:
                        return
                    yield data
        except (OSError, ValueError) as e:
            # ValueError: another thread has closed the file.
            raise self._wire.broken(self.url, e, "truncated") from e

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            data = self._response.fp.read1(min(size, BLOCK))
            if not data:
                raise self._cut()
            size -= len(data)
            yield data

    def _chunked(self) -> Iterator[bytes]:
        # http.client's own reader takes the 0 of a chunk head that was cut for
        # the last chunk, and does not miss the end of the trailer.
        while True:
            head = _SIZE.fullmatch(self._response.fp.readline(_MAX_LINE))
            if head is None:
                raise self._cut()
            size = int(head.group(1), 16)
            if size == 0:
                break
            yield from self._exactly(size)
            if self._response.fp.read(2) != b"\r\n":
                raise self._cut()
        while True:
            line = self._response.fp.readline(_MAX_LINE)
            if line in (b"\r\n", b"\n"):
                return
            if not line.endswith(b"\n"):
                raise self._cut()

    def _cut(self) -> LeatError:
        if self._wire.aborted:
            return _aborted()
        return LeatError("truncated", f"the answer of {self.url} broke off before its end",
                         status=self.status, headers=self.headers, temporary=True)

    def read(self, limit: int) -> bytes:
        """Returns the whole body, or LeatError "too_large"."""
        pieces, size = [], 0
        for data in self.chunks():
            pieces.append(data)
            size += len(data)
            if size > limit:
                raise LeatError("too_large", f"the answer of {self.url} is larger than the limit of {limit} bytes",
                                advice="Raise max_bytes.", status=self.status)
        return b"".join(pieces)

    def problem(self) -> LeatError:
        """Returns what an answer that was not hoped for says."""
        body = b""
        try:
            for data in self.chunks():
                body = (body + data)[:MAX_PROBLEM]
                if len(body) == MAX_PROBLEM:
                    break
        except LeatError:
            pass  # what there is has to do
        members: Dict[str, Any] = {}
        if self.media_type() in ("application/problem+json", "application/json"):
            try:
                value = json.loads(body.decode("utf-8"))
                members = value if isinstance(value, dict) else {}
            except (ValueError, RecursionError):
                pass
        words = {name: str(members.pop(name, "")) for name in ("code", "detail", "advice", "title")}
        status = f"{self.status} {http.client.responses.get(self.status, '')}".strip()
        detail = words["detail"] or words["title"]
        if not detail and self.media_type() == "text/plain":
            detail = (body.decode("utf-8", "replace").strip().partition("\n")[0].strip())[:200]
        temporary = self.status in (408, 429) or self.status >= 500
        code = "unavailable" if temporary else {404: "not_found", 413: "too_large"}.get(self.status, "unexpected_answer")
        return LeatError(
            words["code"] or code,
            f"{self.url} answered {status}" + (f": {detail}" if detail else ""),
            advice=words["advice"],
            status=self.status,
            headers=self.headers,
            body=body,
            fields=members,
            retry_after=retry_after(self.headers.get("retry-after", "")),
            temporary=temporary,
        )

    def close(self) -> None:
        """Ends the connection, whatever is left of the body."""
        self._response.close()
        self._wire.hang_up()

    def done(self) -> None:
        """Keeps the connection for the next request. The body was read whole."""
        self._response.close()


class Wire:
    """Makes requests, one at a time, and can be aborted by any thread.

    timeout is how long nothing may arrive, or be taken, once that is waited
    for; None is for ever. The time that the caller takes does not count.
    """

    def __init__(self, context: Optional[ssl.SSLContext], timeout: Optional[float]) -> None:
        self.timeout = timeout
        self.sent = False  # a byte of the last request may have left
        self.reused = False  # it went over a connection of an earlier request
        self._context = context
        self._connection: Optional[_Connection] = None
        self._origin: Optional[Tuple[str, str, int]] = None
        # Guarded by _lock: what abort needs of the connection.
        self._lock = threading.Lock()
        self._socket: Optional[socket.socket] = None
        self.aborted = False

    def abort(self) -> None:
        """Makes what waits for the network return, now and from now on. Any
        thread may call it."""
        with self._lock:
            self.aborted = True
            if self._socket is not None:
                try:
                    # That of SSLSocket would take the session away from the
                    # thread that reads.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
                except OSError:
                    pass  # not connected any more

    def _adopt(self, sock: socket.socket) -> None:
        with self._lock:
            self._socket = sock
            if self.aborted:
                raise _aborted()

    def hang_up(self) -> None:
        """Closes the connection. The owner's thread calls it."""
        connection, self._connection = self._connection, None
        with self._lock:
            self._socket = None
        if connection is not None:
            connection.close()

    def open(self, method: str, url: str, headers: Mapping[str, str], body: Optional[bytes]) -> Answer:
        """Sends a request, follows where it is redirected, and returns the
        answer, whatever its status."""
        self.sent = self.reused = False
        headers = dict(headers)
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._exchange(method, url, headers, body)
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            location = answer.headers.get("location", "")
            answer.close()
            if not location:
                raise LeatError("unexpected_answer", f"{url} is redirected, and it does not say where to",
                                status=answer.status, headers=answer.headers)
            if _target(url).origin != _target(urljoin(url, location)).origin:
                headers = {name: value for name, value in headers.items() if name.lower() not in _PRIVATE}
            url = urljoin(url, location)
            if (answer.status == 303 and method != "HEAD") or (answer.status in (301, 302) and method == "POST"):
                method, body = "GET", None
                headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
        raise LeatError("unexpected_answer", f"more than {MAX_REDIRECTS} redirects, the last to {url}")

    def _exchange(self, method: str, url: str, headers: Mapping[str, str], body: Optional[bytes]) -> Answer:
        target = _target(url)
        try:
            connection = self._connect(target)
            self.sent = True
            try:
                _send(connection, method, target.path, headers, body)
            except (BrokenPipeError, ConnectionResetError):
                # A server may answer before it has read all, and close.
                if body is None:
                    raise
            return Answer(self, url, connection.getresponse())
        except (OSError, http.client.HTTPException) as e:
            self.hang_up()
            raise self.broken(url, e, "unavailable") from e
        except BaseException:
            self.hang_up()
            raise

    def _connect(self, target: _Target) -> _Connection:
        kept = self._connection
        if kept is not None and kept.sock is not None and self._origin == target.origin:
            self.reused = True
            return kept
        self.hang_up()
        context = self._context
        if target.scheme == "https" and context is None:
            context = self._context = strict(ssl.create_default_context())
        self._connection = _Connection(target, self.timeout, context if target.scheme == "https" else None, self._adopt)
        self._origin = target.origin
        self.reused = False
        self._connection.connect()
        return self._connection

    def broken(self, url: str, error: Exception, code: str) -> LeatError:
        """Returns what an error of the network means. code says so where
        nothing more is known."""
        if self.aborted:
            return _aborted()
        where = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        if isinstance(error, socket.timeout):
            what = "nothing arrived" if self.sent else "no connection came about"
            return LeatError("stalled", f"{where}: {what} for {self.timeout:g} s", temporary=True)
        if isinstance(error, ssl.SSLCertVerificationError):
            return LeatError("unavailable", f"the certificate of {where} is not trusted: {error.verify_message}",
                             advice="Check the address, or give a context that knows its authority.")
        if isinstance(error, ConnectionRefusedError):
            return LeatError("unavailable", f"no server at {where}: connection refused", temporary=True,
                             advice="Start one with `leat serve`, or name the address of one that runs.")
        if code == "truncated":
            return LeatError("truncated", f"the answer of {where} broke off: {error}", temporary=True)
        if isinstance(error, http.client.RemoteDisconnected):
            return LeatError("unavailable", f"{where} closed the connection", temporary=True)
        if isinstance(error, http.client.HTTPException):
            return LeatError("unexpected_answer", f"{where} does not answer as HTTP does: {error!r}", temporary=True)
        return LeatError("unavailable", f"{where} could not be reached: {error}", temporary=True)


def _aborted() -> LeatError:
    return LeatError("closed", "it was closed")


def _send(connection: http.client.HTTPConnection, method: str, path: str, headers: Mapping[str, str],
          body: Optional[bytes]) -> None:
    names = {name.lower() for name in headers}
    try:
        connection.putrequest(method, path, skip_host="host" in names, skip_accept_encoding=True)
        for name, value in headers.items():
            # An id may be any text, on the wire that is UTF-8. putheader
            # writes each character as one byte.
            connection.putheader(name, value.encode("utf-8").decode("latin-1"))
        if "accept-encoding" not in names:
            # Compression would hold back what is small.
            connection.putheader("Accept-Encoding", "identity")
        if body is not None or method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(len(body or b"")))
    except ValueError as e:
        raise LeatError("invalid_parameter", f"a method or header cannot be sent: {e}") from e
    connection.endheaders(body)


def retry_after(value: str) -> float:
    """Reads the header of that name: seconds or a date (RFC 9110, section
    10.2.3). It is 0 if there is none that makes sense."""
    value = value.strip()
    if re.fullmatch(r"[0-9]{1,15}", value):
        return min(float(value), MAX_RETRY)
    try:
        at = email.utils.parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return 0.0
    return min(max(at - time.time(), 0.0), MAX_RETRY)
