package clerk

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	// MaxRetryAfter bounds how long one answer can stop a Backend. Clerk's own
	// windows last ten seconds.
	MaxRetryAfter = 2 * time.Minute
	// defaultRetryAfter is for a 429 that does not say: one whole window.
	defaultRetryAfter = 10 * time.Second
	// slowFor is how long a 429 halves the rate after the pause it demands. It
	// shows that others are using the limit, and they do not know to stop.
	slowFor = 30 * time.Second
	// maxBurst is how many requests may leave at once after a silence.
	maxBurst = 8
	// windowMargin is added to Clerk's window: what leaves evenly does not arrive
	// evenly.
	windowMargin = 50 * time.Millisecond
)

// budget decides when a request may be sent, for all that share it.
type budget struct {
	limiter *rate.Limiter
	limit   rate.Limit
	burst   int
	// waited is in nanoseconds.
	waited atomic.Int64

	mu sync.Mutex
	// opens is when the last 429 allows requests again.
	opens time.Time
	// slowUntil is when the rate goes up again; zero while it is up.
	slowUntil time.Time
}

// newBudget makes a budget of a share of a limit, which holds for every window
// of the limit's length, wherever it begins: a bucket of size b that fills at
// rate r lets b+r·t-1 requests through before t is over, so r is chosen for that
// to be the share.
func newBudget(limit RateLimit, share float64) *budget {
	requests := share * float64(limit.Requests)
	// An allowance of less than one is a request in more than one window.
	if requests > 1 {
		requests = math.Floor(requests)
	}
	b := &budget{burst: int(min(max(requests/10, 1), maxBurst))}
	b.limit = rate.Limit((requests - float64(b.burst) + 1) / (limit.Per + windowMargin).Seconds())
	b.limiter = rate.NewLimiter(b.limit, b.burst)
	return b
}

// wait returns when a request may be sent, not before a moment. It returns an
// error at once if that cannot be before the deadline of ctx.
func (b *budget) wait(ctx context.Context, notBefore time.Time) error {
	began := time.Now()
	defer func() { b.waited.Add(int64(time.Since(began))) }()
	for {
		if opens := b.opening(); opens.After(notBefore) {
			notBefore = opens
		}
		if err := sleepUntil(ctx, notBefore); err != nil {
			return err
		}
		now := time.Now()
		turn := b.limiter.ReserveN(now, 1)
		if err := sleepUntil(ctx, now.Add(turn.DelayFrom(now))); err != nil {
			turn.Cancel()
			return err
		}
		// A 429 may have come while this one stood in line. Going on after the
		// pause without standing in line again would send all of the line at once.
		if !b.opening().After(time.Now()) {
			return nil
		}
	}
}

// pause stops everybody for a time and halves the rate for a while. Of several
// pauses the longest counts, and the rate is halved once: the answers to
// requests that were under way together say the same thing.
func (b *budget) pause(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if opens := time.Now().Add(d); opens.After(b.opens) {
		b.opens = opens
	}
	b.slowUntil = b.opens.Add(slowFor)
	b.limiter.SetLimit(b.limit / 2)
	b.limiter.SetBurst(1)
}

// opening returns when requests are allowed, which may be past, and ends the
// slow time when it is over.
func (b *budget) opening() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.slowUntil.IsZero() && !time.Now().Before(b.slowUntil) {
		b.slowUntil = time.Time{}
		b.limiter.SetLimit(b.limit)
		b.limiter.SetBurst(b.burst)
	}
	return b.opens
}

// tooLateError says that something cannot begin before the deadline.
type tooLateError struct{ needs, left time.Duration }

func (e *tooLateError) Error() string {
	return "the next request may be sent in " + e.needs.Round(time.Millisecond).String() +
		", and the deadline is in " + e.left.Round(time.Millisecond).String()
}

func (e *tooLateError) Unwrap() error { return context.DeadlineExceeded }

func sleepUntil(ctx context.Context, moment time.Time) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	needs := time.Until(moment)
	if needs <= 0 {
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(moment) {
		return &tooLateError{needs: needs, left: time.Until(deadline)}
	}
	timer := time.NewTimer(needs)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// retryAfter reads the header of that name, seconds or a date, and reports
// whether it is there and usable.
func retryAfter(header http.Header) (time.Duration, bool) {
	value := header.Get("Retry-After")
	// A number too large for its type comes as infinity.
	if seconds, err := strconv.ParseFloat(value, 64); (err == nil || errors.Is(err, strconv.ErrRange)) && seconds >= 0 {
		return time.Duration(min(seconds, MaxRetryAfter.Seconds()) * float64(time.Second)), true
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	// The two clocks need not agree; the answer's own date is of the same clock.
	now, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return max(0, min(date.Sub(now), MaxRetryAfter)), true
}
