"""The text/event-stream format, as the WHATWG HTML standard has it.

>>> from leat.sse import Parser
>>> parser = Parser()
>>> for part in (b"id: 7\\nda", b"ta: it works\\r", b"\\n\\n"):
...     for item in parser.feed(part):
...         print(item)
Event(type='message', data='it works', id='7', gap=None, end=None)
"""

import json
import re
from dataclasses import dataclass
from typing import Iterator, List, Optional, Union

from .errors import LeatError
from .words import End, Gap, read_end, read_gap

MAX_BYTES = 16 << 20
"""The size of the largest event, line or element, if nothing else is said."""


@dataclass(frozen=True)
class Event:
    """What a stream of events delivers.

    id is the last event ID: where another subscription can go on after this
    event. It is that of an earlier event if this one had none. From a Leat
    server data is the text or JSON of the record, or base64 if its topic is
    binary. If gap or end is set this is no record, but the word of a Leat
    server that records are gone, or that a topic has ended.
    """

    type: str
    data: str
    id: str
    gap: Optional[Gap] = None
    end: Optional[End] = None


@dataclass(frozen=True)
class Comment:
    """A comment, without its colon. Servers send them as heartbeats."""

    text: str


@dataclass(frozen=True)
class Retry:
    """The seconds that the server wants a client to wait before it reconnects."""

    seconds: float


Item = Union[Event, Comment, Retry]

_BOM = b"\xef\xbb\xbf"
# CR, LF and CRLF end a line, and nothing else: str.splitlines() would cut at
# seven further characters, among them U+2028, NEL and the form feed.
_LINE_END = re.compile(rb"[\r\n]")
_DIGITS = re.compile(r"[0-9]+")


class Parser:
    """Turns the bytes of a stream, cut anywhere, into events.

    last_event_id is the ID in force, which a block without data moves too. It
    is kept over reconnects by being given to the next parser. The data lines of
    an event, and the line that is being read, have together at most max_bytes,
    else feed raises LeatError "too_large"; None is no limit.
    """

    def __init__(self, last_event_id: str = "", max_bytes: Optional[int] = MAX_BYTES) -> None:
        self.last_event_id = last_event_id
        self._max = max_bytes
        self._line: List[bytes] = []  # pieces of the line that has not ended
        self._size = 0  # of these pieces, and of the data lines of the event
        self._start: Optional[bytes] = b""  # the first bytes, until they are known to be a BOM or none
        self._after_cr = False
        self._id = last_event_id
        self._type = ""
        self._data: List[str] = []

    @property
    def pending(self) -> bool:
        """Whether an event has begun that has not been dispatched: if the
        stream ends now that event is lost."""
        return bool(self._data or self._line or self._start)

    def feed(self, chunk: bytes) -> Iterator[Item]:
        """Yields what is complete with these bytes. It has to be exhausted
        before the next call."""
        if self._start is not None:
            chunk = self._start + chunk
            if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
                self._start = chunk
                return
            self._start = None
            if chunk.startswith(_BOM):
                chunk = chunk[len(_BOM) :]
        at = 0
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk.startswith(b"\n"):
                at = 1
        while True:
            end = _LINE_END.search(chunk, at)
            if end is None:
                break
            self._keep(chunk[at : end.start()])
            at = end.end()
            if end.group() == b"\r":
                # The line is complete now; an LF that follows belongs to it.
                if chunk.startswith(b"\n", at):
                    at += 1
                elif at == len(chunk):
                    self._after_cr = True
            line = b"".join(self._line)
            self._line.clear()
            self._size -= len(line)
            item = self._take(line) if line else self._dispatch()
            if item is not None:
                yield item
        self._keep(chunk[at:])

    def _keep(self, piece: bytes) -> None:
        if piece:
            self._line.append(piece)
            self._add(len(piece))

    def _add(self, size: int) -> None:
        self._size += size
        if self._max is not None and self._size > self._max:
            raise LeatError(
                "too_large",
                f"the event after {self.last_event_id!r} is larger than the limit of {self._max} bytes",
                advice="Raise max_bytes.",
            )

    def _take(self, line: bytes) -> Optional[Item]:
        # No character of UTF-8 has CR or LF inside, so that a line can be
        # decoded by itself.
        text = line.decode("utf-8", "replace")
        name, colon, value = text.partition(":")
        if value.startswith(" "):
            value = value[1:]
        if colon and not name:
            return Comment(text[1:])
        if name == "data":
            self._data.append(value)
            self._add(len(line))
        elif name == "event":
            self._type = value
        elif name == "id":
            if "\0" not in value:
                self._id = value
        elif name == "retry" and _DIGITS.fullmatch(value):
            # More digits than these are no time that makes a difference, and
            # int() refuses thousands of them.
            digits = value.lstrip("0") or "0"
            return Retry(int(digits) / 1000 if len(digits) < 16 else float(10**12))
        return None

    def _dispatch(self) -> Optional[Event]:
        self.last_event_id = self._id
        data, type_ = self._data, self._type
        self._data, self._type, self._size = [], "", 0
        if not data:
            return None
        return _event(type_ or "message", "\n".join(data), self.last_event_id)


def _event(type_: str, data: str, id_: str) -> Event:
    """Returns an event, with its gap or end if it is one. What merely has that
    type, on another server, is an event like others."""
    gap, end = None, None
    if type_ in ("leat.gap", "leat.end"):
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            value = None
        if type_ == "leat.gap":
            gap = read_gap(value)
        else:
            end = read_end(value)
    return Event(type_, data, id_, gap, end)
