package clerk

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
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
	// maxBurst is how many requests may leave at once after a silence: enough for
	// the whole of a small instance.
	maxBurst = 20
	// windowMargin is added to Clerk's window: what leaves evenly does not arrive
	// evenly.
	windowMargin = 50 * time.Millisecond
)

// budget decides when a request may be sent, for all that share it: no more than
// a number of them within a period, wherever that begins; evenly, but for a burst
// after a silence, which is taken from what follows it.
type budget struct {
	requests int
	per      time.Duration
	// interval is what lies between two requests that leave evenly.
	interval time.Duration
	burst    int
	// waited is in nanoseconds; waits counts the calls that had to.
	waited, waits atomic.Int64
	// line is held by the call whose turn comes next.
	line chan struct{}

	mu sync.Mutex
	// sent is when requests left, within the last per.
	sent []time.Time
	// next is when the next request would leave without any burst.
	next time.Time
	// opens is when the last 429 allows requests again.
	opens time.Time
	// slowUntil is when the rate goes up again; zero while it is up.
	slowUntil time.Time
}

// newBudget makes a budget of a share of a limit.
func newBudget(limit RateLimit, share float64) *budget {
	requests, per := share*float64(limit.Requests), limit.Per+windowMargin
	// An allowance of less than one is a request in more than one window.
	if requests < 1 {
		requests, per = 1, time.Duration(float64(per)/requests)
	}
	n := int(requests)
	return &budget{requests: n, per: per, interval: per / time.Duration(n), burst: min(n, maxBurst), line: make(chan struct{}, 1)}
}

// wait returns when a request may be sent, not before a moment. It returns an
// error at once if its turn has come and is not before the deadline of ctx.
func (b *budget) wait(ctx context.Context, notBefore time.Time) error {
	began, slept := time.Now(), false
	defer func() {
		b.waited.Add(int64(time.Since(began)))
		if slept {
			b.waits.Add(1)
		}
	}()
	sleep := func(moment time.Time) error {
		slept = slept || time.Now().Before(moment)
		return sleepUntil(ctx, moment)
	}
	if err := sleep(notBefore); err != nil {
		return err
	}
	select {
	case b.line <- struct{}{}:
		defer func() { <-b.line }()
	case <-ctx.Done():
		slept = true
		return context.Cause(ctx)
	}
	for {
		opens, ok := b.take()
		if ok {
			return nil
		}
		// A 429 may come meanwhile: it is asked again.
		if err := sleep(opens); err != nil {
			return err
		}
	}
}

// take counts a request that may be sent now, or returns when one may be.
func (b *budget) take() (time.Time, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	// ahead is how long before its even time a request may leave.
	interval, ahead := b.interval, b.interval*time.Duration(b.burst-1)
	switch {
	case b.slowUntil.IsZero():
	case now.Before(b.slowUntil):
		interval, ahead = 2*interval, 0
	default:
		// What was slow is no silence.
		b.slowUntil, b.next = time.Time{}, latest(b.next, now.Add(ahead))
	}
	for len(b.sent) > 0 && now.Sub(b.sent[0]) >= b.per {
		b.sent = b.sent[1:]
	}
	if len(b.sent) >= b.requests {
		// Nor is the time in which a burst is made up for.
		b.next = latest(b.next, b.sent[0].Add(b.per+ahead))
	}
	if at := latest(b.opens, b.next.Add(-ahead)); at.After(now) {
		return at, false
	}
	b.next, b.sent = latest(b.next, now).Add(interval), append(b.sent, now)
	return now, true
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// pause stops everybody for a time and halves the rate for a while. Of several
// pauses the longest counts, and the rate is halved once: the answers to
// requests that were under way together say the same thing.
func (b *budget) pause(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opens = latest(b.opens, time.Now().Add(d))
	b.next, b.slowUntil = b.opens, b.opens.Add(slowFor)
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
