package apigateway_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/google/go-cmp/cmp"

	"clerksync/functions/internal/apigateway"
	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/mirror"
	"clerksync/shared/secret"
	"clerksync/shared/telemetry"
	"clerksync/shared/webhook"
)

// event returns an event of testdata, after a change to it.
func event(t testing.TB, name string, change func(*events.APIGatewayV2HTTPRequest)) []byte {
	t.Helper()
	payload, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if change == nil {
		return payload
	}
	var e events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(payload, &e); err != nil {
		t.Fatal(err)
	}
	change(&e)
	if payload, err = json.Marshal(e); err != nil {
		t.Fatal(err)
	}
	return payload
}

// invoke returns what the handler makes of the event.
func invoke(t testing.TB, handler http.HandlerFunc, payload []byte) events.APIGatewayV2HTTPResponse {
	t.Helper()
	// The way that lambda.Start takes.
	out, err := lambda.NewHandler(apigateway.New(handler)).Invoke(t.Context(), payload)
	if err != nil {
		t.Fatalf("Invoke(%.200s) = error %v", payload, err)
	}
	var response events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(out, &response); err != nil {
		t.Fatalf("Invoke(%.200s) = %s, which is no response: %v", payload, out, err)
	}
	return response
}

// request is what a handler sees of a request.
type request struct {
	Method, Path, EscapedPath, URI, Host, RemoteAddr, Proto string
	Query                                                   url.Values
	Header                                                  http.Header
	Cookies                                                 []string
	Body                                                    string
	ContentLength                                           int64
}

func see(t testing.TB, payload []byte) request {
	t.Helper()
	var got request
	invoke(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("reading the body: %v", err)
		}
		got = request{
			Method: r.Method, Path: r.URL.Path, EscapedPath: r.URL.EscapedPath(), URI: r.RequestURI, Host: r.Host, RemoteAddr: r.RemoteAddr, Proto: r.Proto,
			Query: r.URL.Query(), Header: r.Header, Body: string(body), ContentLength: r.ContentLength,
		}
		for _, cookie := range r.Cookies() {
			got.Cookies = append(got.Cookies, cookie.String())
		}
	}, payload)
	return got
}

func TestInvoke_MakesTheRequestThatWasSent(t *testing.T) {
	t.Parallel()
	delivery := request{
		Method: "POST", Path: "/webhooks/clerk", EscapedPath: "/webhooks/clerk", URI: "/webhooks/clerk", Proto: "HTTP/1.1",
		Host: "k3x9w2.execute-api.eu-west-3.amazonaws.com", RemoteAddr: "198.51.100.7:0", Query: url.Values{},
		Header: http.Header{
			"Accept":            {"*/*"},
			"Content-Length":    {"15"},
			"Content-Type":      {"application/json"},
			"Svix-Id":           {"msg_2harbourlights"},
			"Svix-Timestamp":    {"1781514005"},
			"Svix-Signature":    {"v1,bm90LWEtcmVhbC1zaWduYXR1cmU= v1a,YW5vdGhlcg== v1,dGhpcmQ="},
			"User-Agent":        {"Svix-Webhooks/1.64.0 (sender-9YMgn; +https://www.svix.com/http-sender/)"},
			"X-Amzn-Trace-Id":   {"Root=1-684e8a15-0f3b7a5c2d1e4f60718293a4"},
			"X-Forwarded-For":   {"198.51.100.7"},
			"X-Forwarded-Port":  {"443"},
			"X-Forwarded-Proto": {"https"},
		},
		Body: `{"name":"Zoë"}`, ContentLength: 15,
	}
	tests := []struct {
		event string
		want  request
	}{
		{"post.json", delivery},
		{"post_base64.json", delivery},
		{"get_stage.json", request{
			Method: "GET", Path: "/orgs/org_1/files/a/b c", EscapedPath: "/orgs/org_1/files/a%2Fb%20c", URI: "/orgs/org_1/files/a%2Fb%20c?q=a%20b&q=c%2Cd&empty=",
			Proto: "HTTP/1.1", Host: "api.harbour.example", RemoteAddr: "[2001:db8::7]:0",
			Query: url.Values{"q": {"a b", "c,d"}, "empty": {""}},
			Header: http.Header{
				"Accept":          {"text/html,application/json;q=0.9"},
				"Cookie":          {"theme=dark; lang=fr"},
				"X-Forwarded-For": {"2001:db8::7, 198.51.100.9"},
				"X-Repeated":      {"one,two"},
			},
			Cookies: []string{"theme=dark", "lang=fr"},
		}},
		{"function_url.json", request{
			Method: "GET", Path: "/", EscapedPath: "/", URI: "/", Proto: "HTTP/1.1", Host: "q1w2e3.lambda-url.eu-west-3.on.aws", RemoteAddr: "198.51.100.7:0",
			Query: url.Values{}, Header: http.Header{"X-Forwarded-Proto": {"https"}},
		}},
		// No headers, no path, no address, no body.
		{"minimal.json", request{Method: "POST", Path: "/", EscapedPath: "/", URI: "/", Proto: "HTTP/1.1", Query: url.Values{}, Header: http.Header{}}},
	}
	for _, test := range tests {
		t.Run(test.event, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, see(t, event(t, test.event, nil))); diff != "" {
				t.Errorf("request of %s: -want +got\n%s", test.event, diff)
			}
		})
	}
}

