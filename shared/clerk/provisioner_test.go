package clerk_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/secret"
)

// provisioned is an instance with one user and what writes to it, over HTTP.
type provisioned struct {
	*clerk.Provisioner
	instance *clerkinstance.Instance
	backend  *clerk.Backend
	user     string

	mu     sync.Mutex
	events []string
}

// since are the types of the events of something that is done.
func (p *provisioned) since(do func()) []string {
	p.mu.Lock()
	before := len(p.events)
	p.mu.Unlock()
	do()
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.events[before:])
}

func provision(t *testing.T, o backendapi.Options) *provisioned {
	t.Helper()
	p := &provisioned{}
	p.instance = clerkinstance.New(clerkinstance.Options{Seed: 3, Emit: func(e clerkinstance.Event) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.events = append(p.events, e.Type)
	}})
	user, err := p.instance.SignUp(clerkinstance.Person{Username: "ines"})
	if err != nil {
		t.Fatal(err)
	}
	p.user = user.ID
	o.SecretKeys = []string{secretKey}
	server := httptest.NewServer(backendapi.New(p.instance, o))
	t.Cleanup(server.Close)
	p.backend, err = clerk.NewBackend(clerk.BackendOptions{SecretKey: secret.New(secretKey), URL: server.URL + "/v1"})
	if err != nil {
		t.Fatal(err)
	}
	p.Provisioner = clerk.NewProvisioner(p.backend)
	return p
}

func TestProvisioner_OpensTheWayToTheWebhookPortal(t *testing.T) {
	t.Parallel()
	p := provision(t, backendapi.Options{})
	if link, err := p.SvixURL(t.Context()); !errors.Is(err, clerk.ErrUnprocessable) || !link.IsZero() {
		t.Errorf("SvixURL() without a Svix app = %v, want ErrUnprocessable", err)
	}
	first, err := p.CreateSvixApp(t.Context())
	if err != nil || !strings.HasPrefix(first.Reveal(), "https://app.svix.com/login#key=") {
		t.Fatalf("CreateSvixApp() = %v, error %v, want a link", first, err)
	}
	if _, err := p.CreateSvixApp(t.Context()); !errors.Is(err, clerk.ErrUnprocessable) {
		t.Errorf("CreateSvixApp() the second time = %v, want ErrUnprocessable", err)
	}
	second, err := p.SvixURL(t.Context())
	if err != nil || second.Reveal() == first.Reveal() || !strings.HasPrefix(second.Reveal(), "https://app.svix.com/login#key=") {
		t.Errorf("SvixURL() = error %v, want a link of its own", err)
	}
}

func TestProvisioner_OpensASessionForItsTokenAndEndsIt(t *testing.T) {
	t.Parallel()
	p := provision(t, backendapi.Options{})
	before, err := p.backend.Sessions(t.Context(), p.user)
	if err != nil || len(before) != 1 || !before[0].Live() {
		t.Fatalf("Sessions() = %v, error %v, want the one that the user signed up in", before, err)
	}
	var session clerk.Session
	var token secret.Value
	events := p.since(func() {
		if session, err = p.CreateSession(t.Context(), p.user); err != nil {
			t.Fatalf("CreateSession() = error %v", err)
		}
	})
	if !session.Live() || session.CreatedAt == 0 || !slices.Equal(events, []string{clerk.SessionCreated}) {
		t.Errorf("CreateSession() = %+v with the events %v", session, events)
	}
	if token, err = p.SessionToken(t.Context(), session.ID); err != nil || strings.Count(token.Reveal(), ".") != 2 {
		t.Errorf("SessionToken() = error %v, want a token", err)
	}
	events = p.since(func() {
		if ended, err := p.RevokeSession(t.Context(), session.ID); err != nil || ended.Live() || ended.Status != "revoked" {
			t.Errorf("RevokeSession() = %+v, error %v", ended, err)
		}
	})
	if !slices.Equal(events, []string{clerk.SessionRevoked}) {
		t.Errorf("RevokeSession() came with the events %v", events)
	}
	if after, err := p.backend.Sessions(t.Context(), p.user); err != nil || !slices.Equal(after, before) {
		t.Errorf("Sessions() = %v, error %v, want those of before: %v", after, err, before)
	}
	if _, err := p.SessionToken(t.Context(), session.ID); !errors.Is(err, clerk.ErrNotFound) {
		t.Errorf("SessionToken() of a session that was revoked = %v, want ErrNotFound", err)
	}
	if _, err := p.RevokeSession(t.Context(), session.ID); !errors.Is(err, clerk.ErrNotFound) || !strings.HasPrefix(err.Error(), "POST /sessions/"+session.ID+"/revoke: ") {
		t.Errorf("RevokeSession() the second time = %v, want ErrNotFound", err)
	}
	if _, err := p.CreateSession(t.Context(), "user_unknown"); !errors.Is(err, clerk.ErrNotFound) {
		t.Errorf("CreateSession() for a user that does not exist = %v, want ErrNotFound", err)
	}
}

