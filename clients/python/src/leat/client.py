"""A server, seen from a program that uses it."""

import dataclasses
import secrets
import ssl
import time
from typing import Any, Callable, Iterable, List, Optional, Tuple
from urllib.parse import urlencode, urlsplit

from .errors import LeatError
from .publish import Message, Producer, Publisher, Receipt, path_of
from .readers import Download, Elements, Events, Lines, Poll, Records
from .sse import MAX_BYTES
from .stream import Headers, Options, Request, merge
from .wire import Wire
from .words import Notice

DEFAULT_URL = "http://127.0.0.1:8080"
"""Where a Leat server listens if it is told nothing else."""


class Client:
    """A Leat server; with whole URLs in place of paths, any other server.

    Nothing is connected until something is read or published. A client may be
    used by many threads.

    url        where the server is, such as https://example.org/leat
    headers    sent with each request; or what returns them, called for each
               attempt, for a token that has to be fresh
    context    of TLS; None verifies certificates by the system's authorities.
               Yours is used as it is: where Python sets its option
               OP_IGNORE_UNEXPECTED_EOF, clear that, or a body without a length
               that is cut off between two lines looks whole
    stall      how long nothing may arrive before a connection is taken for dead
               and made again: any byte counts. 45 s are three heartbeats of
               Leat; None is for ever
    retry      about how long to wait before a reconnect, until the server names
               a delay of its own, which is then the least. After failures in a
               row the wait grows to 30 s
    attempts   how many attempts in a row may come to nothing before a reader or
               a publisher gives up; None is without end
    max_bytes  the largest event, line, element or answer to a poll; None is no
               limit
    notify     is told what becomes of connections, by the thread that reads
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        headers: Optional[Headers] = None,
        context: Optional[ssl.SSLContext] = None,
        stall: Optional[float] = 45.0,
        retry: float = 1.0,
        attempts: Optional[int] = None,
        max_bytes: Optional[int] = MAX_BYTES,
        notify: Optional[Callable[[Notice], None]] = None,
    ) -> None:
        for name, value in (("stall", stall), ("retry", retry), ("attempts", attempts), ("max_bytes", max_bytes)):
            if value is not None and value <= 0:
                raise LeatError("invalid_parameter", f"{name} is {value}, and has to be greater than 0")
        self.url = url.rstrip("/")
        self._options = Options(headers, context, stall, retry, attempts, max_bytes, notify)

    # Reading from any server. A url may be a path below that of the client.

    def events(self, url: str, *, method: str = "GET", headers: Optional[Headers] = None,
               body: Optional[bytes] = None, repeat: Optional[bool] = None, last_event_id: str = "") -> Events:
        """Returns the events of a stream of text/event-stream.

        repeat says whether the request, body included, is made again when the
        connection ends; None means GET is and POST is not.
        """
        return Events(Request(self._at(url), method, headers, body, repeat), self._options, last_event_id)

    def lines(self, url: str, *, method: str = "GET", headers: Optional[Headers] = None,
              body: Optional[bytes] = None, repeat: Optional[bool] = None) -> Lines:
        """Returns the values of a body of JSON lines."""
        return Lines(Request(self._at(url), method, headers, body, repeat), self._options)

    def elements(self, url: str, *, method: str = "GET", headers: Optional[Headers] = None,
                 body: Optional[bytes] = None, repeat: Optional[bool] = None) -> Elements:
        """Returns the elements of a JSON array, each as soon as it is there."""
        return Elements(Request(self._at(url), method, headers, body, repeat), self._options)

    def download(self, url: str, *, headers: Optional[Headers] = None, offset: int = 0, etag: str = "") -> Download:
        """Returns the bytes of a resource; offset and etag are those of an
        earlier Download of it, to go on behind what that got. Bytes have no
        heartbeat: while a stream that is followed is quiet, the connection is
        made again each time that the stall timer runs out."""
        return Download(Request(self._at(url), "GET", headers), self._options, offset, etag)

    # Reading from a Leat server.

    def subscribe(self, *topics: str, stream: str = "", from_: str = "", heartbeat: Optional[float] = None,
                  last_event_id: str = "") -> Events:
        """Returns the events of topics and patterns, or of one stream.

        from_ is where to start: "now" (the default), "start" (the default of a
        stream), an id, "-10" (the last 10 records) or "-5m" (those of the last
        5 minutes); last_event_id wins over it. heartbeat is how often the
        server sends something when there is nothing to send, in seconds: 1 to
        300, and 15 if it is None. The stall timer is three times that.
        """
        request, options = self._query(topics, stream, from_, heartbeat, "sse")
        return Events(request, options, last_event_id)

    def records(self, *topics: str, stream: str = "", from_: str = "", heartbeat: Optional[float] = None,
                last_event_id: str = "") -> Records:
        """Returns the same as records, with topic, key, time and data, over
        JSON lines."""
        request, options = self._query(topics, stream, from_, heartbeat, "ndjson")
        return Records(request, options, last_event_id)

    def poll(self, *topics: str, from_: str = "", wait: float = 30.0, last_event_id: str = "") -> Poll:
        """Returns the same by long polling. wait is how long the server holds
        an answer back while there is nothing, in seconds: 1 to 300."""
        request, options = self._query(topics, "", from_, None, "json", ("wait", f"{wait:g}s"))
        if options.stall is not None and options.stall < wait + 15:
            options = dataclasses.replace(options, stall=wait + 15)
        return Poll(request, options, last_event_id)

    # Publishing to a Leat server.

    def publish(self, topic: str, data: Any, *, type: str = "", key: str = "",
                timeout: Optional[float] = 60.0) -> Receipt:
        """Stores one record: see Publisher, which is to be preferred for many."""
        return self.publish_all([Message(topic, data, type, key)], timeout=timeout)

    def publish_all(self, messages: Iterable[Message], *, timeout: Optional[float] = 60.0) -> Receipt:
        """Stores messages in order, in batches: see Publisher.publish_all."""
        with self.publisher(timeout=timeout) as publisher:
            return publisher.publish_all(messages)

    def publisher(self, *, timeout: Optional[float] = 60.0) -> Publisher:
        """Returns a Publisher. timeout is how long a batch may take, attempts
        and waits included; None is for ever."""
        return Publisher(self._at("/events"), self._options, timeout)

    def create(self, stream: str, content_type: str, *, headers: Optional[Headers] = None) -> bool:
        """Makes a stream. Returns False if it was there, of the same kind.
        headers may have Leat-Retention, Stream-TTL and the like."""
        wire = Wire(self._options.context, self._options.stall)
        headers = merge(self._options.headers, {"Content-Type": content_type}, headers)
        answer = wire.open("PUT", self._at(path_of(stream)), headers, b"")
        try:
            if answer.status not in (200, 201):
                raise answer.problem()
            return answer.status == 201
        finally:
            answer.close()

    def producer(self, stream: str, content_type: str, *, id: str = "", epoch: Optional[int] = None,
                 timeout: Optional[float] = 60.0) -> Producer:
        """Returns a Producer for a stream that exists, of that content type.

        id names it, and epoch is greater with each process of that name: None
        is the time in milliseconds. Without id one is made up, that no process
        takes the place of.
        """
        if epoch is None:
            epoch = int(time.time() * 1000) if id else 0
        return Producer(self._at(path_of(stream)), self._options, timeout, content_type,
                        id or secrets.token_hex(16), epoch)

    def _at(self, url: str) -> str:
        return url if urlsplit(url).scheme else self.url + "/" + url.lstrip("/")

    def _query(self, topics: Tuple[str, ...], stream: str, from_: str, heartbeat: Optional[float], form: str,
               *more: Tuple[str, str]) -> Tuple[Request, Options]:
        if bool(topics) == bool(stream):
            raise LeatError("no_topic", "no topic is named" if not topics else "topics and a stream are named",
                            advice="Name one or more topics or patterns, or one stream.")
        query: List[Tuple[str, str]] = [("topic", topic) for topic in topics]
        query += [("as", form), *more]
        if from_:
            query.append(("from", from_))
        options = self._options
        if heartbeat is not None:
            query.append(("heartbeat", f"{heartbeat:g}s"))
            if options.stall is not None:
                options = dataclasses.replace(options, stall=3 * heartbeat)
        return Request(self._at((path_of(stream) if stream else "/events") + "?" + urlencode(query))), options
