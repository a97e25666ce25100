package svix

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Svix's waits after each failed attempt: eight attempts in all, over about 27
// hours and a half.
var schedule = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour,
}

const (
	// jitter is by how much of itself a wait may be shorter or longer.
	jitter = 0.2
	// overloadWait is the least wait after a timeout or a 429.
	overloadWait = time.Minute
	// attemptLimit is how long hosted Svix waits for an answer.
	attemptLimit = 15 * time.Second
	// maxResponse is how much of an answer's body Svix keeps.
	maxResponse = 20_000
)

// verdict is an answer as far as the schedule cares.
type verdict struct {
	status     int // 0: none came
	timedOut   bool
	retryAfter time.Duration
	// abort: the answer's header asked that the message be dropped.
	abort bool
}

func (v verdict) delivered() bool { return v.status >= 200 && v.status < 300 }

// nextWait is the wait before the attempt that follows the given one, counted
// from 1; false if none follows. A Retry-After counts between once and twice the
// planned wait.
func nextWait(attempt int, v verdict) (time.Duration, bool) {
	if v.delivered() || v.abort || attempt > len(schedule) {
		return 0, false
	}
	wait := schedule[attempt-1]
	if v.timedOut || v.status == http.StatusTooManyRequests {
		wait = max(wait, overloadWait)
	}
	if v.retryAfter > 0 {
		wait = min(max(wait, v.retryAfter), 2*wait)
	}
	spread := 1 + jitter*(2*rand.Float64()-1)
	return time.Duration(float64(wait) * spread), true
}

// retryAfter reads the header's two forms; anything else counts as absent.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
