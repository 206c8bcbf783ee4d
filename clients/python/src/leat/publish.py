"""Publishing that can be repeated: no record is stored twice."""

import base64
import json
import secrets
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple
from urllib.parse import quote

from .backoff import delay
from .errors import LeatError
from .stream import Options, merge
from .wire import MAX_PROBLEM, Answer, Wire
from .words import Notice, text

BATCH_RECORDS = 1000
BATCH_BYTES = 256 << 10  # a server that answers early reads about this much more of a body


@dataclass(frozen=True)
class Message:
    """A record that has no offset and no time yet.

    data of type str is for topics of text, and is a JSON string in one of JSON;
    bytes are for binary topics; anything else is for topics of JSON. The first
    message makes a topic. key names the message: a server stores it once, even
    if it is published again within its --key-window (5 minutes by default).
    Empty means one that is made up for the attempts of one call.
    """

    topic: str
    data: Any
    type: str = ""
    key: str = ""


@dataclass(frozen=True)
class Receipt:
    """The server's word for records that it has stored: how many, how many of
    these it had already, and the id of the last one."""

    count: int = 0
    duplicates: int = 0
    last: str = ""

    def __add__(self, other: "Receipt") -> "Receipt":
        return Receipt(self.count + other.count, self.duplicates + other.duplicates, other.last or self.last)


class _Sender:
    """Sends requests, over one connection, until they are answered.

    Its methods may be called by several threads; one request is under way at a
    time. timeout is how long a call may take, None is for ever.
    """

    def __init__(self, url: str, options: Options, timeout: Optional[float]) -> None:
        self._url = url
        self._options = options
        self._timeout = timeout
        self._wire = Wire(options.context, options.stall)
        self._closed = threading.Event()
        self._lock = threading.Lock()  # held by who uses the wire

    def close(self) -> None:
        """Ends the connection. Any thread may call it; a call that is under
        way fails."""
        self._closed.set()
        self._wire.abort()
        with self._lock:
            self._wire.hang_up()

    def _send(self, method: str, url: str, headers: Dict[str, str], body: bytes) -> Tuple[Answer, bytes]:
        """Makes one request and returns the answer with its body; LeatError if
        it is none of 2xx."""
        headers = merge({"Accept": "application/json"}, self._options.headers, headers)
        for _ in range(2):
            answer: Optional[Answer] = None
            try:
                answer = self._wire.open(method, url, headers, body)
                if answer.status // 100 != 2:
                    raise answer.problem()
                data = answer.read(MAX_PROBLEM)
                answer.done()
                return answer, data
            except BaseException as e:
                if answer is not None:
                    answer.close()
                # A connection that was kept may be stale, which says nothing
                # about the server.
                if not (isinstance(e, LeatError) and e.code == "unavailable" and not e.status and self._wire.reused):
                    raise
        raise AssertionError("the second attempt has a connection of its own")

    def _persist(self, attempt: Callable[[], None]) -> None:
        """Calls attempt, which makes a request, until it raises no LeatError
        that is temporary. _progress sets the back-off back."""
        until = None if self._timeout is None else time.monotonic() + self._timeout
        self._failures = 0
        while not self._closed.is_set():
            limits = [self._options.stall, None if until is None else max(until - time.monotonic(), 0.001)]
            self._wire.timeout = min((limit for limit in limits if limit is not None), default=None)
            try:
                attempt()
                return
            except LeatError as e:
                error = e
            if not error.temporary:
                raise error
            wait = delay(self._failures, error.retry_after, 2 * self._options.retry, 10.0)
            self._failures += 1
            if self._options.attempts is not None and self._failures >= self._options.attempts:
                raise error
            if until is not None and time.monotonic() + wait > until:
                raise error
            if self._options.notify is not None:
                self._options.notify(Notice("waiting", "", error, self._failures, wait))
            self._closed.wait(wait)
        raise LeatError("closed", "the publisher is closed")

    def _progress(self) -> None:
        self._failures = 0