func TestProvisioner_ProvokesEventsWithAnOrganization(t *testing.T) {
	t.Parallel()
	p := provision(t, backendapi.Options{})
	tests := []struct {
		name, createdBy string
		created, ended  []string
	}{
		{"without members", "", []string{clerk.OrganizationCreated}, []string{clerk.OrganizationDeleted}},
		{
			"with an admin", p.user,
			[]string{clerk.OrganizationCreated, clerk.OrganizationMembershipCreated},
			[]string{clerk.OrganizationDeleted, clerk.OrganizationMembershipDeleted},
		},
	}
	for _, test := range tests {
		var id string
		var err error
		if events := p.since(func() { id, err = p.CreateOrganization(t.Context(), "Webhook test", test.createdBy) }); err != nil || !slices.Equal(events, test.created) {
			t.Fatalf("%s: CreateOrganization() = error %v with the events %v, want %v", test.name, err, events, test.created)
		}
		if page, err := p.backend.Organization(t.Context(), id); err != nil || len(page.Items) != 1 {
			t.Errorf("%s: the organization is not there: %v", test.name, err)
		}
		if events := p.since(func() { err = p.DeleteOrganization(t.Context(), id) }); err != nil || !slices.Equal(events, test.ended) {
			t.Errorf("%s: DeleteOrganization() = error %v with the events %v, want %v", test.name, err, events, test.ended)
		}
		if err := p.DeleteOrganization(t.Context(), id); !errors.Is(err, clerk.ErrNotFound) {
			t.Errorf("%s: DeleteOrganization() the second time = %v, want ErrNotFound", test.name, err)
		}
	}
	if _, err := p.CreateOrganization(t.Context(), "Webhook test", "user_unknown"); !errors.Is(err, clerk.ErrUnprocessable) {
		t.Errorf("CreateOrganization() of a user that does not exist = %v, want ErrUnprocessable", err)
	}
	without := provision(t, backendapi.Options{OrganizationsDisabled: true})
	if _, err := without.CreateOrganization(t.Context(), "Webhook test", ""); !errors.Is(err, clerk.ErrNotEnabled) {
		t.Errorf("CreateOrganization() without organizations = %v, want ErrNotEnabled", err)
	}
}

func TestProvisioner_SendsNothingThatItsInstanceOrAnIDForbids(t *testing.T) {
	t.Parallel()
	var requests int
	client := wired(t, func(w http.ResponseWriter, _ *http.Request) {
		requests++
		io.WriteString(w, "{}")
	})
	live := clerk.NewProvisioner(newBackend(t, client, func(o *clerk.BackendOptions) { o.SecretKey = secret.New("sk_live_NotARealKey") }))
	if _, err := live.CreateSession(t.Context(), "user_1"); !errors.Is(err, clerk.ErrDevelopmentOnly) {
		t.Errorf("CreateSession() in production = %v, want ErrDevelopmentOnly", err)
	}
	p := clerk.NewProvisioner(newBackend(t, client))
	const bad = "user_1/../" + personal
	for name, call := range map[string]func() error{
		"CreateSession":      func() error { _, err := p.CreateSession(t.Context(), bad); return err },
		"RevokeSession":      func() error { _, err := p.RevokeSession(t.Context(), bad); return err },
		"SessionToken":       func() error { _, err := p.SessionToken(t.Context(), bad); return err },
		"DeleteOrganization": func() error { return p.DeleteOrganization(t.Context(), bad) },
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), "not an id") || strings.Contains(err.Error(), personal) {
			t.Errorf("%s() = %v, want that this is no id, without it", name, err)
		}
	}
	if requests > 0 {
		t.Errorf("%d requests were sent, want none", requests)
	}
}

