package client

import (
	"context"
	"math/rand/v2"
	"time"
)

// Bounds of the delays between attempts.
const (
	minRetry = 100 * time.Millisecond // never shorter, whatever a server asks for
	maxRetry = 24 * time.Hour         // never longer: larger numbers overflow timers elsewhere
	maxWait  = 30 * time.Second       // where the back-off ends, unless a server asks for more
)

// wait returns how long to wait after a number of failures in a row, counted
// from 0: a random time between floor and a ceiling that begins at base and
// doubles with each failure up to limit.
//
// All of the range is used ("full jitter"), so that readers cut off together
// do not come back together. floor is what the other side asked for; coming
// back sooner would be wrong, so the jitter is put on top of it, and the
// ceiling is at least half as much again.
func wait(failures int, floor, base, limit time.Duration) time.Duration {
	floor = min(max(floor, minRetry), maxRetry)
	ceiling := base
	for range failures {
		if ceiling >= limit {
			break
		}
		ceiling *= 2
	}
	ceiling = min(max(min(ceiling, limit), floor+floor/2), maxRetry)
	if ceiling <= floor {
		return floor
	}
	return floor + rand.N(ceiling-floor)
}

// sleep waits for d or the end of ctx, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