func TestInvoke_TakesTheStageOffThePath(t *testing.T) {
	t.Parallel()
	tests := []struct{ stage, rawPath, want string }{
		{"$default", "/webhooks/clerk", "/webhooks/clerk"},
		{"prod", "/prod/webhooks/clerk", "/webhooks/clerk"},
		{"prod", "/prod", "/"},
		{"prod", "/prod/", "/"},
		{"prod", "/prod/prod/x", "/prod/x"},
		{"prod", "/production/x", "/production/x"},     // begins with the name, is another
		{"prod", "/webhooks/clerk", "/webhooks/clerk"}, // a custom domain
		{"", "/webhooks/clerk", "/webhooks/clerk"},
		{"$default", "/$default/x", "/$default/x"},
		{"$default", "", "/"},
		{"$default", "/100%", "/100%"},                       // no valid escape
		{"$default", "//evil.example/x", "//evil.example/x"}, // no host
	}
	for _, test := range tests {
		t.Run(test.stage+" "+test.rawPath, func(t *testing.T) {
			t.Parallel()
			got := see(t, event(t, "post.json", func(e *events.APIGatewayV2HTTPRequest) {
				e.RequestContext.Stage, e.RawPath = test.stage, test.rawPath
			}))
			if got.Path != test.want || got.Host != "k3x9w2.execute-api.eu-west-3.amazonaws.com" {
				t.Errorf("stage %q and path %q = path %q of %s, want path %q", test.stage, test.rawPath, got.Path, got.Host, test.want)
			}
		})
	}
}

func TestInvoke_KeepsHeaderValuesWhole(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"v1,aaa v1,bbb", "one,two, three", " padded ", "a;b=\"c,d\"", ""} {
		got := see(t, event(t, "post.json", func(e *events.APIGatewayV2HTTPRequest) { e.Headers["x-value"] = value }))
		if diff := cmp.Diff([]string{value}, got.Header.Values("X-Value")); diff != "" {
			t.Errorf("header x-value: %q: -want +got\n%s", value, diff)
		}
	}
}

func TestInvoke_RefusesBodiesThatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 6<<20+1)
	tests := []struct {
		name   string
		change func(*events.APIGatewayV2HTTPRequest)
		status int
		code   string
	}{
		{"not base64", func(e *events.APIGatewayV2HTTPRequest) { e.Body, e.IsBase64Encoded = `{"a":1}`, true }, 400, "malformed_body"},
		{"base64 cut short", func(e *events.APIGatewayV2HTTPRequest) {
			e.Body, e.IsBase64Encoded = "eyJhIjox", true
			e.Body = e.Body[:6]
		}, 400, "malformed_body"},
		{"base64 for addresses", func(e *events.APIGatewayV2HTTPRequest) { e.Body, e.IsBase64Encoded = "_-__", true }, 400, "malformed_body"},
		{"too large", func(e *events.APIGatewayV2HTTPRequest) { e.Body = large }, 413, "body_too_large"},
		{"too large in base64", func(e *events.APIGatewayV2HTTPRequest) {
			e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString([]byte(large)), true
		}, 413, "body_too_large"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := invoke(t, func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") }, event(t, "post.json", test.change))
			var answer struct {
				Error struct{ Code, Message string }
			}
			if err := json.Unmarshal([]byte(got.Body), &answer); err != nil {
				t.Fatalf("answer %q is not JSON: %v", got.Body, err)
			}
			if got.StatusCode != test.status || answer.Error.Code != test.code || answer.Error.Message == "" || got.Headers["Content-Type"] != "application/json" {
				t.Errorf("answer = %+v, want %d with code %s", got, test.status, test.code)
			}
		})
	}
}

