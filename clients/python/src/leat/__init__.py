"""Reads event streams, JSON lines, JSON arrays and streamed bytes from any
server, over connections that it mends itself, and publishes to Leat.

>>> import leat
>>> client = leat.Client("http://127.0.0.1:8080")

Everything begins with Client. A reader is an iterator; it reconnects after a
wait that grows with each failure, goes on where it stopped, notices silence,
and never takes what was cut off for the end. Errors are LeatError.
"""

from .client import DEFAULT_URL, Client
from .errors import LeatError
from .publish import Message, Producer, Publisher, Receipt
from .readers import Download, Elements, Events, Line, Lines, Poll, Records
from .sse import MAX_BYTES, Comment, Event, Parser, Retry
from .stream import Headers, Stream
from .words import End, Gap, Notice, Record

__all__ = [
    "Client",
    "Comment",
    "DEFAULT_URL",
    "Download",
    "Elements",
    "End",
    "Event",
    "Events",
    "Gap",
    "Headers",
    "LeatError",
    "Line",
    "Lines",
    "MAX_BYTES",
    "Message",
    "Notice",
    "Parser",
    "Poll",
    "Producer",
    "Publisher",
    "Receipt",
    "Record",
    "Records",
    "Retry",
    "Stream",
]