class Publisher(_Sender):
    """Publishes to topics over one connection. Made by Client.publisher; it is
    to be closed, best by `with`.

    If the server cannot be reached, gives no answer, or cannot take records
    now, the rest is sent again until timeout is over. Keys keep that from
    storing a message twice, unless the server comes back only after its
    --key-window.
    """

    def __enter__(self) -> "Publisher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def publish(self, topic: str, data: Any, *, type: str = "", key: str = "") -> Receipt:
        """Stores one record, and returns when it has reached the durability
        class of the server."""
        return self.publish_all([Message(topic, data, type, key)])

    def publish_all(self, messages: Iterable[Message]) -> Receipt:
        """Stores messages in order and in batches. It is not atomic: in an
        error, fields["stored"] is the Receipt of those that are known to be
        stored, and fields["line"] the number of a message that was refused,
        counted from 1. What is given by a generator is sent when a batch is
        full."""
        stored = Receipt()
        keys = secrets.token_hex(12)
        batch: List[bytes] = []
        size = number = 0
        with self._lock:
            try:
                for message in messages:
                    number += 1
                    try:
                        line = _line(message, f"{keys}-{number}")
                    except LeatError as e:
                        # Those before it are stored, as they are when the
                        # server refuses one.
                        stored = self._deliver(batch, stored)
                        raise _at_record(e, number)
                    batch.append(line)
                    size += len(line)
                    if len(batch) >= BATCH_RECORDS or size >= BATCH_BYTES:
                        stored = self._deliver(batch, stored)
                        size = 0
                return self._deliver(batch, stored)
            except LeatError as e:
                e.fields.setdefault("stored", stored)
                raise

    def _deliver(self, batch: List[bytes], stored: Receipt) -> Receipt:
        """Sends the batch until it is stored, and empties it."""

        def attempt() -> None:
            nonlocal stored
            try:
                part = self._attempt(batch)
            except LeatError as e:
                # Lines are not atomic: those before the one that was wrong
                # may be stored.
                part = _receipt(e.fields)
                stored += part
                line = e.fields.get("line")
                if isinstance(line, int) and not e.temporary:
                    e = _at_record(e, stored.count - part.count + line)
                e.fields["stored"] = stored
                del batch[: part.count]
                if part.count:
                    self._progress()
                raise e
            stored += part
            batch.clear()

        if batch:
            self._persist(attempt)
        return stored

    def _attempt(self, batch: List[bytes]) -> Receipt:
        headers = {"Content-Type": "application/x-ndjson"}
        try:
            _, data = self._send("POST", self._url, headers, b"".join(batch))
        except LeatError as e:
            # Others were faster again and again; the records are fine.
            e.temporary = e.temporary if e.status != 409 else e.code == "conflict"
            raise
        try:
            members = json.loads(data)
        except ValueError:
            members = None
        receipt = _receipt(members if isinstance(members, dict) else {})
        if receipt.count != len(batch):
            raise LeatError(
                "unexpected_answer",
                f"the answer of {self._url} does not say that {len(batch)} records were stored",
                advice="Check that a Leat server is there.",
            )
        return receipt