func TestInvoke_DecodesEmptyBodies(t *testing.T) {
	t.Parallel()
	for _, encoded := range []bool{false, true} {
		got := see(t, event(t, "post.json", func(e *events.APIGatewayV2HTTPRequest) { e.Body, e.IsBase64Encoded = "", encoded }))
		if got.Body != "" || got.ContentLength != 0 {
			t.Errorf("empty body, base64 %t = %q of %d bytes, want none", encoded, got.Body, got.ContentLength)
		}
	}
}

func TestInvoke_NamesEventsThatAreNoRequest(t *testing.T) {
	t.Parallel()
	files := map[string]error{
		"rest_api.json":     apigateway.ErrPayloadVersion,
		"http_api_1.0.json": apigateway.ErrPayloadVersion,
		"scheduled.json":    apigateway.ErrNotHTTP,
		"sqs.json":          apigateway.ErrNotHTTP,
	}
	tests := map[string]error{
		"{}":                       apigateway.ErrNotHTTP, // what sam local invoke sends without --event
		"null":                     apigateway.ErrNotHTTP,
		`"hello"`:                  apigateway.ErrNotHTTP,
		"[]":                       apigateway.ErrNotHTTP,
		"":                         apigateway.ErrNotHTTP,
		`{"version":"2.0"}`:        apigateway.ErrNotHTTP,
		`{"version":2,"a":{"b":1}`: apigateway.ErrNotHTTP,
		`{"requestContext":{"http":{"method":"POST"}}}`:                    apigateway.ErrNotHTTP, // no version
		`{"version":"3.0","requestContext":{"http":{"method":"POST"}}}`:    apigateway.ErrNotHTTP,
		`{"version":"2.0","requestContext":{"http":{"method":"NO GOOD"}}}`: apigateway.ErrNotHTTP,
	}
	for name, want := range files {
		tests[string(event(t, name, nil))] = want
	}
	for payload, want := range tests {
		t.Run(payload, func(t *testing.T) {
			t.Parallel()
			adapter := apigateway.New(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") }))
			out, err := adapter.Invoke(t.Context(), []byte(payload))
			if !errors.Is(err, want) {
				t.Errorf("Invoke(%s) = %s, %v, want error %v", payload, out, err, want)
			}
		})
	}
}

func TestInvoke_ReturnsTheResponse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    events.APIGatewayV2HTTPResponse
	}{
		{"JSON", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, `{"error":`)
			io.WriteString(w, `"Zoë <3"}`)
		}, events.APIGatewayV2HTTPResponse{StatusCode: 503, Headers: map[string]string{"Content-Type": "application/json"}, Body: `{"error":"Zoë <3"}`}},
		{"nothing", func(http.ResponseWriter, *http.Request) {}, events.APIGatewayV2HTTPResponse{StatusCode: 200, Headers: map[string]string{}}},
		{"status alone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, events.APIGatewayV2HTTPResponse{StatusCode: 204, Headers: map[string]string{}}},
		{"body alone", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<!doctype html><p>hello") }, events.APIGatewayV2HTTPResponse{
			StatusCode: 200, Headers: map[string]string{"Content-Type": "text/html; charset=utf-8"}, Body: "<!doctype html><p>hello",
		}},
		{"bytes", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "image/png")
			w.Write([]byte("\x89PNG\r\n\x1a\n"))
		}, events.APIGatewayV2HTTPResponse{StatusCode: 200, Headers: map[string]string{"Content-Type": "image/png"}, Body: "iVBORw0KGgo=", IsBase64Encoded: true}},
		{"headers with several values", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Add("Vary", "Accept")
			w.Header().Add("vary", "Origin")
			w.Header().Add("Set-Cookie", "a=1")
			w.Header().Add("Set-Cookie", "b=2; Expires=Mon, 15 Jun 2026 09:00:05 GMT")
			w.WriteHeader(http.StatusOK)
		}, events.APIGatewayV2HTTPResponse{
			StatusCode: 200, Headers: map[string]string{"Vary": "Accept, Origin"},
			Cookies: []string{"a=1", "b=2; Expires=Mon, 15 Jun 2026 09:00:05 GMT"},
		}},
		{"too late", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusTeapot)
			w.WriteHeader(http.StatusOK)
			w.Header().Set("X-Late", "1")
		}, events.APIGatewayV2HTTPResponse{StatusCode: 418, Headers: map[string]string{}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, invoke(t, test.handler, event(t, "post.json", nil))); diff != "" {
				t.Errorf("response: -want +got\n%s", diff)
			}
		})
	}
}

