package doctor_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"clerksync/shared/doctor"
	"clerksync/shared/finding"
	"clerksync/shared/mirror"
	"clerksync/shared/secret"
	"clerksync/shared/testkit/managementdouble"
	"clerksync/shared/webhook"
)

// found is one of a report.
func found(t *testing.T, report doctor.Report, id string) finding.Finding {
	t.Helper()
	for _, f := range report.Findings {
		if f.ID == id {
			return f
		}
	}
	t.Fatalf("there is no finding %s", id)
	return finding.Finding{}
}

func TestExamine_LooksWhoAnswersAtTheWebhooksAddress(t *testing.T) {
	t.Parallel()
	endpoint, err := webhook.New(webhook.Options{
		Store: mirror.New(nil),
		Configure: func(context.Context) (webhook.Configuration, error) {
			return webhook.Configuration{Secrets: []secret.Value{secret.New("whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	// As the gateway of AWS hands it over.
	serve := func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = webhook.Path
		endpoint.ServeHTTP(w, r)
	}
	for name, test := range map[string]struct {
		serve  http.HandlerFunc
		status finding.Status
		says   string
	}{
		"the endpoint": {serve, finding.Pass, "refused a message without a signature"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://www.example.com/webhooks/clerk", http.StatusMovedPermanently)
		}, finding.Fail, "www.example.com"},
		"no route": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"message":"Not Found"}`))
		}, finding.Fail, "answered 404"},
		"a login page": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>Log in</html>")) }, finding.Fail, "a login page"},
		"a firewall":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, finding.Fail, "answered 403"},
		"a stranger's 400": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":"bad request"}`))
		}, finding.Fail, "answered 400"},
		"an answer cut off": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, finding.Fail, "EOF"},
		"it cannot work yet": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"error":{"code":"not_configured","message":"m"}}`))
		}, finding.Fail, "not_configured"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(test.serve)
			t.Cleanup(server.Close)
			settings := map[string]string{"CLERK_SECRET_KEY": secretKey, "DATABASE_URL": "postgresql://clerksync_writer:secret@127.0.0.1:9/postgres?sslmode=disable", "CLERK_API_URL": "http://127.0.0.1:9/v1"}
			const segment = "/webhooks/clerk/0123456789abcdef"
			report := doctor.Examine(t.Context(), doctor.Options{
				Lookup: func(key string) (string, bool) { value, ok := settings[key]; return value, ok }, WebhookURL: server.URL + segment,
			})
			f := found(t, report, "webhook.endpoint")
			if f.Status != test.status || !strings.Contains(f.Detail, test.says) {
				t.Errorf("%+v, want %s that says %q", f, test.status, test.says)
			}
			if strings.Contains(f.Detail+f.Remedy, segment) {
				t.Errorf("it shows the address's own segment: %+v", f)
			}
		})
	}
}

func TestExamine_TellsOfWhatCameLater(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*setup)
		id     string
		status finding.Status
		says   string
	}{
		"advisors that find errors": {func(s *setup) {
			s.management.Lints = []managementdouble.Lint{{Name: "rls_disabled_in_public", Level: "ERROR", Detail: "Table public.x is public"}, {Name: "extension_in_public", Level: "WARN", Detail: "d"}}
		}, "supabase.advisors", finding.Fail, "rls_disabled_in_public: Table public.x"},
		"advisors that warn": {func(s *setup) {
			s.management.Lints = []managementdouble.Lint{{Name: "auth_otp_long_expiry", Level: "WARN", Detail: "d"}}
		}, "supabase.advisors", finding.Warn, "auth_otp_long_expiry"},
		"functions of another version": {func(s *setup) {
			s.version = "v0.2.0"
			s.execute(`update clerk_sync.sync_runs set report = jsonb_set(report, '{version}', '"v0.1.0"')`)
		}, "sync.version", finding.Warn, "made by v0.1.0, this is v0.2.0"},
		"functions of this version": {func(s *setup) {
			s.version = "v0.2.0"
			s.execute(`update clerk_sync.sync_runs set report = jsonb_set(report, '{version}', '"v0.2.0"')`)
		}, "sync.version", finding.Pass, "v0.2.0"},
		"callers played by the owner": {func(s *setup) {
			s.deep, s.settings["DATABASE_URL"] = true, s.db.Owner()
		}, "rls.probe", finding.Pass, "4 tables were probed"},
		"a table whose policy lets strangers in": {func(s *setup) {
			s.deep, s.settings["DATABASE_URL"] = true, s.db.Owner()
			s.execute(`create table public.notes (id int primary key, user_id text not null); alter table public.notes enable row level security;
				grant select on public.notes to authenticated; create policy everybody on public.notes for select to authenticated using (true)`)
		}, "rls.probe", finding.Warn, "public.notes"},
		"callers that the writer may not play": {func(s *setup) { s.deep = true }, "rls.probe", finding.Skip, "may not"},
		"a copy that has lost a user": {func(s *setup) {
			s.deep = true
			s.execute(`delete from public.organization_memberships`)
			s.execute(`delete from public.users where clerk_id = (select max(clerk_id) from public.users)`)
		}, "sync.drift", finding.Warn, "1 differ"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &setup{T: t, users: 12, differs: test.change}
			f := found(t, s.examine("sound"), test.id)
			if f.Status != test.status || !strings.Contains(f.Detail, test.says) {
				t.Errorf("%+v, want %s that says %q", f, test.status, test.says)
			}
		})
	}
}