class Producer(_Sender):
    """Appends to one stream, each record exactly once, for as long as the
    server remembers the producer (7 days of silence by default). Made by
    Client.producer; it is to be closed, best by `with`.

    Every request has a number, so that one whose answer was lost is sent again
    and not stored again. A producer of the same id with a greater epoch, such as
    the next run of a program, takes the place of this one, whose next append
    fails with code "stale_epoch".

    After an error that is temporary it is not known whether the data was stored:
    append the same data again, which stores it once. Before that anything else
    is refused with code "in_doubt".
    """

    def __init__(self, url: str, options: Options, timeout: Optional[float], content_type: str, id: str,
                 epoch: int) -> None:
        super().__init__(url, options, timeout)
        self.id = id
        self.epoch = epoch
        self.sequence = 0
        """The number of the next request."""
        self._type = content_type
        self._doubt: Optional[Tuple[Dict[str, str], bytes]] = None  # a request without an answer

    def __enter__(self) -> "Producer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, data: Any) -> str:
        """Stores one record, and returns where the stream then ends, once it
        has reached the durability class of the server. data is str or bytes, or
        for a stream of JSON the value."""
        return self._append([data])

    def append_all(self, values: Iterable[Any]) -> str:
        """Stores values in a stream of JSON, all or none, and returns where the
        stream then ends."""
        if not self._json():
            raise LeatError("invalid_parameter", f"several records at once need a stream of JSON, not {self._type}",
                            advice="Append them one by one.")
        return self._append(list(values))

    def end(self, state: str = "complete", reason: str = "") -> None:
        """Ends the stream: "complete", or "aborted" or "error" with a reason."""
        headers = {"Stream-Closed": "true"}
        if state != "complete":
            headers["Leat-End"] = state + (f"; reason={_string(reason)}" if reason else "")
        self._request(headers, b"")

    def _append(self, values: List[Any]) -> str:
        if self._json():
            body = _json(values)
        elif isinstance(values[0], (bytes, bytearray)):
            body = bytes(values[0])
        elif isinstance(values[0], str):
            body = _utf8(values[0])
        else:
            raise LeatError("invalid_body", f"{type(values[0]).__name__} is no data for a stream of {self._type}",
                            advice="Give str or bytes.")
        return self._request({"Content-Type": self._type}, body)

    def _json(self) -> bool:
        essence = self._type.partition(";")[0].strip().lower()
        return essence == "application/json" or essence.endswith("+json")

    def _request(self, headers: Dict[str, str], body: bytes) -> str:
        offset = ""

        def attempt() -> None:
            nonlocal offset
            answer, _ = self._send("POST", self._url, numbered, body)
            if "producer-seq" not in answer.headers:
                raise LeatError("unexpected_answer", f"{self._url} knows no producers",
                                advice="Check that a Leat server is there.", status=answer.status)
            offset = answer.headers.get("stream-next-offset", "")

        with self._lock:
            if self._doubt not in (None, (headers, body)):
                raise LeatError("in_doubt", "it is not known whether the data before was stored",
                                advice="Append that again first.")
            numbered = dict(headers)
            numbered["Producer-Id"] = self.id
            numbered["Producer-Epoch"] = str(self.epoch)
            numbered["Producer-Seq"] = str(self.sequence)
            known = self._doubt is None
            self._doubt = (headers, body)
            try:
                self._persist(attempt)
            except LeatError as e:
                # A first answer that refuses is an answer.
                if known and e.status and not e.temporary and self._failures == 0:
                    self._doubt = None
                raise
            self._doubt = None
            self.sequence += 1
        return offset


def path_of(stream: str) -> str:
    """The path of a stream: its name, percent-encoded."""
    return "/streams/" + quote(stream, safe="/", errors="strict")


def _utf8(value: str) -> bytes:
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError as e:
        raise LeatError("invalid_body", f"the text cannot be written as UTF-8: {e}") from e


def _json(value: Any) -> bytes:
    try:
        return _utf8(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))
    except (TypeError, ValueError, RecursionError) as e:
        raise LeatError("invalid_body", f"the value cannot be written as JSON: {e}") from e


def _line(message: Message, key: str) -> bytes:
    envelope: Dict[str, Any] = {"topic": message.topic, "key": message.key or key}
    if message.type:
        envelope["type"] = message.type
    if isinstance(message.data, (bytes, bytearray)):
        envelope["data"] = base64.b64encode(message.data).decode("ascii")
        envelope["encoding"] = "base64"
    else:
        envelope["data"] = message.data
    return _json(envelope) + b"\n"


def _receipt(members: Dict[str, Any]) -> Receipt:
    def number(name: str) -> int:
        value = members.get(name)
        return value if isinstance(value, int) and value > 0 else 0

    return Receipt(number("count"), number("duplicates"), text(members, "last"))


def _at_record(e: LeatError, number: int) -> LeatError:
    e.detail = f"record {number}: {e.detail}"
    e.fields["line"] = number
    return e


def _string(reason: str) -> str:
    """Writes a reason as a string of RFC 9651, or a display string if it is no
    printable ASCII."""
    if all(" " <= c <= "~" for c in reason):
        return '"' + reason.replace("\\", "\\\\").replace('"', '\\"') + '"'
    escaped = "".join(
        chr(b) if 0x20 <= b <= 0x7E and chr(b) not in '%"' else f"%{b:02x}" for b in _utf8(reason)
    )
    return f'%"{escaped}"'
