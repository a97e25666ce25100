package main_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/testkit/lambdatest"
	"clerksync/shared/testkit/testdb"
)

// What is not an authentic delivery leaves no trace in the database, and no
// trace of its content in the logs.
func TestBootstrap_WritesNothingForWhatItRefuses(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	f := lambdatest.Start(t, binary(t), environment(db.Writer()))
	body := clerktest.User("user_1").Email("trace@example.com").Event(clerk.UserCreated, clerktest.Epoch)
	sign := func(at time.Time) http.Header { return clerktest.Sign(signingSecret, "msg_1", at, body) }
	with := func(change func(http.Header)) http.Header {
		header := sign(time.Now())
		change(header)
		return header
	}
	tests := []struct {
		name   string
		header http.Header
		body   []byte
		status int
		code   string
	}{
		{"no headers", http.Header{}, body, 400, "missing_header"},
		{"no id", with(func(h http.Header) { h.Del("svix-id") }), body, 400, "missing_header"},
		{"id twice", with(func(h http.Header) { h.Add("svix-id", "msg_2") }), body, 400, "duplicate_header"},
		{"timestamp not a number", with(func(h http.Header) { h.Set("svix-timestamp", "now") }), body, 400, "malformed_header"},
		{"milliseconds", with(func(h http.Header) { h.Set("svix-timestamp", strconv.FormatInt(time.Now().UnixMilli(), 10)) }), body, 400, "malformed_header"},
		{"signature without version", with(func(h http.Header) { h.Set("svix-signature", "AAAA") }), body, 400, "malformed_header"},
		{"signature of another version", with(func(h http.Header) { h.Set("svix-signature", "v1a,AAAA") }), body, 401, "invalid_signature"},
		{"wrong secret", clerktest.Sign("whsec_"+strings.Repeat("QUJD", 10), "msg_1", time.Now(), body), body, 401, "invalid_signature"},
		{"altered body", sign(time.Now()), append([]byte{' '}, body...), 401, "invalid_signature"},
		{"another id", with(func(h http.Header) { h.Set("svix-id", "msg_2") }), body, 401, "invalid_signature"},
		{"stale", sign(time.Now().Add(-6 * time.Minute)), body, 401, "timestamp_too_old"},
		{"future", sign(time.Now().Add(6 * time.Minute)), body, 401, "timestamp_too_new"},
		{"no body", http.Header{}, nil, 400, "missing_header"},
		{"empty body, signature of another", sign(time.Now()), nil, 401, "invalid_signature"},
		{"huge", sign(time.Now()), []byte(strings.Repeat("x", 1<<20+1)), 413, "body_too_large"},
		{"form", with(func(h http.Header) { h.Set("Content-Type", "application/x-www-form-urlencoded") }), body, 415, "unsupported_media_type"},
		{"compressed", with(func(h http.Header) { h.Set("Content-Encoding", "gzip") }), body, 415, "unsupported_encoding"},
	}
	for _, test := range tests {
		for _, encode := range []bool{false, true} {
			got, err := invoke(t.Context(), f, request(test.header, test.body, encode))
			if err != nil || got.Status != test.status || got.Code != test.code {
				t.Errorf("%s (base64 %t): %+v, %v, want %d %s", test.name, encode, got, err, test.status, test.code)
			}
		}
	}
	var rows int
	if err := db.Conn(t, db.Owner()).QueryRow(t.Context(), `
		select (select count(*) from public.users) + (select count(*) from clerk_sync.webhook_events)`).Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d rows were written, %v", rows, err)
	}
	if strings.Contains(f.Logs(), "trace@example.com") {
		t.Errorf("the logs quote a body:\n%s", f.Logs())
	}
}

// What is authentic and yet no event, or none that Postgres can hold, is
// acknowledged and kept; it would not get better by being sent again.
func TestBootstrap_KeepsAuthenticBodiesThatAreNoEvents(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	f := lambdatest.Start(t, binary(t), environment(db.Writer()))
	tests := []struct{ name, body, outcome string }{
		{"empty", "", "rejected"},
		{"not JSON", "<html>", "rejected"},
		{"array", "[]", "rejected"},
		{"null", "null", "rejected"},
		{"no type", `{"data":{}}`, "rejected"},
		{"two values", `{"type":"user.created","data":{}} {}`, "rejected"},
		{"byte order mark", "\ufeff" + `{"type":"user.created","data":{}}`, "rejected"},
		{"not UTF-8", "{\"type\":\"user.created\",\"data\":{\"id\":\"\xff\"}}", "rejected"},
		{"NUL byte", "{\"type\":\"user.created\",\"data\":{\"id\":\"\x00\"}}", "rejected"},
		{"too deep", strings.Repeat("[", 200_000), "rejected"},
		{"number beyond numeric", `{"type":"user.created","data":{"id":"user_9","n":1e999999}}`, "rejected"},
		// A name with a NUL keeps its user: the character alone is lost.
		{"escaped NUL", `{"type":"user.created","data":{"id":"user_nul","first_name":"a\u0000b","updated_at":1716883200000}}`, "applied"},
		{"unknown type", `{"type":"galaxy.created","data":{"id":"x"}}`, "ignored"},
	}
	for _, test := range tests {
		id := "msg_" + strings.ReplaceAll(test.name, " ", "_")
		got, err := invoke(t.Context(), f, request(clerktest.Sign(signingSecret, id, time.Now(), []byte(test.body)), []byte(test.body), true))
		if err != nil || got.Status != http.StatusOK || got.Outcome != test.outcome {
			t.Errorf("%s: %+v, %v, want 200 %s\n%s", test.name, got, err, test.outcome, f.Logs())
		}
	}
	conn := db.Conn(t, db.Owner())
	var name string
	var users, events int
	if err := conn.QueryRow(t.Context(), `
		select (select first_name from public.users where clerk_id = 'user_nul'),
		       (select count(*) from public.users), (select count(*) from clerk_sync.webhook_events)`).Scan(&name, &users, &events); err != nil {
		t.Fatal(err)
	}
	if name != "a\ufffdb" || users != 1 || events != len(tests) {
		t.Errorf("name %q, %d users, %d events, want \"a\ufffdb\", 1, %d", name, users, events, len(tests))
	}
}
