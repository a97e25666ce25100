package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/testkit/lambdatest"
)

// longestEvent is the longest that Lambda hands to a function, in bytes.
const longestEvent = 6 << 20

// attack is a request that a stranger sends, without the signing secret.
type attack struct {
	name    string
	payload []byte
	// status and code are the answer's; status 0 stands for an error that API
	// Gateway answers 500.
	status int
	code   string
}

func attacks() []attack {
	body := clerktest.User("user_1").Email("trace@example.com").Event(clerk.UserCreated, clerktest.Epoch)
	wrong := "whsec_" + strings.Repeat("QUJD", 10)
	sign := func(body []byte) http.Header { return clerktest.Sign(wrong, "msg_1", time.Now(), body) }
	with := func(name, value string) http.Header {
		header := sign(body)
		header.Set(name, value)
		return header
	}
	many := "v1," + strings.Repeat("A", 43) + "="
	// The body that takes the most room in an event, for its length.
	fullest := bytes.Repeat([]byte(`"`), 1<<20)
	return []attack{
		{"unsigned", request(http.Header{}, body, false), 400, "missing_header"},
		{"unsigned, 1 MiB", request(http.Header{}, bytes.Repeat([]byte("x"), 1<<20), false), 400, "missing_header"},
		{"wrongly signed", request(sign(body), body, false), 401, "invalid_signature"},
		{"wrongly signed, base64", request(sign(body), body, true), 401, "invalid_signature"},
		{"wrongly signed, 1 MiB", request(sign(fullest), fullest, false), 401, "invalid_signature"},
		{"wrongly signed, 1 MiB as base64", request(sign(fullest), fullest, true), 401, "invalid_signature"},
		{"20 signatures", request(with("svix-signature", strings.TrimSpace(strings.Repeat(many+" ", 20))), body, false), 401, "invalid_signature"},
		{"signatures of 10 kB", request(with("svix-signature", strings.TrimSpace(strings.Repeat(many+" ", 200))), body, false), 400, "malformed_header"},
		{"id of 10 kB", request(with("svix-id", strings.Repeat("m", 10<<10)), body, false), 400, "malformed_header"},
		{"id of 256 quotes", request(with("svix-id", strings.Repeat(`"`, 256)), body, false), 401, "invalid_signature"},
		{"timestamp of 10 kB", request(with("svix-timestamp", strings.Repeat("1", 10<<10)), body, false), 400, "malformed_header"},
		{"content type of 10 kB", request(with("Content-Type", "text/"+strings.Repeat("x", 10<<10)), body, false), 415, "unsupported_media_type"},
		{"200 other headers", request(otherHeaders(sign(body)), body, false), 401, "invalid_signature"},
		{"just over 1 MiB", request(sign(body), bytes.Repeat([]byte("x"), 1<<20+1), false), 413, "body_too_large"},
		{"6 MiB", request(sign(body), bytes.Repeat([]byte("x"), longestEvent-4<<10), false), 413, "body_too_large"},
		{"6 MiB as base64", request(sign(body), bytes.Repeat([]byte("x"), (longestEvent-4<<10)/4*3), true), 413, "body_too_large"},
		{"6 MiB of brackets", bytes.Repeat([]byte("["), longestEvent), 413, "body_too_large"},
		{"another path", bytes.ReplaceAll(request(sign(body), body, false), []byte(lambdatest.WebhookSegment), []byte("wp-login.php")), 404, "not_found"},
		{"base64 that is none", bytes.Replace(request(sign(body), []byte("????"), false), []byte(`"isBase64Encoded":false`), []byte(`"isBase64Encoded":true`), 1), 400, "malformed_body"},
		// Only who may invoke the function can send what API Gateway does not make.
		{"no event", []byte(`{}`), 0, ""},
		{"no JSON", []byte(`[[[`), 0, ""},
	}
}

func otherHeaders(header http.Header) http.Header {
	for i := range 200 {
		header.Set(fmt.Sprintf("x-%d", i), strings.Repeat("v", 40))
	}
	return header
}

// send invokes the function with an attack and checks the answer.
func (a attack) send(t testing.TB, f *lambdatest.Function) {
	t.Helper()
	got, err := invoke(t.Context(), f, a.payload)
	if a.status == 0 {
		if _, ok := errors.AsType[*lambdatest.FunctionError](err); !ok {
			t.Fatalf("%s: answered %+v, %v, want an error", a.name, got, err)
		}
		return
	}
	if err != nil || got.Status != a.status || got.Code != a.code {
		t.Fatalf("%s: answered %+v, %v, want %d %s", a.name, got, err, a.status, a.code)
	}
}

// underAttack starts the function without a database: none of this gets that far.
func underAttack(t testing.TB) *lambdatest.Function {
	t.Helper()
	return lambdatest.Start(t, binary(t), environment("postgresql://clerksync_writer:hidden@127.0.0.1:1/postgres"))
}

// maxRefusalLog bounds what one refused request may write, in bytes: CloudWatch
// takes money by the byte. It is a log line and two of metrics.
const maxRefusalLog = 1536

func TestBootstrap_LogsLittleForWhatItRefuses(t *testing.T) {
	t.Parallel()
	f := underAttack(t)
	// The first one reads the configuration, which may have something to say.
	attacks()[0].send(t, f)
	for _, a := range attacks() {
		before := len(f.Logs())
		a.send(t, f)
		if written := f.Logs()[before:]; len(written) > maxRefusalLog {
			t.Errorf("%s: %d bytes of logs, want at most %d:\n%.3000s", a.name, len(written), maxRefusalLog, written)
		}
	}
	if strings.Contains(f.Logs(), "trace@example.com") || strings.Contains(f.Logs(), lambdatest.WebhookSegment) {
		t.Errorf("the logs quote a body or the path:\n%s", f.Logs())
	}
}

// The template's MemorySize, 256 MB, is twice what the longest events take, and more.
func TestBootstrap_FitsIntoItsMemoryUnderTheLongestEvents(t *testing.T) {
	t.Parallel()
	if lambdatest.RaceDetector {
		t.Skip("the race detector needs memory of its own")
	}
	f := underAttack(t)
	for range 5 {
		for _, a := range attacks() {
			if len(a.payload) > 1<<20 {
				a.send(t, f)
			}
		}
	}
	const half = 128 << 20
	if peak := f.PeakMemory(t); peak > half {
		t.Errorf("the peak is %.1f MiB, want at most %d", mebibytes(peak), half>>20)
	}
}

// BenchmarkAttack prints what each refused request costs the function: time on
// a processor and bytes of logs. `make attack` runs it.
func BenchmarkAttack(b *testing.B) {
	for _, a := range attacks() {
		b.Run(strings.ReplaceAll(a.name, " ", "_"), func(b *testing.B) {
			f := underAttack(b)
			a.send(b, f)
			before, logged := f.CPUTime(b), len(f.Logs())
			for b.Loop() {
				a.send(b, f)
			}
			b.ReportMetric(float64((f.CPUTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/request")
			b.ReportMetric(float64(len(f.Logs())-logged)/float64(b.N), "log-B/request")
			b.ReportMetric(mebibytes(f.PeakMemory(b)), "peak-MiB")
			b.ReportMetric(0, "ns/op")
		})
	}
}
