"""The one exception of the package."""

from typing import Any, Dict, Mapping, Optional


class LeatError(Exception):
    """What a server refused, or what went wrong on the way to it.

    code         a stable word: that of the server's problem document, or one
                 of those below
    detail       what was wrong, for people
    advice       what to do about it, may be empty
    status       the status of the answer, 0 if there was none
    headers      the header of the answer, names in lower case
    body         the first 64 KiB of the answer
    fields       the other members of the server's problem document
    retry_after  the seconds that the server asked to wait, 0 if it did not
    temporary    whether the same request may succeed later

    Codes that are made here:

    unavailable        there was no answer: no server, or no network
    truncated          the body of an answer broke off, so something is missing
    stalled            nothing arrived for longer than the stall timer allows
    changed            a download cannot go on, it is another content now
    too_large          an event, line or element is over max_bytes
    unexpected_answer  an answer that was not asked for: another program?
    invalid_parameter  an argument that no request can be made of
    invalid_offset     a last event ID that cannot be sent
    no_topic           nothing says what to read
    invalid_body       data that cannot be published, or a line that is no JSON
    in_doubt           a producer does not know what became of its last request
    closed             it was closed, by another thread, while it was waiting
    not_found          as the server says it, or a status of 404
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        advice: str = "",
        status: int = 0,
        headers: Optional[Mapping[str, str]] = None,
        body: bytes = b"",
        fields: Optional[Mapping[str, Any]] = None,
        retry_after: float = 0.0,
        temporary: bool = False,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.advice = advice
        self.status = status
        self.headers: Dict[str, str] = dict(headers or {})
        self.body = body
        self.fields: Dict[str, Any] = dict(fields or {})
        self.retry_after = retry_after
        self.temporary = temporary

    def __str__(self) -> str:
        return f"{self.detail}. {self.advice}" if self.advice else self.detail
