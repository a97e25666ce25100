// Package clitest runs command lines in the process of a test, at consoles, terminals
// and Clerk instances made for it. Production code does not import it.
package clitest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/jwtdiag/jwttest"
)

// Result is what a command line leaves.
type Result struct {
	Code           int
	Stdout, Stderr string
}

// Run executes one command line of the commands of C, with nothing in its
// environment but the given settings.
func Run[C any](t *testing.T, settings map[string]string, args ...string) Result {
	t.Helper()
	return On[C](t.Context(), console.Console{}, settings, args...)
}

// On does so at a console, of which the streams that it lacks are made.
func On[C any](ctx context.Context, c console.Console, settings map[string]string, args ...string) Result {
	var stdout, stderr bytes.Buffer
	if c.Stdin == nil {
		c.Stdin = strings.NewReader("")
	}
	if c.Stdout == nil {
		c.Stdout = &stdout
	}
	if c.Stderr == nil {
		c.Stderr = &stderr
	}
	c.Lookup = func(key string) (string, bool) { value, ok := settings[key]; return value, ok }
	code := commandline.Run[C](ctx, args, c, kong.Vars{"version": "dev"})
	r := Result{code, stdout.String(), stderr.String()}
	r.keepsSecrets(args)
	return r
}

// meantToPrint are the commands whose purpose is a secret on stdout, or to show the secrets of a double.
var meantToPrint = []string{"login", "dev"}

// keepsSecrets ends the test binary where a command has printed what can only be a secret: whatever a test looks at, this
// holds for every command line of every test.
func (r Result) keepsSecrets(args []string) {
	if slices.ContainsFunc(args, func(arg string) bool { return slices.Contains(meantToPrint, arg) }) {
		return
	}
	for _, text := range []string{r.Stdout, r.Stderr} {
		if console.SecretShape.MatchString(text) {
			panic(fmt.Sprintf("clerksync %q has printed a secret, exit %d", args, r.Code))
		}
	}
}

// AboutToken is a command line of test-jwt at the time of package jwttest's tokens.
func AboutToken[C any](ctx context.Context, settings map[string]string, input io.Reader, args ...string) Result {
	c := console.Console{Stdin: input, StdoutTTY: true, StderrTTY: true, Now: jwttest.Clock}
	settings = maps.Clone(settings)
	if settings == nil {
		settings = map[string]string{}
	}
	settings["NO_COLOR"] = "1"
	return On[C](ctx, c, settings, append([]string{"test-jwt"}, args...)...)
}

// JWTSettings are those of the instance and the project that package jwttest's
// tokens are right for, without a database.
func JWTSettings(t *testing.T) map[string]string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/jwks.json", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(jwttest.JWKS()) })
	mux.HandleFunc("GET /v1/projects/abcdefghijklmnopqrst/config/auth/third-party-auth", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(jwttest.Registered())
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return map[string]string{
		"CLERK_ISSUER": jwttest.Issuer, "CLERK_JWKS_URL": server.URL + "/.well-known/jwks.json", "CLERK_INSTANCE_ID": jwttest.Instance,
		"CLERK_AUTHORIZED_PARTIES": jwttest.Origin, "SUPABASE_PROJECT_REF": "abcdefghijklmnopqrst", "SUPABASE_ACCESS_TOKEN": "sbp_test", "SUPABASE_API_URL": server.URL,
	}
}
