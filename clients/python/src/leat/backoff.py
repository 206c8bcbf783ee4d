"""How long to wait before the next attempt."""

import random

MIN_RETRY = 0.1  # seconds; never sooner, whatever a server asks for
MAX_RETRY = 24 * 3600.0  # never later: larger numbers overflow timers
MAX_WAIT = 30.0  # where the back-off ends, unless a server asks for more


def clamp(seconds: float) -> float:
    """Returns a delay that a server asked for, within the bounds."""
    return min(max(seconds, MIN_RETRY), MAX_RETRY)


def delay(failures: int, floor: float, base: float, limit: float = MAX_WAIT) -> float:
    """Returns the wait after a number of failures in a row, counted from 0.

    It is a random time between floor and a ceiling that begins at base and
    doubles with each failure up to limit. All of the range is used ("full
    jitter"), so that readers cut off together do not come back together. floor
    is what the server asked for: coming back sooner would be wrong, so the
    jitter is put on top of it, and the ceiling is at least half as much again.
    """
    floor = clamp(floor)
    ceiling = min(base * 2.0 ** min(failures, 64), limit)
    ceiling = min(max(ceiling, floor * 1.5), MAX_RETRY)
    return floor if ceiling <= floor else random.uniform(floor, ceiling)
