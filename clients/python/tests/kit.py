"""What the tests of readers share."""

import threading
from typing import Any, Callable, Dict, List
from unittest import mock

from leat import Client, LeatError, Notice
from scripted import PATIENCE


def quick(url: str, **options: Any) -> Client:
    """A client that does not make a test wait."""
    defaults: Dict[str, Any] = {"retry": 0.001, "stall": PATIENCE, "attempts": 20}
    return Client(url, **{**defaults, **options})


def no_floor() -> Any:
    """Lets reconnects come without the least delay."""
    return mock.patch("leat.backoff.MIN_RETRY", 0.0005)


def failure(run: Callable[[], Any]) -> LeatError:
    """Returns the error that run raises."""
    try:
        got = run()
    except LeatError as e:
        return e
    raise AssertionError(f"no error, but {got!r}")


class Notices:
    """Keeps what a client is told, and lets another thread wait for it."""

    def __init__(self) -> None:
        self.all: List[Notice] = []
        self._changed = threading.Condition()

    def __call__(self, notice: Notice) -> None:
        with self._changed:
            self.all.append(notice)
            self._changed.notify_all()

    def kinds(self, *kinds: str) -> List[Notice]:
        return [n for n in self.all if n.kind in kinds]

    def wait_for(self, kind: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.kinds(kind), PATIENCE), f"no notice {kind}"
