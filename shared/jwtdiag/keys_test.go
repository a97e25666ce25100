package jwtdiag_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"clerksync/shared/finding"
	"clerksync/shared/jwtdiag"
	"clerksync/shared/jwtdiag/jwttest"
	"clerksync/shared/jwtdiag/keyset"
	"clerksync/shared/supabase/management"
)

// Whatever is wrong with where the keys are is said, and is no verdict.
func TestDiagnose_SaysWhatIsWrongWithTheKeys(t *testing.T) {
	t.Parallel()
	private := `{"keys":[{"kty":"oct","kid":"` + jwttest.Instance + `","k":"c2VjcmV0"}]}`
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"away":            {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, "502"},
		"not found":       {http.NotFound, "404"},
		"empty":           {func(http.ResponseWriter, *http.Request) {}, "JSON"},
		"a page":          {write("<html>sign in</html>"), "JSON"},
		"other JSON":      {write(`{"issuer":"https://x"}`), "key"},
		"no keys":         {write(`{"keys":[]}`), "no"},
		"a shared secret": {write(private), "oct"},
		"too large":       {write(strings.Repeat("[", 300<<10)), "KiB"},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "500")
			_, _ = w.Write([]byte(`{"keys":[`))
		}, "broke off"},
		"redirect to a private address": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://169.254.169.254/latest/meta-data", http.StatusFound)
		}, "metadata"},
		"redirect in circles": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) }, "redirect"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(test.answer)
			t.Cleanup(server.Close)
			source, err := keyset.NewSource(keyset.SourceOptions{URL: server.URL})
			if err != nil {
				t.Fatal(err)
			}
			options := jwttest.Options()
			options.Keys = source
			report := jwtdiag.New(options).Diagnose(t.Context(), jwtdiag.Request{Token: jwttest.Sign(jwttest.Header(), jwttest.Claims())})
			f := found(t, report, "jwks.fetch")
			if f.Status != finding.Fail || !strings.Contains(f.Detail, test.want) || f.Remedy == "" {
				t.Errorf("%+v, want a failure with %q", f, test.want)
			}
			if report.Verdicts.Clerk.Outcome != jwtdiag.Unknown || report.Cause != "jwks.fetch" {
				t.Errorf("verdict %+v, cause %s", report.Verdicts.Clerk, report.Cause)
			}
			sound(t, name, report)
		})
	}
}

func write(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
}

// silent never answers.
type silent struct{}

func (silent) Keys(ctx context.Context, _ string) (keyset.Set, error) {
	<-ctx.Done()
	return keyset.Set{}, context.Cause(ctx)
}

func (silent) ThirdPartyAuth(ctx context.Context) ([]management.ThirdPartyAuth, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func TestDiagnose_DoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	token := jwttest.Sign(jwttest.Header(), jwttest.Claims())
	synctest.Test(t, func(t *testing.T) {
		options := jwttest.Options()
		options.Keys, options.Providers = silent{}, silent{}
		report := jwtdiag.New(options).Diagnose(context.Background(), jwtdiag.Request{Token: token})
		for _, id := range []string{"jwks.fetch", "supabase.provider"} {
			if f := found(t, report, id); !strings.Contains(f.Detail, "within 5s") {
				t.Errorf("%+v, want the limit", f)
			}
		}
	})
}

// exposed are keys with a private one among them.
type exposed struct{ keys jwtdiag.Keys }

func (e exposed) Keys(ctx context.Context, kid string) (keyset.Set, error) {
	set, err := e.keys.Keys(ctx, kid)
	set.Exposed, set.Unusable = true, []string{"the key k1 shows its private part"}
	return set, err
}

func TestDiagnose_AlarmsWhereAPrivateKeyIsPublic(t *testing.T) {
	t.Parallel()
	options := jwttest.Options()
	options.Keys = exposed{options.Keys}
	report := jwtdiag.New(options).Diagnose(t.Context(), jwtdiag.Request{Token: jwttest.Sign(jwttest.Header(), jwttest.Claims())})
	if f := found(t, report, "jwks.fetch"); f.Status != finding.Fail || !strings.Contains(f.Title, "ALARM") || report.Cause != "jwks.fetch" {
		t.Errorf("%+v, cause %s", f, report.Cause)
	}
}

// stale are keys that could not be fetched again.
type stale struct{ keys jwtdiag.Keys }

func (s stale) Keys(ctx context.Context, kid string) (keyset.Set, error) {
	set, err := s.keys.Keys(ctx, kid)
	set.Stale = errors.New("no answer")
	return set, err
}

func TestDiagnose_VerifiesWithOlderKeysAndSaysSo(t *testing.T) {
	t.Parallel()
	options := jwttest.Options()
	options.Keys = stale{options.Keys}
	report := jwtdiag.New(options).Diagnose(t.Context(), jwtdiag.Request{Token: jwttest.Sign(jwttest.Header(), jwttest.Claims())})
	if f := found(t, report, "jwks.fetch"); f.Status != finding.Warn || report.Verdicts.Clerk.Outcome != jwtdiag.Accepted {
		t.Errorf("%+v, verdict %+v", f, report.Verdicts.Clerk)
	}
}
