"""The readers: events, records, polls, lines, elements, downloads."""

import base64
import binascii
import re
import time
from dataclasses import dataclass
from typing import Any, Dict, Generator, Optional, Tuple

from .errors import LeatError
from .split import ArraySplitter, LineSplitter, load
from .sse import Comment, Event, Parser, Retry
from .stream import Options, Request, Stream, T
from .wire import Answer
from .words import Notice, Record, read_end, read_gap, text

_ENDED = "the server ended the stream"


class Events(Stream[Event]):
    """The events of a stream of text/event-stream, from any server.

    When the connection ends, fails or goes silent, it is made again with the
    last event ID. 204 ends the iteration. So does the end of the body, if the
    request is not to be repeated; then an event that is cut off is an error.
    """

    _accept = "text/event-stream"
    _types = ("text/event-stream",)

    def _read(self, answer: Answer) -> Generator[Event, None, None]:
        parser = Parser(self.last_event_id, self._options.max_bytes)
        for chunk in answer.chunks():
            for item in parser.feed(chunk):
                if isinstance(item, Comment):
                    self._notify(Notice("comment", self.last_event_id, comment=item.text))
                elif isinstance(item, Retry):
                    self._set_retry(item.seconds)
                elif item.type == "leat.cursor" and not item.data:
                    self._move(item.id)
                else:
                    self.last_event_id = item.id
                    self._useful = True
                    self._at_once = item.end is not None
                    yield item
            # A block without data moves the position too.
            self._move(parser.last_event_id)
        if parser.pending:
            raise LeatError("truncated", f"{answer.url} ended inside an event", status=answer.status, temporary=True)

    def _ended(self) -> Optional[LeatError]:
        # At once after an end: the answer is 204, or more of other topics.
        return LeatError("unavailable", _ENDED, temporary=True) if self._may_repeat() else None


class Records(Stream[Record]):
    """The records of topics of a Leat server, as lines. It goes on after the
    last one like Events."""

    _accept = "application/x-ndjson"
    _types: Tuple[str, ...] = ("application/x-ndjson", "application/ndjson", "application/jsonl")

    def _read(self, answer: Answer) -> Generator[Record, None, None]:
        lines = LineSplitter(self._options.max_bytes)
        for chunk in answer.chunks():
            for line in lines.feed(chunk):
                if line:
                    yield from self._take(_object(line, answer))
        # A line that was cut off comes again whole.

    def _take(self, members: Dict[str, Any]) -> Generator[Record, None, None]:
        wait = members.get("retry")
        if isinstance(wait, (int, float)):
            self._set_retry(wait / 1000)
        position = text(members, "id")
        record = _record(members)
        if record is None:
            if position:
                self._move(position)
            return
        self.last_event_id = position
        self._useful = True
        self._at_once = record.end is not None
        yield record

    def _ended(self) -> Optional[LeatError]:
        return LeatError("unavailable", _ENDED, temporary=True)


class Poll(Records):
    """The records of topics of a Leat server by long polling: one answer after
    another, for networks that let no stream through."""

    _accept = "application/json"
    _types = ("application/json",)

    def _read(self, answer: Answer) -> Generator[Record, None, None]:
        whole = _object(answer.read(self._limit()), answer)
        events = whole.get("events")
        if not isinstance(events, list) or not text(whole, "next"):
            raise _no_leat(answer)
        for members in events:
            yield from self._take(members if isinstance(members, dict) else {})
        self._move(text(whole, "next"))
        # An answer with nothing in it that comes at once is that of a server
        # that stops: it is left alone for a while.
        self._at_once = bool(events) or time.monotonic() - self._asked >= 1

    def _limit(self) -> int:
        return self._options.max_bytes if self._options.max_bytes is not None else 1 << 62


