"""Cuts a body into lines, and a JSON array into its elements, as they arrive.

Both look at each byte once, however the body is cut, and hold no more than
max_bytes of what is not complete.
"""

import json
import re
from typing import Any, Iterator, List, Optional

from .errors import LeatError

_BOM = "\ufeff"


def load(data: bytes) -> Any:
    """Returns the value of a JSON text in UTF-8. ValueError says what is wrong
    with one that is not."""
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


class _Pieces:
    """What has arrived of something that is not complete."""

    def __init__(self, what: str, max_bytes: Optional[int]) -> None:
        self._what = what
        self._max = max_bytes
        self._pieces: List[bytes] = []
        self._size = 0

    def __bool__(self) -> bool:
        return self._size > 0

    def add(self, piece: bytes, number: int) -> None:
        self._size += len(piece)
        if self._max is not None and self._size > self._max:
            raise LeatError(
                "too_large",
                f"{self._what} {number} is larger than the limit of {self._max} bytes",
                advice="Raise max_bytes.",
                fields={"number": number},
            )
        if piece:
            self._pieces.append(piece)

    def take(self) -> bytes:
        whole = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return whole


class LineSplitter:
    """Yields lines without their line ends: LF, with or without a CR before
    it. number is that of the last line, counted from 1, empty ones included."""

    def __init__(self, max_bytes: Optional[int]) -> None:
        self.number = 0
        self._pieces = _Pieces("line", max_bytes)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        at = 0
        while True:
            end = chunk.find(b"\n", at)
            if end < 0:
                break
            self._pieces.add(chunk[at:end], self.number + 1)
            at = end + 1
            yield self._line()
        self._pieces.add(chunk[at:], self.number + 1)

    def rest(self) -> bytes:
        """Returns the last line, if it had no LF, else b""."""
        return self._line() if self._pieces else b""

    def _line(self) -> bytes:
        self.number += 1
        line = self._pieces.take()
        if self.number == 1 and line.startswith(_BOM.encode()):
            line = line[3:]
        return line[:-1] if line.endswith(b"\r") else line


# What matters in each place of an array. Brackets inside strings do not, and
# only a quotation mark or a backslash can end being in one.
_SPACE = b" \t\r\n"
_OUTSIDE = re.compile(rb'[\[\]{}",]')
_INSIDE = re.compile(rb'["\\]')


class ArraySplitter:
    """Yields the JSON text of each element of an array. done says that its
    closing bracket has come; number is that of the last element."""

    def __init__(self, max_bytes: Optional[int]) -> None:
        self.done = False
        self.number = 0
        self._pieces = _Pieces("element", max_bytes)
        self._begun = False  # the opening bracket has come
        self._depth = 0  # of brackets inside the element
        self._string = False
        self._escape = False  # the next byte belongs to a backslash

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        at = 0
        if not self._begun:
            chunk = self._pieces.take() + chunk
            text = chunk.lstrip(_SPACE)
            if len(text) < 3 and _BOM.encode().startswith(text):
                self._pieces.add(text, 1)
                return
            if text.startswith(_BOM.encode()):
                text = text[3:].lstrip(_SPACE)
            if text and not text.startswith(b"["):
                raise LeatError("invalid_body", "the body is no JSON array: it does not begin with [")
            if not text:
                return
            self._begun, chunk, at = True, text, 1
        yield from self._elements(chunk, at)

    def _elements(self, chunk: bytes, at: int) -> Iterator[bytes]:
        start = at  # of what is not yet among the pieces
        while at < len(chunk):
            if self.done:
                if chunk[at:].strip(_SPACE):
                    raise LeatError("invalid_body", "something follows the end of the JSON array")
                return
            if self._escape:
                self._escape = False
                at += 1
                continue
            found = (_INSIDE if self._string else _OUTSIDE).search(chunk, at)
            if found is None:
                break
            at, byte = found.end(), found.group()
            if self._string:
                self._escape = byte == b"\\"
                self._string = byte != b'"'
            elif byte == b'"':
                self._string = True
            elif byte in b"[{":
                self._depth += 1
            elif self._depth and byte in b"]}":
                self._depth -= 1
            elif not self._depth:
                # A comma, or the bracket of the array itself.
                self._hold(chunk[start : at - 1])
                start = at
                element = self._pieces.take().strip(_SPACE)
                self.done = byte == b"]"
                if byte == b"}" or not element and not (self.done and self.number == 0):
                    raise LeatError("invalid_body", f"element {self.number + 1} of the JSON array is missing")
                if element:
                    self.number += 1
                    yield element
        if not self.done:
            self._hold(chunk[start:])

    def _hold(self, piece: bytes) -> None:
        # White space in front keeps the connection alive and is none of the
        # element.
        self._pieces.add(piece if self._pieces else piece.lstrip(_SPACE), self.number + 1)
