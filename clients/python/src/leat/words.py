"""What a Leat server says about a stream, in any form."""

from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple


@dataclass(frozen=True)
class Gap:
    """Records are missing that this reader was owed.

    reason is "trimmed" (they were removed), "replaced" (a topic was deleted,
    and what may be there now is a new one of that name), "skipped" (this reader
    was too slow for a rule of the server), "lost" (the server lost them) or
    "foreign" (the position that was asked for is not of this server's log).
    asked is the position that the reader came with; reading goes on after next.
    topics has pairs: the topic, and the id of the last record it lost. There
    are more such topics beside them.
    """

    reason: str
    asked: str
    next: str
    topics: Tuple[Tuple[str, str], ...] = ()
    more: int = 0


@dataclass(frozen=True)
class End:
    """A topic has ended: state is "complete", "aborted", "error", "truncated",
    "deleted" or "expired", and reason may be empty."""

    topic: str
    state: str
    reason: str = ""


@dataclass(frozen=True)
class Record:
    """A record of a Leat server, with all that belongs to it.

    data is the value of a JSON topic, the str of one of text, the bytes of any
    other. time is RFC 3339 text. If gap or end is set this is no record, but
    the word of the server that records are gone, or that a topic has ended.
    """

    id: str
    topic: str = ""
    type: str = ""
    key: str = ""
    time: str = ""
    data: Any = None
    gap: Optional[Gap] = None
    end: Optional[End] = None


@dataclass(frozen=True)
class Notice:
    """What becomes of a connection, for logs and for showing a state; nothing
    has to be done about it.

    kind is one of

    connected  the server has accepted the request
    waiting    the connection ended or could not be made, there will be another
               attempt after delay seconds; error says why, and failures counts
               the attempts in a row that failed
    retry      the server named the delay before a reconnect
    moved      last_event_id changed without an event
    comment    the server sent a comment, such as a heartbeat
    """

    kind: str
    last_event_id: str = ""
    error: Optional[Exception] = None
    failures: int = 0
    delay: float = 0.0
    comment: str = ""


def text(members: Dict[str, Any], name: str) -> str:
    """Returns a member that should be a string, "" if it is none."""
    value = members.get(name)
    return value if isinstance(value, str) else ""


def read_gap(value: object) -> Optional[Gap]:
    """Returns the gap that a JSON value stands for, None if it is no gap."""
    if not isinstance(value, dict) or not text(value, "reason"):
        return None
    topics = value.get("topics")
    pairs = [t for t in topics if isinstance(t, dict)] if isinstance(topics, list) else []
    more = value.get("more")
    return Gap(
        text(value, "reason"),
        text(value, "asked"),
        text(value, "next"),
        tuple((text(t, "topic"), text(t, "through")) for t in pairs),
        more if isinstance(more, int) else 0,
    )


def read_end(value: object) -> Optional[End]:
    """Returns the end that a JSON value stands for, None if it is no end."""
    if not isinstance(value, dict) or not text(value, "state"):
        return None
    return End(text(value, "topic"), text(value, "state"), text(value, "reason"))