def _object(data: bytes, answer: Answer) -> Dict[str, Any]:
    try:
        value = load(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise _no_leat(answer)
    return value


def _no_leat(answer: Answer) -> LeatError:
    return LeatError("unexpected_answer", f"{answer.url} does not answer as a Leat server does",
                     advice="Read it with lines() or elements().", status=answer.status, headers=answer.headers)


def _record(members: Dict[str, Any]) -> Optional[Record]:
    """Returns the record of an envelope, None if it only moves the position."""
    gap, end = read_gap(members.get("gap")), read_end(members.get("end"))
    topic, id_ = text(members, "topic"), text(members, "id")
    if gap or end:
        return Record(id_, end.topic if end else "", gap=gap, end=end)
    if not topic:
        return None
    data = members.get("data")
    if members.get("encoding") == "base64" and isinstance(data, str):
        try:
            data = base64.b64decode(data, validate=True)
        except binascii.Error as e:
            raise LeatError("invalid_body", f"the data of record {id_} is no base64: {e}") from e
    return Record(id_, topic, text(members, "type"), text(members, "key"), text(members, "time"), data)


@dataclass(frozen=True)
class Line:
    """A line of JSON. error is set if it is none; text is what it was."""

    number: int
    value: Any = None
    error: Optional[LeatError] = None
    text: bytes = b""


class _Finite(Stream[T]):
    """A body that another server has, and that cannot be asked for in part:
    once something of it was delivered, it is not asked for again."""

    def _can_resume(self) -> bool:
        return not self._useful


class Lines(_Finite[Line]):
    """The values of JSON lines, from any server. A line that is no JSON has an
    error, and the next one comes all the same. Empty lines are passed over. A
    body that breaks off is LeatError "truncated"."""

    _accept = "application/x-ndjson, application/jsonl, application/json;q=0.5"

    def _read(self, answer: Answer) -> Generator[Line, None, None]:
        lines = LineSplitter(self._options.max_bytes)
        for chunk in answer.chunks():
            for line in lines.feed(chunk):
                yield from self._line(lines.number, line)
        rest = lines.rest()
        if rest and not answer.sized:
            # Nothing tells whether this is the end or a broken connection.
            raise LeatError("truncated", f"{answer.url} ended inside line {lines.number}",
                            status=answer.status, temporary=True)
        yield from self._line(lines.number, rest)

    def _line(self, number: int, line: bytes) -> Generator[Line, None, None]:
        if not line.strip():
            return
        self._useful = True
        try:
            yield Line(number, load(line), text=line)
        except ValueError as e:
            yield Line(number, None, LeatError("invalid_body", f"line {number} is no JSON: {e}"), line)


class Elements(_Finite[Any]):
    """The elements of a JSON array, as they arrive, from any server. A body
    without the closing bracket is LeatError "truncated"."""

    _accept = "application/json"

    def _read(self, answer: Answer) -> Generator[Any, None, None]:
        array = ArraySplitter(self._options.max_bytes)
        for chunk in answer.chunks():
            for element in array.feed(chunk):
                self._useful = True
                try:
                    value = load(element)
                except ValueError as e:
                    raise LeatError("invalid_body", f"element {array.number} is no JSON: {e}",
                                    fields={"number": array.number}) from e
                yield value
        if not array.done:
            raise LeatError("truncated", f"{answer.url} ended inside its JSON array, after element {array.number}",
                            status=answer.status, temporary=True)


_RANGE = re.compile(r"bytes (?:([0-9]+)-([0-9]+)|\*)/([0-9]+|\*)")


class Download(Stream[bytes]):
    """The bytes of a resource, as they arrive, from any server.

    offset is the position of the next byte, total the length if the server says
    so, and etag names the content. When the connection breaks, the rest is
    asked for by a range, if the server gave a strong ETag; if what is there by
    then is another content, that is LeatError "changed". Keep offset and etag
    with a part of a file, to go on with it in another process.
    """

    def __init__(self, request: Request, options: Options, offset: int = 0, etag: str = "") -> None:
        super().__init__(request, options)
        self.offset = offset
        self.etag = etag
        self.total: Optional[int] = None
        self._first = True  # nothing has been received yet
        self._whole = False  # the server has said that there is no more
        self._broke_off = ""  # how the stream ended, if it is not complete

    def _position(self) -> Dict[str, str]:
        if not self.offset:
            return {}
        position = {"Range": f"bytes={self.offset}-"}
        if self.etag:
            position["If-Range"] = self.etag
        return position

    def _can_resume(self) -> bool:
        return self._first or bool(self.etag) or not self.offset

    def _check(self, answer: Answer) -> bool:
        found = _RANGE.fullmatch(answer.headers.get("content-range", "").strip())
        end = answer.headers.get("leat-end", "")
        if end:
            self._broke_off = end
        if answer.status == 416 and found and found.group(3) == str(self.offset) and self.offset:
            return False  # there is no more than what is here
        if answer.status == 416:
            raise self._changed(answer)
        if answer.status == 206:
            if not found or found.group(1) != str(self.offset):
                raise LeatError("unexpected_answer", f"{answer.url} sends another range than was asked for",
                                status=206, headers=answer.headers)
            self.total = None if found.group(3) == "*" else int(found.group(3))
        elif super()._check(answer):
            if self.offset and not self.etag:
                raise LeatError("unexpected_answer", f"{answer.url} sends no parts", advice="Begin again.",
                                status=200, headers=answer.headers)
            if self.offset and _strong(answer) != self.etag:
                raise self._changed(answer)
            length = answer.headers.get("content-length", "")
            self.total = int(length) if length.isdigit() else None
        else:
            return False
        # A stream of Leat has another tag for each length, and takes all of them.
        self.etag = _strong(answer) or (self.etag if answer.status == 206 else "")
        return True

    def _changed(self, answer: Answer) -> LeatError:
        return LeatError("changed", f"{answer.url} has no longer the content of which {self.offset} bytes are here",
                         advice="Begin again.", status=answer.status, headers=answer.headers)

    def _read(self, answer: Answer) -> Generator[bytes, None, None]:
        # A server without ranges sends the same content from its start.
        skip = self.offset if answer.status == 200 else 0
        try:
            for data in answer.chunks():
                if skip >= len(data):
                    skip -= len(data)
                    continue
                data, skip = data[skip:], 0
                self.offset += len(data)
                self._useful, self._first = True, False
                yield data
        except LeatError as e:
            if self._broke_off and not self._useful:
                # It is always cut here: there is no more to come.
                raise LeatError("truncated", f"{answer.url} ended without being complete: {self._broke_off}",
                                status=answer.status, headers=answer.headers) from e
            raise


def _strong(answer: Answer) -> str:
    """The ETag, if it names the bytes."""
    etag = answer.headers.get("etag", "")
    return etag if etag.startswith('"') else ""
