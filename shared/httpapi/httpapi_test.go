package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/httpapi"
)

func TestAnswer_SendsWhatGoesWithItsStatus(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status            int
		after             time.Duration
		allow, retryAfter string
	}{
		{http.StatusOK, time.Second, "", ""},
		{http.StatusBadRequest, time.Second, "", ""},
		{http.StatusMethodNotAllowed, time.Second, "GET, POST", ""},
		{http.StatusServiceUnavailable, 0, "", "0"},
		// A wait that is cut short would be in vain.
		{http.StatusServiceUnavailable, 1001 * time.Millisecond, "", "2"},
	} {
		w := httptest.NewRecorder()
		w.Header().Set("Content-Security-Policy", "sandbox")
		httpapi.Answer{Status: test.status, Body: []byte(`{}`), Allow: "GET, POST", RetryAfter: test.after}.Write(w)
		got := []string{w.Header().Get("Allow"), w.Header().Get("Retry-After"), w.Header().Get("Content-Type"), w.Header().Get("Cache-Control"), w.Header().Get("Content-Security-Policy"), w.Body.String()}
		if diff := cmp.Diff([]string{test.allow, test.retryAfter, "application/json", "no-store", "sandbox", `{}`}, got); diff != "" || w.Code != test.status {
			t.Errorf("answer %d after %v: status %d, headers and body (-want +got):\n%s", test.status, test.after, w.Code, diff)
		}
	}
}

func TestRefusal_IsJSONWhateverItsMessage(t *testing.T) {
	t.Parallel()
	got := string(httpapi.NewRefusal(http.StatusBadRequest, "unknown_field", `There is no field "a\b".`).JSON())
	if want := `{"error":{"code":"unknown_field","message":"There is no field \"a\\b\"."}}`; got != want {
		t.Errorf("JSON = %s, want %s", got, want)
	}
}

// later is an error that knows when to come again.
type later time.Duration

func (later) Error() string { return "later" }

func (l later) RetryAfter() time.Duration { return time.Duration(l) }

func TestRetryAfter_TakesTheCausesWordWithinReason(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		cause error
		want  time.Duration
	}{
		{nil, 5 * time.Second},
		{io.EOF, 5 * time.Second},
		{later(time.Minute), time.Minute},
		{fmt.Errorf("storing: %w", later(time.Minute)), time.Minute},
		{later(0), 5 * time.Second},
		{later(-time.Minute), 5 * time.Second},
		{later(24 * time.Hour), time.Hour},
	} {
		if got := httpapi.RetryAfter(test.cause, 5*time.Second); got != test.want {
			t.Errorf("RetryAfter(%#v) = %v, want %v", test.cause, got, test.want)
		}
	}
}

func TestMediaType_TakesOneTypeInUTF8(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		values []string
		want   string // "" is refused
	}{
		{nil, ""},
		{[]string{""}, ""},
		{[]string{"application/json"}, "application/json"},
		{[]string{"Application/JSON; Charset=UTF-8"}, "application/json"},
		{[]string{"application/json; charset=utf-16"}, ""},
		{[]string{"application/json; charset"}, ""},
		{[]string{"application/json", "application/json"}, ""},
		// Joined by a gateway.
		{[]string{"application/json, application/json"}, ""},
	} {
		got, ok := httpapi.MediaType(http.Header{"Content-Type": test.values})
		if got != test.want || ok != (test.want != "") {
			t.Errorf("MediaType(%q) = %q, %t, want %q", test.values, got, ok, test.want)
		}
	}
}

func TestReadBody_StopsAtTheLimit(t *testing.T) {
	t.Parallel()
	tooLarge := httpapi.BodyTooLarge("More than a test needs.")
	for _, test := range []struct {
		body io.Reader
		want httpapi.Refusal
	}{
		{strings.NewReader(""), httpapi.Refusal{}},
		{strings.NewReader("12345678"), httpapi.Refusal{}},
		{strings.NewReader("123456789"), tooLarge},
		{io.MultiReader(strings.NewReader("1234"), broken{}), httpapi.UnreadableBody},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", test.body)
		_, err := httpapi.ReadBody(httptest.NewRecorder(), r, 8, time.Minute)
		var got httpapi.Refusal
		if err != nil {
			got = httpapi.BodyRefusal(err, tooLarge)
		}
		if got != test.want {
			t.Errorf("ReadBody = %v, refused as %+v, want %+v", err, got, test.want)
		}
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the line is dead") }

// recovered is the cause that a handler makes of a panic.
func recovered(f func()) (cause error) {
	defer func() { cause = httpapi.Panicked(recover()) }()
	f()
	return nil
}

func TestPanicked_KeepsNothingOfThePayload(t *testing.T) {
	t.Parallel()
	var none []int
	for _, test := range []struct {
		f    func()
		want string
	}{
		{func() { panic("a payload") }, "panic of type string"},
		{func() { panic(errors.New("a payload")) }, "panic of type *errors.errorString"},
		{func() { _ = none[len(none)] }, "panic: runtime error: index out of range [0] with length 0"},
	} {
		if got := recovered(test.f).Error(); got != test.want {
			t.Errorf("Panicked = %q, want %q", got, test.want)
		}
	}
}

func TestLine_IsBoundedButForItsCause(t *testing.T) {
	t.Parallel()
	line := httpapi.NewLine(http.StatusInternalServerError, 1500*time.Microsecond+400)
	line.Add("type", strings.Repeat("x", 1000))
	line.Add("code", "")
	line.AddCause(nil)
	line.AddCause(fmt.Errorf("storing: %w", recovered(func() { panic(1) })))

	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).LogAttrs(context.Background(), slog.LevelInfo, "handled", line...)
	got := log.String()
	for _, want := range []string{"status=500", "duration_ms=1.5 ", "type=" + strings.Repeat("x", 128) + " ", `error="storing: panic of type int"`, "recovered"} {
		if !strings.Contains(got, want) {
			t.Errorf("line = %s, want %s in it", got, want)
		}
	}
	if strings.Contains(got, "code=") || strings.Count(got, "error=") != 1 {
		t.Errorf("line = %s, want nothing empty in it", got)
	}
}