// What creates is sent again only where Clerk has said that it did nothing.
func TestProvisioner_NeverCreatesTwice(t *testing.T) {
	t.Parallel()
	creating := map[string]struct {
		body string
		call func(ctx context.Context, p *clerk.Provisioner) error
	}{
		"CreateSvixApp": {`{"svix_url":"https://app.svix.com/login#key=x"}`, func(ctx context.Context, p *clerk.Provisioner) error {
			_, err := p.CreateSvixApp(ctx)
			return err
		}},
		"SvixURL": {`{"svix_url":"https://app.svix.com/login#key=x"}`, func(ctx context.Context, p *clerk.Provisioner) error {
			_, err := p.SvixURL(ctx)
			return err
		}},
		"CreateSession": {`{"id":"sess_1","status":"active"}`, func(ctx context.Context, p *clerk.Provisioner) error {
			_, err := p.CreateSession(ctx, "user_1")
			return err
		}},
		"SessionToken": {`{"object":"token","jwt":"a.b.c"}`, func(ctx context.Context, p *clerk.Provisioner) error {
			_, err := p.SessionToken(ctx, "sess_1")
			return err
		}},
		"CreateOrganization": {`{"id":"org_1"}`, func(ctx context.Context, p *clerk.Provisioner) error {
			_, err := p.CreateOrganization(ctx, "Test", "")
			return err
		}},
	}
	broken := func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }
	silent := func(_ http.ResponseWriter, r *http.Request) {
		// Only a request that was read to its end tells that the client hangs up.
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}
	tests := []struct {
		name  string
		first http.HandlerFunc
		// sent is how many requests there are; unclear that the error says that it may have happened.
		sent    int
		unclear bool
	}{
		{"429", answer(http.StatusTooManyRequests, clerkErrors("too_many_requests"), "Retry-After", "1"), 2, false},
		{"502", answer(http.StatusBadGateway, "<html>"), 1, true},
		{"a broken connection", broken, 1, true},
		{"no answer", silent, 1, true},
		{"a web page", answer(http.StatusOK, "<html>"), 1, true},
		{"an answer cut in half", answer(http.StatusOK, `{"id"`, "Content-Length", "20"), 1, true},
		{"a success that says nothing", answer(http.StatusOK, `{"secret":"`+personal+`"}`), 1, true},
		{"422", answer(http.StatusUnprocessableEntity, clerkErrors("form_param_missing")), 1, false},
	}
	for method, create := range creating {
		for _, test := range tests {
			t.Run(method+" after "+test.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var mu sync.Mutex
					sent := 0
					next := script(test.first, answer(http.StatusOK, create.body))
					client := wired(t, func(w http.ResponseWriter, r *http.Request) {
						mu.Lock()
						sent++
						mu.Unlock()
						if r.Method != http.MethodPost {
							t.Errorf("%s %s was sent, want POST", r.Method, r.URL.Path)
						}
						next(w, r)
					})
					err := create.call(t.Context(), clerk.NewProvisioner(newBackend(t, client)))
					if sent != test.sent || (err == nil) != (test.sent > 1) {
						t.Fatalf("%d requests and error %v, want %d requests", sent, err, test.sent)
					}
					if err == nil {
						return
					}
					if unclear := strings.Contains(err.Error(), "may have been carried out"); unclear != test.unclear || strings.Contains(err.Error(), personal) {
						t.Errorf("error %v; that it may have happened = %t, want %t", err, unclear, test.unclear)
					}
				})
			})
		}
	}
}

func TestProvisioner_EndsWhatItBeganHoweverOftenItTakes(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(ctx context.Context, p *clerk.Provisioner) error{
		"RevokeSession": func(ctx context.Context, p *clerk.Provisioner) error {
			_, err := p.RevokeSession(ctx, "sess_1")
			return err
		},
		"DeleteOrganization": func(ctx context.Context, p *clerk.Provisioner) error { return p.DeleteOrganization(ctx, "sess_1") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var seen []clerk.Exchange
				client := wired(t, script(answer(http.StatusBadGateway, ""), answer(http.StatusOK, `{"id":"sess_1","status":"revoked"}`)))
				backend := newBackend(t, client, func(o *clerk.BackendOptions) { o.Observe = func(e clerk.Exchange) { seen = append(seen, e) } })
				if err := call(t.Context(), clerk.NewProvisioner(backend)); err != nil {
					t.Errorf("%s() after a 502 = error %v, want another attempt", name, err)
				}
				if len(seen) != 2 || seen[0].Method == http.MethodGet || strings.Contains(seen[0].Path, "sess_1") || seen[1].Duration > time.Second {
					t.Errorf("exchanges: %+v, want two that write, without the id", seen)
				}
			})
		})
	}
}
