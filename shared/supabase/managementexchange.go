package supabase

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	// managementLimit bounds a question with all its attempts.
	managementLimit = 4 * time.Second
	// managementAttempts is how often a question is sent at most.
	managementAttempts = 2
	// managementDelay is between two attempts, half of it more or less, unless the API asks for more.
	managementDelay = 250 * time.Millisecond
	// maxManagementBody bounds a body, unpacked. A provider with its keys has a few kilobytes.
	maxManagementBody = 1 << 20
)

func newManagementTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: managementLimit}).DialContext,
		TLSHandshakeTimeout: managementLimit,
		IdleConnTimeout:     90 * time.Second,
		MaxIdleConns:        2,
		ForceAttemptHTTP2:   true,
	}
}

// ask reads something of the project, and once more where that may help and the limit leaves time for it. read takes the
// body; its error says what the body is instead.
func ask[T any](ctx context.Context, m *Management, path string, read func([]byte) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, m.limit, fmt.Errorf("no answer within %s", m.limit))
	defer cancel()
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval = managementDelay
	found, err := backoff.Retry(ctx, func() (T, error) {
		var none T
		body, failure := m.attempt(ctx, path)
		if failure == nil {
			found, err := read(body)
			if err == nil {
				return found, nil
			}
			failure = &managementError{kind: ErrManagementUnavailable, status: http.StatusOK, reason: err.Error()}
		}
		if ctx.Err() != nil || !failure.transient {
			return none, backoff.Permanent(failure)
		}
		return none, failure
	}, backoff.WithBackOff(delays), backoff.WithMaxTries(managementAttempts), backoff.WithMaxElapsedTime(m.limit))
	if _, known := errors.AsType[*managementError](err); err != nil && !known {
		// The limit has ended the pause before the second attempt.
		err = &managementError{kind: ErrManagementUnavailable, reason: err.Error()}
	}
	return found, err
}

// attempt sends the question once and returns the body of a success.
func (m *Management) attempt(ctx context.Context, path string) ([]byte, *managementError) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url+"/v1/projects/"+m.project+path, http.NoBody)
	if err != nil {
		return nil, &managementError{kind: ErrManagementUnavailable, reason: "the request cannot be made"}
	}
	request.Header.Set("Authorization", "Bearer "+m.token.Reveal())
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "clerksync")

	response, err := m.client.Do(request)
	if err != nil {
		return nil, exchangeError(ctx, 0, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxManagementBody+1))
	switch {
	case response.StatusCode != http.StatusOK:
		// An error whose body breaks off is still an error of that status.
		return nil, statusError(response.StatusCode, response.Header, body)
	case err != nil:
		return nil, exchangeError(ctx, response.StatusCode, err)
	case len(body) > maxManagementBody:
		return nil, &managementError{kind: ErrManagementUnavailable, status: response.StatusCode, reason: fmt.Sprintf("more than %d MiB", maxManagementBody>>20)}
	}
	return body, nil
}

// exchangeError says why no answer, or only a part of one, came. It does not repeat errors that could hold what was
// received.
func exchangeError(ctx context.Context, status int, err error) *managementError {
	e := &managementError{kind: ErrManagementUnavailable, status: status, reason: "the connection broke", transient: true}
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
	}
	if status != 0 {
		e.reason = "a part of a body: " + e.reason
	}
	return e
}
