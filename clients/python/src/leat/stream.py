"""What all readers share: a connection that is made again when it ends."""

import re
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Generator, Generic, Mapping, Optional, Tuple, TypeVar, Union

from .backoff import clamp, delay
from .errors import LeatError
from .sse import MAX_BYTES
from .wire import Answer, Wire
from .words import Notice

T = TypeVar("T")
S = TypeVar("S", bound="Stream[Any]")

Headers = Union[Mapping[str, str], Callable[[], Mapping[str, str]]]
"""Headers, or what returns them: it is called for each attempt, for a token
that has to be fresh."""

STABLE = 10.0
"""Seconds that a connection has to last before failures after it are counted
from the start."""

_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f]")

# What may be repeated without doing anything twice.
_SAFE = ("GET", "HEAD", "OPTIONS", "QUERY")


@dataclass(frozen=True)
class Options:
    """How readers connect: see Client, which has them as arguments."""

    headers: Optional[Headers] = None
    context: Optional[ssl.SSLContext] = None
    stall: Optional[float] = 45.0
    retry: float = 1.0
    attempts: Optional[int] = None
    max_bytes: Optional[int] = MAX_BYTES
    notify: Optional[Callable[[Notice], None]] = None


@dataclass(frozen=True)
class Request:
    """What is asked for. repeat says whether the request is made again when
    the connection ends; None means that it is with a method that changes
    nothing, such as GET, and not with POST."""

    url: str
    method: str = "GET"
    headers: Optional[Headers] = None
    body: Optional[bytes] = None
    repeat: Optional[bool] = None


