package clerk

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
	"unicode/utf8"

	"github.com/cenkalti/backoff/v5"
)

const (
	// maxAttempts is how many requests a call sends at most.
	maxAttempts = 6
	// attemptTimeout bounds an attempt, the body included. A page of 500
	// memberships repeats an organization in each and can take Clerk long.
	attemptTimeout = 30 * time.Second
	// maxBody bounds a body, unpacked: 500 memberships with 8 KB of metadata on
	// each of their four parts fill a quarter of it.
	maxBody = 64 << 20
	// maxErrorBody bounds what is read of an answer that is an error.
	maxErrorBody = 64 << 10
	// maxPooledBody keeps one very large page from staying in memory for good.
	maxPooledBody = 8 << 20
	// Between attempts: about 0.5, 1, 2, 4 and 8 seconds, each 50 % more or less.
	firstDelay = 500 * time.Millisecond
	maxDelay   = 15 * time.Second
)

var errAttemptTimeout = fmt.Errorf("no answer within %s", attemptTimeout)

// question is a request.
type question struct {
	// method is "" for GET.
	method string
	// template is path with {id} in place of ids.
	template, path string
	query          url.Values
	// body is JSON, nil for none.
	body []byte
	// once keeps the request from being repeated where the first may have been carried out: Clerk knows no idempotency
	// keys, and would create the thing twice. It has carried out nothing that it answers with 429.
	once bool
}

func (q question) verb() string { return cmp.Or(q.method, http.MethodGet) }

// ask sends a question until it has an answer that read can use, which is valid
// JSON and valid UTF-8, or until repeating it is no use. The body is read's
// only until it returns.
func (b *Backend) ask(ctx context.Context, q question, read func(body []byte, requestedAt time.Time) error) error {
	delays := backoff.ExponentialBackOff{
		InitialInterval: firstDelay, RandomizationFactor: backoff.DefaultRandomizationFactor, Multiplier: 2, MaxInterval: maxDelay,
	}
	var last *BackendError
	var notBefore time.Time
	for attempt := 1; ; attempt++ {
		if err := b.budget.wait(ctx, notBefore); err != nil {
			return ended(ctx, q, err, last)
		}
		failure := b.attempt(ctx, q, attempt, read)
		if failure == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ended(ctx, q, context.Cause(ctx), nil)
		}
		failure.Method, failure.Path, failure.Attempts = q.verb(), q.path, attempt
		if q.once && failure.mayHaveHappened() {
			failure.unclear = true
			return failure
		}
		if !failure.transient || attempt == maxAttempts {
			return failure
		}
		last = failure
		notBefore = time.Now().Add(max(delays.NextBackOff(), failure.RetryAfter))
	}
}

// ended makes the error of a call that its context cuts short, after an attempt
// that failed or none.
func ended(ctx context.Context, q question, why error, last *BackendError) error {
	e := &endedError{text: fmt.Sprintf("%s %s: %v", q.verb(), q.path, why), wraps: []error{why}}
	if ctx.Err() != nil {
		// The cause can be any error; this one tells that the context ended.
		e.wraps = append(e.wraps, ctx.Err())
	}
	if last != nil {
		e.text += "; before, " + last.what()
		e.wraps = append(e.wraps, last)
	}
	return e
}

// attempt sends a question once. The error lacks what only the caller knows.
func (b *Backend) attempt(ctx context.Context, q question, number int, read func([]byte, time.Time) error) *BackendError {
	b.requests.Add(1)
	if number > 1 {
		b.retries.Add(1)
	}
	body, _ := b.bodies.Get().(*bytes.Buffer)
	defer func() {
		if body.Cap() <= maxPooledBody {
			body.Reset()
			b.bodies.Put(body)
		}
	}()

	requestedAt := time.Now().UTC()
	status, servedAt, failure := b.exchange(ctx, q, body)
	took := time.Since(requestedAt)
	if failure == nil {
		failure = answerError(status, body.Bytes(), func(body []byte) error { return read(body, requestedAt) })
	}
	if failure != nil && status == http.StatusTooManyRequests {
		b.rateLimited.Add(1)
		b.budget.pause(failure.RetryAfter)
	}
	b.bytesRead.Add(int64(body.Len()))
	if b.observe != nil {
		seen := Exchange{Method: q.verb(), Path: q.template, Status: status, Attempt: number, Duration: took, Bytes: int64(body.Len()), ServedAt: servedAt}
		switch {
		case failure != nil && ctx.Err() != nil:
			seen.Err = "canceled"
		case failure != nil:
			seen.Err = failure.code
		}
		b.observe(seen)
	}
	return failure
}

