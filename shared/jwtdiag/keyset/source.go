package keyset

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"clerksync/shared/netaddr"
)

// How often a Source fetches.
const (
	// ttl is how long fetched keys serve before they are fetched again; Clerk's own libraries keep them as long.
	ttl = 5 * time.Minute
	// unknownInterval is between a fetch and the next one for the sake of a key that the set at hand does not have.
	unknownInterval = time.Minute
	// failureInterval is between a failed fetch and the next one.
	failureInterval = 10 * time.Second
	// maxStale is how long keys serve that cannot be fetched again.
	maxStale = 24 * time.Hour
)

// SourceOptions say where a Source fetches keys. Only URL is required.
type SourceOptions struct {
	// URL is that of a JSON web key set: https, or http on this machine (localhost or a loopback address).
	URL string
	// RootCAs are who may vouch for the server; nil means the system's.
	RootCAs *x509.CertPool
	// Now is the clock; nil means the system's, by the wall: it has to count the time in which a Lambda sandbox is
	// frozen between requests.
	Now func() time.Time
}

// Source serves the keys of one address and fetches them when they are wanted. It is safe for concurrent use. Call
// [NewSource].
//
// How often it fetches does not depend on how often it is asked. Keys serve for five minutes. A kid that they do not
// have, which anybody can make up, has them fetched again at most once a minute, counted from the last fetch whatever
// it was for. After a failure nothing is fetched for ten seconds; until then the failure is the answer, or, for 24
// hours from when they were fetched, the older keys with that failure in [Set.Stale].
//
// One fetch is under way at a time. All who need it wait for it, and it does not end with the one who came first: the
// next request needs it anyway. It has three seconds, in which it is tried again once where that may help.
//
// Only the configured address is called, and where it redirects to: at most three times, never from https to http and
// never with credentials in the URL. An address that is not of the public internet (private, link-local, of metadata
// services, and so on) is never dialled, whichever name leads there, with one exception: where the configured URL is on
// this machine, its loopback addresses may be called. Proxies of the environment are not used: the address that could be
// checked would be the proxy's, and in Lambda there is none. Where only a proxy leads out, give the key as PEM text.
//
// Of an answer at most 256 KiB are read, unpacked. Its Content-Type does not matter.
type Source struct {
	url    *url.URL
	name   string
	now    func() time.Time
	dialer *dialer
	client *http.Client

	mu sync.Mutex
	// set is the last one that was fetched; it has no keys before.
	set Set
	// failure is how the latest fetch ended, nil for well.
	failure *FetchError
	// attemptedAt is when the latest fetch began, endedAt when it ended.
	attemptedAt, endedAt time.Time
	flights              singleflight.Group
	fetching             bool // whether one is under way
}

// NewSource returns a Source. It fetches nothing yet. The error says what is wrong with the URL, without repeating it.
func NewSource(o SourceOptions) (*Source, error) {
	u, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = func() time.Time { return time.Now().Round(0) }
	}
	d := newDialer(netaddr.IsLoopback(u.Hostname()))
	return &Source{
		url: u, name: (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String(),
		now: o.Now, dialer: d, client: newClient(d, o.RootCAs),
	}, nil
}

func parseURL(address string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(address))
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("the URL of the key set is not one: give https://, the host and the path, such as https://clerk.example.com/.well-known/jwks.json")
	case u.User != nil:
		return nil, errors.New("the URL of the key set holds a user name or password: a public key set needs none, leave it out")
	case u.Scheme == "http" && !netaddr.IsLoopback(u.Hostname()):
		return nil, errors.New("the URL of the key set begins with http://, by which anybody on the way could put keys into it: use https:// (http:// is for this machine alone)")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("the URL of the key set begins with %s: use https://", quote(u.Scheme+":"))
	}
	u.Fragment = ""
	return u, nil
}

// Keys returns the keys, from memory where they are fresh. kid is the one that is wanted: a set that lacks it is fetched
// again, if that was not done lately, and what is returned may lack it still. An empty kid wants none.
//
// The error is a *FetchError. Beside one the set names its Source.
func (s *Source) Keys(ctx context.Context, kid string) (Set, error) {
	s.mu.Lock()
	if !s.wanted(kid) {
		defer s.mu.Unlock()
		return s.atHand(kid, s.failure)
	}
	done := s.join(ctx)
	s.mu.Unlock()

	var failure *FetchError
	select {
	case r := <-done:
		failure, _ = r.Val.(*FetchError)
	case <-ctx.Done():
		failure = &FetchError{
			Reason: ReasonTimeout, Host: s.url.Host, cause: errors.Join(context.Cause(ctx), ctx.Err()),
			detail: "the request ended before there was an answer",
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.atHand(kid, failure)
}

// wanted reports whether keys are to be fetched before an answer. It is called with the lock held.
func (s *Source) wanted(kid string) bool {
	now := s.now()
	switch {
	case s.serves(now, kid):
		return false
	case s.fetching:
		return true
	case s.failure != nil && within(now, s.endedAt, failureInterval):
		return false
	}
	return !s.fresh(now) || !within(now, s.attemptedAt, unknownInterval)
}

// serves reports whether a fresh set has what is wanted.
func (s *Source) serves(now time.Time, kid string) bool {
	return s.fresh(now) && (kid == "" || s.set.has(kid))
}

func (s *Source) fresh(now time.Time) bool {
	return len(s.set.Keys) > 0 && within(now, s.set.FetchedAt, ttl)
}

// within reports whether a moment is less than d ago. One in the future, after a clock was set back, is not.
func within(now, moment time.Time, d time.Duration) bool {
	age := now.Sub(moment)
	return age >= 0 && age < d
}

// atHand is the answer after a fetch that ended in a failure, or in none. It is called with the lock held.
func (s *Source) atHand(kid string, failure *FetchError) (Set, error) {
	now := s.now()
	set := s.set
	set.Source = s.name
	if failure == nil || s.serves(now, kid) {
		return set, nil
	}
	if len(set.Keys) == 0 || !within(now, set.FetchedAt, maxStale) {
		return Set{Source: s.name}, failure
	}
	set.Stale = failure
	return set, nil
}

// join returns how the fetch under way will end, or one that it starts: with a *FetchError, nil for well. It is called
// with the lock held.
func (s *Source) join(ctx context.Context) <-chan singleflight.Result {
	if !s.fetching {
		s.fetching, s.attemptedAt = true, s.now()
	}
	return s.flights.DoChan(s.name, func() (any, error) {
		set, err := s.fetch(context.WithoutCancel(ctx))
		s.mu.Lock()
		defer s.mu.Unlock()
		// Who comes from here on is not to be told of a fetch that has ended.
		s.fetching = false
		s.flights.Forget(s.name)
		s.failure, s.endedAt = err, s.now()
		if err == nil {
			set.FetchedAt = s.endedAt
			s.set = set
		}
		return err, nil
	})
}
