package keyset

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"

	"clerksync/shared/netaddr"
)

const (
	// fetchLimit is for a fetch in all: both attempts, redirects and bodies.
	fetchLimit = 3 * time.Second
	// maxBody bounds a body, unpacked. A hundred RSA keys of 4096 bits have a third of it.
	maxBody = 256 << 10
	// maxHeader bounds the headers of an answer.
	maxHeader = 64 << 10
	// maxRedirects is how often an answer may point elsewhere.
	maxRedirects = 3
	// attempts are the first one and its repetition, after retryDelay, 50 % more or less.
	attempts   = 2
	retryDelay = 100 * time.Millisecond
)

var errFetchLimit = fmt.Errorf("no complete answer within %s", fetchLimit)

// redirectError is a redirect that is not followed.
type redirectError struct{ why string }

func (e *redirectError) Error() string { return e.why }

// handshakeError is a TLS handshake that did not come about.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// newClient returns a client that keeps nothing: between two fetches lie minutes, in which a connection would die.
func newClient(d *dialer, roots *x509.CertPool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext: d.dial,
			DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return dialTLS(ctx, d, roots, network, address)
			},
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			switch {
			case len(via) > maxRedirects:
				return &redirectError{fmt.Sprintf("more than %d redirects; configure the address where the keys are", maxRedirects)}
			case r.URL.User != nil:
				return &redirectError{"a redirect to a URL with a user name or password, which is not followed"}
			case r.URL.Scheme == "http" && via[len(via)-1].URL.Scheme == "http" && netaddr.IsLoopback(r.URL.Hostname()):
				// On this machine all along.
			case r.URL.Scheme != "https":
				return &redirectError{"a redirect to an address that is not https, which is not followed"}
			}
			// The next host needs not know where the last one was.
			r.Header.Del("Referer")
			return nil
		},
	}
}

// dialTLS is done here so that a failed handshake can be told from a broken connection.
func dialTLS(ctx context.Context, d *dialer, roots *x509.CertPool, network, address string) (net.Conn, error) {
	plain, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, errors.Join(err, plain.Close())
	}
	conn := tls.Client(plain, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: host})
	if err := conn.HandshakeContext(ctx); err != nil {
		// Of the two errors the first is the cause.
		_ = plain.Close()
		if brokeOff(err) {
			return nil, err
		}
		return nil, &handshakeError{err}
	}
	return conn, nil
}

// brokeOff tells a connection that ended from a handshake in which something was said against it.
func brokeOff(err error) bool {
	operation, ok := errors.AsType[*net.OpError](err)
	return errors.Is(err, io.EOF) || ok && (operation.Op == "read" || operation.Op == "write")
}

// fetch fetches the keys once, or twice where another attempt may succeed.
func (s *Source) fetch(ctx context.Context) (Set, *FetchError) {
	ctx, cancel := context.WithTimeoutCause(ctx, fetchLimit, errFetchLimit)
	defer cancel()
	var failure *FetchError
	set, err := backoff.Retry(ctx, func() (Set, error) {
		var set Set
		if set, failure = s.attempt(ctx); failure == nil {
			return set, nil
		}
		failure.Host = s.url.Host
		if failure.transient {
			return Set{}, failure
		}
		return Set{}, backoff.Permanent(failure)
	}, backoff.WithMaxTries(attempts), backoff.WithBackOff(&backoff.ExponentialBackOff{
		InitialInterval: retryDelay, RandomizationFactor: backoff.DefaultRandomizationFactor, Multiplier: 1, MaxInterval: retryDelay,
	}))
	if err != nil {
		return Set{}, failure
	}
	return set, nil
}

// attempt sends one request, follows its redirects and reads the answer.
func (s *Source) attempt(ctx context.Context) (Set, *FetchError) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url.String(), http.NoBody)
	if err != nil {
		return Set{}, &FetchError{Reason: ReasonUnreachable, detail: "the request cannot be made"}
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	request.Header.Set("User-Agent", "clerksync")
	response, err := s.client.Do(request)
	if err != nil {
		return Set{}, connectionFailure(ctx, 0, err)
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode/100 == 3:
		return Set{}, &FetchError{
			Reason: ReasonRedirect, Status: response.StatusCode,
			detail: fmt.Sprintf("HTTP status %d, which leads nowhere", response.StatusCode),
		}
	case response.StatusCode != http.StatusOK:
		return Set{}, statusFailure(response.StatusCode)
	}

	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if err == nil {
		// A server that notices the end of the connection may end a chunked answer properly, half-way.
		err = ctx.Err()
	}
	if err != nil {
		return Set{}, connectionFailure(ctx, response.StatusCode, err)
	}
	if len(body) > maxBody {
		return Set{}, &FetchError{
			Reason: ReasonTooLarge, Status: response.StatusCode,
			detail: fmt.Sprintf("the answer has more than %d KiB, which no key set has", maxBody>>10),
		}
	}
	set, err := Parse(body)
	if err != nil {
		return Set{}, contentFailure(response.StatusCode, set, err)
	}
	return set, nil
}

// contentFailure is an answer that is no usable key set.
func contentFailure(status int, set Set, err error) *FetchError {
	e := &FetchError{Status: status, Unusable: set.Unusable, Exposed: set.Exposed, cause: err, detail: "the answer is " + err.Error()}
	switch {
	case errors.Is(err, ErrNotJSON):
		e.Reason = ReasonNotJSON
	case errors.Is(err, ErrTooManyKeys):
		e.Reason, e.detail = ReasonTooLarge, "the answer has "+err.Error()
	case errors.Is(err, ErrNoKeys):
		e.Reason, e.detail = ReasonNoKeys, "the answer has "+err.Error()
	default:
		e.Reason = ReasonNotJWKS
	}
	return e
}

// connectionFailure says why no answer, or only a part of one, came. It does not repeat errors that could hold what
// was received.
func connectionFailure(ctx context.Context, status int, err error) *FetchError {
	var (
		private   *addressError
		redirect  *redirectError
		handshake *handshakeError
		name      *net.DNSError
		operation *net.OpError
	)
	e := &FetchError{Reason: ReasonUnreachable, Status: status, transient: true, detail: "the connection broke"}
	switch {
	case errors.As(err, &private):
		e.Reason, e.transient, e.detail = ReasonPrivateAddress, false, private.Error()
	case errors.As(err, &redirect):
		e.Reason, e.transient, e.detail = ReasonRedirect, false, redirect.why
	case ctx.Err() != nil:
		e.Reason, e.detail = ReasonTimeout, context.Cause(ctx).Error()
	case errors.As(err, &handshake):
		e.Reason, e.transient, e.detail = ReasonTLS, false, handshakeDetail(handshake.err)
	case status != 0:
		e.detail = "the answer broke off, or is not what its headers say"
	case errors.As(err, &name):
		e.detail = "the host name cannot be resolved"
		if name.IsNotFound {
			e.transient, e.detail = false, "there is no such host"
		}
	case errors.As(err, &operation) && operation.Op == "dial":
		e.detail = "no connection: " + printableCause(operation.Err)
	}
	return e
}

func handshakeDetail(err error) string {
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &certificate):
		return "the certificate is not to be trusted: " + printableCause(certificate.Err)
	case errors.As(err, &record):
		return "the server does not speak TLS on this port"
	}
	return "the TLS handshake failed: " + printableCause(err)
}

func printableCause(err error) string {
	if err == nil {
		return "no reason is given"
	}
	return printable(err.Error())
}