func TestInvoke_PassesRequestIDsOn(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		ctx    context.Context
		logged map[string]any
	}{
		{"in Lambda", lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "7a1c"}), map[string]any{"request_id": "7a1c", "gateway_request_id": "LkT4hj2xCGYEJ8A="}},
		{"elsewhere", t.Context(), map[string]any{"request_id": "LkT4hj2xCGYEJ8A="}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			adapter := apigateway.New(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				telemetry.NewLogger(&log, slog.LevelInfo).InfoContext(r.Context(), "seen")
			}))
			if _, err := adapter.Invoke(test.ctx, event(t, "post.json", nil)); err != nil {
				t.Fatal(err)
			}
			var line map[string]any
			if err := json.Unmarshal(log.Bytes(), &line); err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{"time", "level", "msg"} {
				delete(line, key)
			}
			if diff := cmp.Diff(test.logged, line); diff != "" {
				t.Errorf("attributes of a log line: -want +got\n%s", diff)
			}
		})
	}
}

// What is too long is refused by the handler, which learns no more of it than
// that; what can hold a body of the cap is read, however it came.
func TestBounded_AnswersLongEventsFromTheirLength(t *testing.T) {
	t.Parallel()
	const most = 1 << 20
	longest := 2*most + 64<<10
	fullest := []byte(`"` + strings.Repeat(`\"`, most/2-1) + `"`)
	text := event(t, "post.json", func(e *events.APIGatewayV2HTTPRequest) { e.Body = string(fullest) })
	encoded := event(t, "post.json", func(e *events.APIGatewayV2HTTPRequest) {
		e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString(fullest), true
	})
	tests := []struct {
		name    string
		payload []byte
		refused bool
	}{
		// Neither is JSON: nothing has looked.
		{"one byte too long", bytes.Repeat([]byte("["), longest+1), true},
		{"Lambda's longest", bytes.Repeat([]byte("["), 6<<20), true},
		{"fullest body as text", text, false},
		{"fullest body as base64", encoded, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			adapter := apigateway.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				if r.Method != http.MethodPost || r.URL.Path != "/webhooks/clerk" {
					t.Errorf("the handler got a %s to %s, want a POST to /webhooks/clerk", r.Method, r.URL.Path)
				}
				if test.refused && (len(body) > 0 || r.ContentLength != int64(len(test.payload))) {
					t.Errorf("the handler got %d bytes and the length %d, want none and the event's, %d", len(body), r.ContentLength, len(test.payload))
				}
				if !test.refused && !bytes.Equal(body, fullest) {
					t.Errorf("the handler got a body of %d bytes, want the %d that were sent", len(body), len(fullest))
				}
				telemetry.NewLogger(&log, slog.LevelInfo).InfoContext(r.Context(), "seen")
				w.WriteHeader(http.StatusRequestEntityTooLarge)
			})).Bounded("/webhooks/clerk", most)
			ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "7a1c"})
			out, err := adapter.Invoke(ctx, test.payload)
			var response events.APIGatewayV2HTTPResponse
			if err := errors.Join(err, json.Unmarshal(out, &response)); err != nil || response.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("answer = %d, %v, want the handler's 413", response.StatusCode, err)
			}
			if !strings.Contains(log.String(), `"request_id":"7a1c"`) {
				t.Errorf("the log line lacks the request's id: %s", log.String())
			}
		})
	}
}

func TestInvoke_EndsTheContextBeforeLambdaDoes(t *testing.T) {
	t.Parallel()
	deadline := time.Now().Add(time.Hour)
	ctx, cancel := context.WithDeadline(t.Context(), deadline)
	defer cancel()
	adapter := apigateway.New(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got, ok := r.Context().Deadline()
		if !ok || !got.Before(deadline) || got.Before(deadline.Add(-time.Second)) {
			t.Errorf("the request's deadline is %v, want less than a second before the invocation's, %v", got, deadline)
		}
	}))
	if _, err := adapter.Invoke(ctx, event(t, "post.json", nil)); err != nil {
		t.Fatal(err)
	}
}

// applied is a store that applies everything.
type applied struct{ seen []mirror.Delivery }

func (s *applied) Apply(_ context.Context, d mirror.Delivery) (mirror.Result, error) {
	s.seen = append(s.seen, d)
	return mirror.Result{Outcome: mirror.Applied}, nil
}

func (s *applied) Reject(context.Context, mirror.Unreadable) (mirror.Result, error) {
	return mirror.Result{Outcome: mirror.Rejected}, nil
}

