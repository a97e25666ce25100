package createwebhooks_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/joho/godotenv"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/svix"
	"clerksync/shared/mirror"
	"clerksync/shared/secret"
	"clerksync/shared/testkit/testdb"
	"clerksync/shared/webhook"
)

// Signing secrets of three endpoints.
var (
	one   = "whsec_" + strings.Repeat("A", 32)
	two   = "whsec_" + strings.Repeat("B", 32)
	three = "whsec_" + strings.Repeat("C", 32)
)

// world is an instance of Clerk with endpoints, what answers at their URL, and a folder with a file of settings.
type world struct {
	*testing.T
	instance *clerkinstance.Instance
	db       *testdb.DB
	env, url string
	settings map[string]string

	mu      sync.Mutex
	senders map[string]*svix.Sender
	api     []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, db: testdb.New(t), env: filepath.Join(t.TempDir(), ".env"), senders: map[string]*svix.Sender{}}
	w.instance = clerkinstance.New(clerkinstance.Options{Seed: 5, Emit: func(e clerkinstance.Event) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, s := range w.senders {
			s.Send(e)
		}
	}})
	api := backendapi.New(w.instance, backendapi.Options{SecretKeys: []string{clitest.ClerkKey}})
	clerk := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.api = append(w.api, r.Method+" "+r.URL.Path)
		w.mu.Unlock()
		api.ServeHTTP(rw, r)
	}))
	t.Cleanup(clerk.Close)

	config, err := pgxpool.ParseConfig(w.db.Writer())
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	db, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	// Like a function that reads the file at each delivery.
	handler, err := webhook.New(webhook.Options{Store: mirror.New(db), Configure: func(context.Context) (webhook.Configuration, error) {
		secrets := w.secrets()
		if len(secrets) == 0 {
			return webhook.Configuration{}, errors.New("no signing secret is set")
		}
		return webhook.Configuration{Secrets: secrets}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	endpoint := httptest.NewServer(handler)
	t.Cleanup(endpoint.Close)
	w.url = endpoint.URL + webhook.Path
	w.settings = map[string]string{"DATABASE_URL": w.db.Writer(), "CLERK_SECRET_KEY": clitest.ClerkKey, "CLERK_API_URL": clerk.URL + "/v1", "NO_COLOR": "1"}
	return w
}

// file is what the file of settings has.
func (w *world) file() map[string]string {
	values, err := godotenv.Read(w.env)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		w.Error(err)
	}
	return values
}

func (w *world) secrets() (list []secret.Value) {
	for text := range strings.SplitSeq(w.file()["CLERK_WEBHOOK_SIGNING_SECRET"], ",") {
		if text != "" {
			list = append(list, secret.New(text))
		}
	}
	return list
}

// endpoint has Clerk deliver to the URL under a signing secret.
func (w *world) endpoint(signing string) {
	w.Helper()
	s, err := svix.NewSender(svix.SenderOptions{Speed: 1e6, Endpoints: []svix.Endpoint{{URL: w.url, Secret: secret.New(signing)}}})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(s.Close)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.senders[signing] = s
}

// remove deletes an endpoint.
func (w *world) remove(signing string) {
	w.mu.Lock()
	s := w.senders[signing]
	delete(w.senders, signing)
	w.mu.Unlock()
	s.Close()
}

// happens has something change in Clerk, and waits for its deliveries.
func (w *world) happens() {
	w.Helper()
	if _, err := w.instance.SignUp(clerkinstance.Person{FirstName: "Ines"}); err != nil {
		w.Fatal(err)
	}
	w.mu.Lock()
	senders := make([]*svix.Sender, 0, len(w.senders))
	for _, s := range w.senders {
		senders = append(senders, s)
	}
	w.mu.Unlock()
	for _, s := range senders {
		if err := s.Drain(w.Context()); err != nil {
			w.Fatal(err)
		}
	}
}

// asked counts what Clerk was asked by what it begins with, up to a slash.
func (w *world) asked(call string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.api {
		if one == call || strings.HasSuffix(call, "/") && strings.HasPrefix(one, call) {
			n++
		}
	}
	return n
}

// run is the command without a terminal.
func (w *world) run(args ...string) clitest.Result {
	w.Helper()
	return clitest.Run[program](w.T, w.settings, append([]string{"create-webhooks", "--into", w.env}, args...)...)
}

// settingsFile writes the file of settings with these signing secrets.
func (w *world) settingsFile(signing string) {
	w.Helper()
	if err := os.WriteFile(w.env, []byte("CLERK_WEBHOOK_SIGNING_SECRET="+signing+"\n"), 0o600); err != nil {
		w.Fatal(err)
	}
}

// written is a file with a text.
func (w *world) written(text string) string {
	w.Helper()
	path := filepath.Join(w.TempDir(), "text")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
	return path
}