class Stream(Generic[T]):
    """An iterator over what a server sends, that can be closed.

    It is for one thread, but any thread may call close: who waits for the next
    item then gets the end of the iteration. Leaving a loop by break does not
    close it: use it with `with`, or call close.

    last_event_id is the position that it goes on from when it connects again.
    """

    # What a reader accepts, and which content types it takes; () is any.
    _accept = "*/*"
    _types: Tuple[str, ...] = ()

    def __init__(self, request: Request, options: Options, last_event_id: str = "") -> None:
        self.last_event_id = last_event_id
        self._request = request
        self._options = options
        self._wire = Wire(options.context, options.stall)
        self._retry = 0.0  # what the server asked for, 0 if nothing
        self._asked = 0.0  # when the last attempt began
        self._began = 0.0  # when the server accepted it, 0 if it did not
        self._useful = False  # this connection has done its work
        self._at_once = False  # the next attempt needs no delay
        self._closed = threading.Event()
        self._busy = threading.Lock()  # held by who runs _items
        self._items = self._run()

    def __iter__(self: S) -> S:
        return self

    def __next__(self) -> T:
        try:
            with self._busy:
                if self._closed.is_set():
                    raise StopIteration
                return next(self._items)
        finally:
            if self._closed.is_set():
                self._let_go()

    def __enter__(self: S) -> S:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the iteration and the connection. Any thread may call it."""
        self._closed.set()
        self._wire.abort()
        self._let_go()

    def _let_go(self) -> None:
        """Closes what the iteration holds, unless another thread is in it:
        that one does so when it comes out."""
        if self._busy.acquire(blocking=False):
            try:
                self._items.close()
            finally:
                self._busy.release()

    # What kinds of readers differ in.

    def _position(self) -> Dict[str, str]:
        """Returns the headers that say where to go on."""
        if not self.last_event_id:
            return {}
        # A server may use nearly any text as an id; HTTP takes no controls.
        if _CONTROL.search(self.last_event_id):
            raise LeatError(
                "invalid_offset",
                f"the last event ID {self.last_event_id!r} has a control character, so that it cannot be sent",
                advice="The server should use other ids; until then begin again without one.",
            )
        return {"Last-Event-ID": self.last_event_id}

    def _read(self, answer: Answer) -> Generator[T, None, None]:
        """Yields what an answer has, until it ends. It sets _useful when
        something has arrived that need not come again."""
        raise NotImplementedError

    def _ended(self) -> Optional[LeatError]:
        """Returns why to connect again after a body that ended as it should,
        None if that was all."""
        return None

    def _can_resume(self) -> bool:
        """Whether another connection would go on where this one stopped."""
        return True

    def _check(self, answer: Answer) -> bool:
        """Whether there is something to read. LeatError if the answer is not
        the one hoped for."""
        if answer.status == 204:
            return False
        if answer.status != 200:
            raise answer.problem()
        if self._types and answer.media_type() not in self._types:
            got = answer.headers.get("content-type", "")
            raise LeatError(
                "unexpected_answer",
                f"{answer.url} has the content type {got!r}, not {self._types[0]}",
                advice="Check the address.",
                status=answer.status,
                headers=answer.headers,
            )
        return True

    # What they share.

    def _run(self) -> Generator[T, None, None]:
        failures = 0  # attempts in a row that came to nothing
        step = 0  # of the back-off
        while True:
            error = yield from self._attempt()
            if error is None or self._closed.is_set():
                return
            if not error.temporary or not self._repeatable():
                raise error
            if self._useful or (self._began and time.monotonic() - self._began >= STABLE):
                failures = step = 0
            else:
                failures += 1
            if self._options.attempts is not None and failures >= self._options.attempts:
                raise error
            if self._at_once:
                continue
            wait = self._delay(step, error.retry_after)
            step += 1
            self._notify(Notice("waiting", self.last_event_id, error, step, wait))
            if self._closed.wait(wait):
                return

    def _attempt(self) -> Generator[T, None, Optional[LeatError]]:
        """Makes one connection, yields what arrives on it, and returns why
        another one is wanted, None if not."""
        quiet = self._at_once  # it is the same connection to who looks on
        self._asked, self._began = time.monotonic(), 0.0
        self._useful = self._at_once = False
        headers = self._headers()
        answer: Optional[Answer] = None
        try:
            answer = self._wire.open(self._request.method, self._request.url, headers, self._request.body)
            if not self._check(answer):
                return None
            self._began = time.monotonic()
            if not quiet:
                self._notify(Notice("connected", self.last_event_id))
            yield from self._read(answer)
            return self._ended()
        except LeatError as e:
            return e
        finally:
            if answer is not None:
                answer.close()

    def _repeatable(self) -> bool:
        if not self._can_resume():
            return False
        # What never left has done nothing yet.
        return self._may_repeat() or not self._wire.sent

    def _may_repeat(self) -> bool:
        wish = self._request.repeat
        return wish if wish is not None else self._request.method in _SAFE

    def _headers(self) -> Dict[str, str]:
        """Returns the headers of the next attempt. The user's win over what a
        reader would like, and not over where it goes on."""
        return merge(
            {"Accept": self._accept, "Cache-Control": "no-cache"},
            self._options.headers,
            self._request.headers,
            self._position(),
        )

    def _delay(self, failures: int, after: float) -> float:
        """The time until the next attempt. A server that names a delay is
        never disturbed sooner; one that names none gets the attempts spread."""
        return delay(failures, max(self._retry, after), 2 * (self._retry or self._options.retry))

    def _set_retry(self, seconds: float) -> None:
        self._retry = clamp(seconds)
        self._notify(Notice("retry", self.last_event_id, delay=self._retry))

    def _move(self, position: str) -> None:
        """Takes over a position that came without an item."""
        if position != self.last_event_id:
            self.last_event_id = position
            self._notify(Notice("moved", position))

    def _notify(self, notice: Notice) -> None:
        if self._options.notify is not None:
            self._options.notify(notice)


def merge(*parts: Optional[Headers]) -> Dict[str, str]:
    """Returns the headers of all parts; of one name that of the last."""
    merged: Dict[str, Tuple[str, str]] = {}
    for part in parts:
        for name, value in (part() if callable(part) else part or {}).items():
            merged[name.lower()] = (name, value)
    return dict(merged.values())