func TestInvoke_CarriesWebhooksUnharmed(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.June, 15, 9, 0, 5, 0, time.UTC)
	body := clerktest.Event(t, "user.created--emoji-raw")
	signed := clerktest.Sign(clerktest.Secret, "msg_1", now, body)
	deliver := func(change func(*events.APIGatewayV2HTTPRequest)) (events.APIGatewayV2HTTPResponse, []mirror.Delivery) {
		s := &applied{}
		handler, err := webhook.New(webhook.Options{
			Store: s,
			Configure: func(context.Context) (webhook.Configuration, error) {
				return webhook.Configuration{Secrets: []secret.Value{secret.New(clerktest.Secret)}}, nil
			},
			Now: func() time.Time { return now },
		})
		if err != nil {
			t.Fatal(err)
		}
		response := invoke(t, handler.ServeHTTP, event(t, "post.json", func(e *events.APIGatewayV2HTTPRequest) {
			for name := range signed {
				e.Headers[strings.ToLower(name)] = signed.Get(name)
			}
			e.Headers["content-length"] = strconv.Itoa(len(body))
			e.Body = string(body)
			change(e)
		}))
		return response, s.seen
	}
	tests := []struct {
		name   string
		change func(*events.APIGatewayV2HTTPRequest)
		status int
		body   string
	}{
		{"plain", func(*events.APIGatewayV2HTTPRequest) {}, 200, `{"outcome":"applied"}`},
		{"base64", func(e *events.APIGatewayV2HTTPRequest) {
			e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
		}, 200, `{"outcome":"applied"}`},
		{"several signatures", func(e *events.APIGatewayV2HTTPRequest) {
			e.Headers["svix-signature"] = "v1,AAAA v1a,BBBB " + e.Headers["svix-signature"]
		}, 200, `{"outcome":"applied"}`},
		{"named stage", func(e *events.APIGatewayV2HTTPRequest) {
			e.RequestContext.Stage, e.RawPath = "prod", "/prod/webhooks/clerk"
		}, 200, `{"outcome":"applied"}`},
		{"id sent twice", func(e *events.APIGatewayV2HTTPRequest) { e.Headers["svix-id"] = "msg_1,msg_1" }, 400, "duplicate_header"},
		{"base64 that was not decoded", func(e *events.APIGatewayV2HTTPRequest) { e.Body = base64.StdEncoding.EncodeToString(body) }, 401, "invalid_signature"},
		{"no headers", func(e *events.APIGatewayV2HTTPRequest) { e.Headers = nil }, 400, "missing_header"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			response, seen := deliver(test.change)
			if response.StatusCode != test.status || !strings.Contains(response.Body, test.body) {
				t.Fatalf("answer = %d %s, want %d %s", response.StatusCode, response.Body, test.status, test.body)
			}
			if test.status != http.StatusOK {
				return
			}
			if len(seen) != 1 || seen[0].Event.Type != clerk.UserCreated || !bytes.Equal(seen[0].Event.JSON, body) {
				t.Errorf("the store saw %+v, want one user.created event with the body as it is", seen)
			}
		})
	}
}

// FuzzInvoke: any event is answered with a status or refused as no request, and
// a handler that echoes its request's body gets it back to the client.
func FuzzInvoke(f *testing.F) {
	for _, name := range []string{"post.json", "post_base64.json", "get_stage.json", "function_url.json", "minimal.json", "rest_api.json", "scheduled.json"} {
		f.Add(event(f, name, nil))
	}
	var seen []byte
	adapter := apigateway.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen, _ = io.ReadAll(r.Body)
		w.Write(seen)
	}))
	f.Fuzz(func(t *testing.T, payload []byte) {
		seen = nil
		out, err := adapter.Invoke(t.Context(), payload)
		if err != nil {
			if !errors.Is(err, apigateway.ErrNotHTTP) && !errors.Is(err, apigateway.ErrPayloadVersion) {
				t.Fatalf("Invoke(%s) = error %v, want one of the sentinels", payload, err)
			}
			return
		}
		var response events.APIGatewayV2HTTPResponse
		if err := json.Unmarshal(out, &response); err != nil {
			t.Fatalf("Invoke(%s) = %s, which is no response: %v", payload, out, err)
		}
		got := []byte(response.Body)
		if response.IsBase64Encoded {
			if got, err = base64.StdEncoding.DecodeString(response.Body); err != nil {
				t.Fatalf("Invoke(%s) = body %q, which is not base64", payload, response.Body)
			}
		}
		if response.StatusCode == http.StatusOK && !bytes.Equal(got, seen) {
			t.Errorf("Invoke(%s) = body %q, want %q", payload, got, seen)
		}
	})
}
