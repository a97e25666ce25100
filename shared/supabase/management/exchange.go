package management

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	// attemptLimit bounds one request. The API itself waits ten seconds for an issuer.
	attemptLimit = 30 * time.Second
	// queryLimit is for requests that run SQL: the API ends a statement after a minute or two.
	queryLimit = 90 * time.Second
	// firstDelay is before the second attempt, half of it more or less, unless the API asks for more; it doubles.
	firstDelay = 250 * time.Millisecond
	// limitedDelay is the first where the limit is used up and the API does not say for how long.
	limitedDelay = 4 * time.Second
	longestDelay = 30 * time.Second
	// mostBroken is how often a call is sent that fails otherwise than by the limit of requests.
	mostBroken = 4
	// maxAnswer bounds a body, unpacked. A provider with its keys has a few kilobytes, and so has a project.
	maxAnswer = 1 << 20
	// maxRows is for rows and for advice, which grow with the database.
	maxRows = 16 << 20
)

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		MaxIdleConns:        2,
		ForceAttemptHTTP2:   true,
	}
}

// call is one operation of the API.
type call struct {
	// doing says in errors what was going on, such as "listing the projects".
	doing string
	// about is what a 404 is about: the project, unless it says otherwise.
	about string
	// permission is the one that a fine-grained token needs, scope that of an OAuth app.
	permission, scope string

	method, path string
	// body is sent as JSON; nil: nothing.
	body any
	// repeats: sending it twice does no more than sending it once.
	repeats bool
	// most bytes of an answer; 0 means maxAnswer.
	most int64
	// limit of one attempt; 0 means attemptLimit.
	limit time.Duration
	// wanted is what an answer of another shape is not, such as "a list of projects".
	wanted string
}

// do sends a call, and again where that may help, is safe, and the client's patience leaves time for it. The answer is
// decoded into what into points to; nil: it is not looked at.
func (c *Client) do(ctx context.Context, x call, into any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.patience, fmt.Errorf("no answer within %s", c.patience))
	defer cancel()
	var body []byte
	if x.body != nil {
		var err error
		if body, err = json.Marshal(x.body); err != nil {
			return &Error{call: x, kind: ErrRefused, reason: "the request cannot be written as JSON"}
		}
	}
	delays, broken := &pauses{}, 0
	options := []backoff.RetryOption{backoff.WithBackOff(delays), backoff.WithMaxElapsedTime(c.patience)}
	if c.attempts > 0 {
		options = append(options, backoff.WithMaxTries(c.attempts))
	}
	var last *Error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		last = c.attempt(ctx, x, body, into)
		switch {
		case last == nil:
			return struct{}{}, nil
		case ctx.Err() != nil || !last.transient || !x.repeats && !last.unheard:
			return struct{}{}, backoff.Permanent(last)
		}
		delays.limited = errors.Is(last, ErrLimited)
		if !delays.limited {
			if broken++; broken == mostBroken {
				return struct{}{}, backoff.Permanent(last)
			}
		}
		return struct{}{}, last
	}, options...)
	if err == nil {
		return nil
	}
	if last == nil {
		return &Error{call: x, kind: ErrUnavailable, reason: err.Error()}
	}
	return last
}

// pauses are those between attempts where the API names none.
type pauses struct {
	limited bool
	next    time.Duration
}

// NextBackOff is backoff's.
func (p *pauses) NextBackOff() time.Duration {
	first := firstDelay
	if p.limited {
		first = limitedDelay
	}
	p.next = min(max(2*p.next, first), longestDelay)
	return p.next
}

// Reset is backoff's.
func (p *pauses) Reset() { p.next = 0 }

// attempt sends a call once.
func (c *Client) attempt(ctx context.Context, x call, body []byte, into any) *Error {
	limit := x.limit
	if limit == 0 {
		limit = attemptLimit
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %s", limit))
	defer cancel()
	var content io.Reader = http.NoBody
	if body != nil {
		content = bytes.NewReader(body)
	}
	request, err := http.NewRequestWithContext(ctx, x.method, c.url+x.path, content)
	if err != nil {
		return &Error{call: x, kind: ErrUnavailable, reason: "the request cannot be made"}
	}
	request.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "clerksync")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}

	response, err := c.client.Do(request)
	if err != nil {
		return exchangeError(ctx, x, 0, err)
	}
	defer response.Body.Close()
	most := x.most
	if most == 0 {
		most = maxAnswer
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	switch {
	case response.StatusCode < 200 || response.StatusCode > 299:
		// An error whose body breaks off is still an error of that status.
		return statusError(x, response.StatusCode, response.Header, answer)
	case err != nil:
		return exchangeError(ctx, x, response.StatusCode, err)
	case int64(len(answer)) > most:
		return &Error{call: x, kind: ErrUnavailable, status: response.StatusCode, reason: fmt.Sprintf("more than %d MiB", most>>20)}
	case into == nil:
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil || bytes.Equal(bytes.TrimSpace(answer), []byte("null")) {
		return &Error{call: x, kind: ErrUnavailable, status: response.StatusCode, reason: "something that is not " + x.wanted}
	}
	return nil
}

// exchangeError says why no answer, or only a part of one, came. It does not repeat errors that could hold what was
// received.
func exchangeError(ctx context.Context, x call, status int, err error) *Error {
	e := &Error{call: x, kind: ErrUnavailable, status: status, reason: "the connection broke", transient: true}
	var network net.Error
	var operation *net.OpError
	var certificate *tls.CertificateVerificationError
	switch {
	case ctx.Err() != nil:
		e.reason = context.Cause(ctx).Error()
	case errors.As(err, &network) && network.Timeout():
		e.reason = "no answer in time"
	case errors.As(err, &certificate):
		e.reason, e.transient = certificate.Error(), false
	case errors.As(err, &operation):
		e.reason = operation.Error()
		e.unheard = operation.Op == "dial"
	}
	if status != 0 {
		e.reason = "a part of a body: " + e.reason
	}
	return e
}