// exchange sends a question and reads the body of the answer. The status is 0 if
// none came, and the time zero if the answer has no Date.
func (b *Backend) exchange(ctx context.Context, q question, body *bytes.Buffer) (status int, servedAt time.Time, failure *BackendError) {
	ctx, cancel := context.WithTimeoutCause(ctx, attemptTimeout, errAttemptTimeout)
	defer cancel()
	address := b.url + q.path
	if len(q.query) > 0 {
		address += "?" + q.query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, q.verb(), address, bytes.NewReader(q.body))
	if err != nil {
		return 0, servedAt, &BackendError{reason: "the request cannot be made", code: "unexpected"}
	}
	request.Header.Set("Authorization", "Bearer "+b.key.Reveal())
	request.Header.Set("Clerk-API-Version", APIVersion)
	request.Header.Set("Accept", "application/json")
	if q.body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	request.Header.Set("User-Agent", "clerksync")

	response, err := b.client.Do(request)
	if err != nil {
		return 0, servedAt, connectionError(ctx, 0, err)
	}
	defer response.Body.Close()
	servedAt, _ = http.ParseTime(response.Header.Get("Date"))
	if response.StatusCode/100 != 2 {
		// An error whose body breaks off is still an error of that status.
		_, _ = body.ReadFrom(io.LimitReader(response.Body, maxErrorBody))
		return response.StatusCode, servedAt, statusError(response.StatusCode, response.Header, body.Bytes())
	}
	if response.ContentLength > 0 && response.ContentLength <= maxBody {
		body.Grow(int(response.ContentLength) + bytes.MinRead)
	}
	if _, err = body.ReadFrom(io.LimitReader(response.Body, maxBody+1)); err != nil {
		return response.StatusCode, servedAt, connectionError(ctx, response.StatusCode, err)
	}
	if body.Len() > maxBody {
		return response.StatusCode, servedAt, &BackendError{
			Status: response.StatusCode, code: "too_large",
			reason: fmt.Sprintf("more than %d MiB; ask for fewer at a time", maxBody>>20),
		}
	}
	return response.StatusCode, servedAt, nil
}

// answerError hands the body of a success to read, unless it is none of Clerk's.
func answerError(status int, body []byte, read func([]byte) error) *BackendError {
	if !utf8.Valid(body) || !json.Valid(body) {
		reason := "something that is not JSON"
		if bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("<")) {
			reason = "a web page"
		}
		return &BackendError{Status: status, kind: ErrClerkUnavailable, reason: reason, code: "not_json", transient: true}
	}
	if err := read(body); err != nil {
		return &BackendError{Status: status, reason: err.Error(), code: "unexpected"}
	}
	return nil
}

// connectionError says why no answer, or only a part of one, came. It does not
// repeat errors that could hold the URL or what was received.
func connectionError(ctx context.Context, status int, err error) *BackendError {
	e := &BackendError{Status: status, kind: ErrClerkUnavailable, code: "connection", transient: true, reason: "the connection broke"}
	var network net.Error
	var operation *net.OpError
	var certificate *tls.CertificateVerificationError
	switch {
	case ctx.Err() != nil:
		e.code, e.reason = "timeout", context.Cause(ctx).Error()
	case errors.As(err, &network) && network.Timeout():
		e.code, e.reason = "timeout", "no answer in time"
	case status != 0:
		e.code = "truncated"
	case errors.As(err, &certificate):
		e.reason = certificate.Error()
	case errors.As(err, &operation):
		e.reason = operation.Error()
	}
	if status != 0 {
		e.reason = "a part of a body: " + e.reason
	}
	return e
}
