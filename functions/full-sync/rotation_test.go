package main_test

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/fullsync"
	"clerksync/shared/testkit/lambdatest"
	"clerksync/shared/testkit/moto"
	"clerksync/shared/testkit/testdb"
)

// A secret key that is replaced is revoked while a run still holds it.
func TestBootstrap_GoesOnWithAnotherSecretKey(t *testing.T) {
	t.Parallel()
	moto.Need(t)
	const replacement = "sk_live_" + "TheOneThatReplacesTheOther"
	binary := lambdatest.BuildForgetful(t, "clerksync/functions/full-sync")
	for _, tt := range []struct {
		name string
		// stored is whether the replacement is in the secret when the first key is revoked.
		stored bool
	}{
		{"stored before the first one is revoked", true},
		{"stored after that", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			var requests atomic.Int64
			var revoke sync.Once
			var store func()
			var strict atomic.Pointer[backendapi.API]
			instance := newDouble(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				// In the middle of a run, with some of it done.
				if requests.Add(1) >= 6 {
					revoke.Do(func() {
						if tt.stored {
							store()
						}
						// A function reads its secret again at most every 200 ms here, and has read it just now.
						<-time.After(250 * time.Millisecond)
					})
					next = strict.Load()
				}
				next.ServeHTTP(w, r)
			})
			strict.Store(backendapi.New(instance.Instance, backendapi.Options{SecretKeys: []string{replacement}}))
			settings := instance.environment(db.Writer())
			kept := moto.NewSecret(t, settings)
			store = func() {
				settings["CLERK_SECRET_KEY"] = replacement
				kept.Put(t, settings)
			}
			f := lambdatest.Start(t, binary, kept.Environment())

			report, err := invoke(t, f, scheduled(t), enough)
			if !tt.stored {
				if !keyRefused(err) {
					t.Fatalf("with the revoked key: %+v, %v, want an error of the type key_refused", report, err)
				}
				store()
				// Lambda tries a failed event again, though after a minute.
				for report, err = invoke(t, f, scheduled(t), enough); keyRefused(err) && requests.Load() < 10_000; {
					report, err = invoke(t, f, scheduled(t), enough)
				}
			}
			if err != nil || report.State != fullsync.Complete || !report.Resumed || report.Users.Created != 1700 {
				t.Errorf("the run = %+v, %v, want it resumed and complete\n%.8000s", report, err, f.Logs())
			}
			instance.check(t, db)
			for _, leak := range []string{"sk_live_", "postgres://"} {
				if strings.Contains(f.Logs(), leak) {
					t.Errorf("the logs hold %q", leak)
				}
			}
		})
	}
}

func keyRefused(err error) bool {
	failure, ok := errors.AsType[*lambdatest.FunctionError](err)
	return ok && bytes.Contains(failure.Payload, []byte(`"errorType":"key_refused"`))
}
