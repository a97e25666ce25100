package management

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"clerksync/shared/secret"
)

// How long an answer is served again. The API allows 120 requests a minute for a user, a project and an endpoint together
// (Supabase docs, Management API), which everybody who holds the token shares.
const (
	servedFor = time.Minute
	// failureServedFor is for failures, which may be mended sooner.
	failureServedFor = 10 * time.Second
)

// What a question of [Providers] may take: a caller waits for the answer.
const (
	providersPatience = 4 * time.Second
	providersAttempts = 2
)

// ProvidersOptions say which project to ask about. Token and ProjectRef are required.
type ProvidersOptions struct {
	// Token needs to read the project's auth configuration: auth_config_read, or the scope auth:read.
	Token secret.Value
	// ProjectRef is the project's reference, 20 lower-case letters.
	ProjectRef string
	// URL and HTTPClient are those of [Options].
	URL        string
	HTTPClient *http.Client
}

// Providers asks which third-party providers one project trusts. It sends nothing before its first question, never has two
// questions under way, serves an answer again for a minute and a failure for ten seconds, and is safe for concurrent use.
// Make it with [NewProviders].
type Providers struct {
	client  *Client
	project string
	now     func() time.Time

	questions singleflight.Group
	mu        sync.Mutex
	latest    answer
}

// answer is one that is served for a while.
type answer struct {
	list  []ThirdPartyAuth
	err   error
	until time.Time
}

// NewProviders returns one. It sends nothing; its error names every option that cannot be used and holds no part of the
// token.
func NewProviders(o ProvidersOptions) (*Providers, error) {
	client, err := New(Options{Token: o.Token, URL: o.URL, HTTPClient: o.HTTPClient, Patience: providersPatience, Attempts: providersAttempts})
	if err := errors.Join(err, CheckRef(o.ProjectRef)); err != nil {
		return nil, err
	}
	return &Providers{
		client: client, project: o.ProjectRef,
		// Without the monotonic reading, which stands still while a Lambda sandbox is frozen.
		now: func() time.Time { return time.Now().Round(0) },
	}, nil
}

// ThirdPartyAuth lists the third-party providers that the project trusts: GET
// /v1/projects/{ref}/config/auth/third-party-auth. An empty list means that there are none.
//
// errors.Is finds out by ErrToken and its like what went wrong. What the result points to is
// shared and must not be changed.
func (p *Providers) ThirdPartyAuth(ctx context.Context) ([]ThirdPartyAuth, error) {
	p.mu.Lock()
	if latest := p.latest; p.now().Before(latest.until) {
		p.mu.Unlock()
		return slices.Clone(latest.list), latest.err
	}
	// A question does not end with the call that asked it: others may wait for the answer, and the next call needs it
	// anyway. Its own limit ends it.
	done := p.questions.DoChan(p.project, func() (any, error) { return p.keep(p.client.ThirdPartyAuth(context.WithoutCancel(ctx), p.project)) })
	p.mu.Unlock()
	select {
	case r := <-done:
		list, _ := r.Val.([]ThirdPartyAuth)
		return slices.Clone(list), r.Err
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for Supabase's Management API: %w", context.Cause(ctx))
	}
}

// keep has an answer served again for a while, and returns it.
func (p *Providers) keep(list []ThirdPartyAuth, err error) ([]ThirdPartyAuth, error) {
	served := servedFor
	if err != nil {
		served = failureServedFor
		if failure, ok := errors.AsType[*Error](err); ok {
			served = min(max(served, failure.retryAfter), servedFor)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latest = answer{list, err, p.now().Add(served)}
	return list, err
}
