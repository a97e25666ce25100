// Package apigateway lets an http.Handler answer the events of an API Gateway
// HTTP API, payload format 2.0, in a Lambda function.
//
// Use it first in main:
//
//	lambda.Start(apigateway.New(handler))
//
// The format is also that of Lambda function URLs. In the handler, the request
// is what a server would have received: method, path without the stage, query,
// headers, cookies, decoded body, the caller's address. Its context ends a
// little before Lambda would, carries [RequestID], and puts the id into every
// log line.
//
// Why not the adapter that AWS publishes (awslabs/aws-lambda-go-api-proxy): it
// splits header values at every comma. A svix-signature is a list of
// "v1,<base64>", so webhooks could not be verified behind it. Here a value stays
// one value, and whoever reads a header decides what its commas mean. API
// Gateway itself joins a header that was sent twice with a comma, so a repeated
// header arrives as one value in any case.
//
// Limits: requests and responses are held in memory; nothing is streamed, and
// informational responses are dropped. A panic of the handler is left to the
// Lambda runtime, which reports it and starts anew.
//
// Source: AWS, "Create AWS Lambda proxy integrations for HTTP APIs".
package apigateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"clerksync/shared/httpapi"
	"clerksync/shared/telemetry"
)

// The errors of an invocation that is no request. Lambda reports them, and a
// caller behind API Gateway sees its 500.
var (
	// ErrNotHTTP says that the event is something else than an HTTP request.
	ErrNotHTTP = errors.New("the event is not an HTTP request in API Gateway's payload format 2.0")
	// ErrPayloadVersion says that the event is an HTTP request in format 1.0,
	// that of REST APIs, which an HTTP API's integration can also be set to.
	ErrPayloadVersion = errors.New("the event is an HTTP request in API Gateway's payload format 1.0")
)

const (
	payloadVersion = "2.0"
	// defaultStage is the one stage whose name is not part of the path.
	defaultStage = "$default"
	// maxBody is Lambda's own limit for a whole event, in bytes.
	maxBody = 6 << 20
	// maxEnvelope is more than what is around a body: API Gateway takes 10,240
	// bytes of headers and request line, which an event may hold twice.
	maxEnvelope = 64 << 10
	// answerMargin is left at the end of an invocation to get the answer out.
	answerMargin = 250 * time.Millisecond
)

// Adapter is a lambda.Handler around an http.Handler. Call New.
type Adapter struct {
	handler http.Handler
	// longest is the longest event that is read, in bytes; 0 means any. Longer
	// ones are handed over as requests to path.
	longest int
	path    string
}

var _ lambda.Handler = (*Adapter)(nil)

// New returns an Adapter for handler.
func New(handler http.Handler) *Adapter { return &Adapter{handler: handler} }

// Bounded returns an Adapter for a handler that takes bodies of up to maxBody
// bytes. An event too long to hold one is not read: the handler gets a POST to
// path that announces the event's length, and refuses it as it refuses any body
// that is too large, with its own log line and metrics.
//
// In an event a body takes four bytes for three as base64. As text it takes two
// for each quote, backslash and line break of its JSON and one for the rest; one
// with more control characters than JSON has counts as larger than it is.
func (a *Adapter) Bounded(path string, maxBody int) *Adapter {
	return &Adapter{handler: a.handler, longest: 2*maxBody + maxEnvelope, path: path}
}

// Invoke answers one event. Its errors wrap ErrNotHTTP or ErrPayloadVersion; a
// request whose body cannot be decoded is answered 400, or 413 if it is larger
// than Lambda's own limit of 6 MiB, without the handler.
func (a *Adapter) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if a.longest > 0 && len(payload) > a.longest {
		response, err := a.announce(ctx, len(payload))
		if err != nil {
			return nil, err
		}
		return json.Marshal(response)
	}
	var event struct {
		events.APIGatewayV2HTTPRequest
		// HTTPMethod is where format 1.0 has the method.
		HTTPMethod string `json:"httpMethod"`
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotHTTP, err)
	}
	switch {
	case event.RequestContext.HTTP.Method != "" && event.Version == payloadVersion:
	case event.HTTPMethod != "":
		return nil, fmt.Errorf("%w: use an HTTP API and set its integration's PayloadFormatVersion to %s", ErrPayloadVersion, payloadVersion)
	default:
		return nil, fmt.Errorf("%w: version is %q and requestContext.http.method is %q; to try the function locally, give it an event with sam local invoke --event",
			ErrNotHTTP, event.Version, event.RequestContext.HTTP.Method)
	}
	response, err := a.serve(ctx, event.APIGatewayV2HTTPRequest)
	if err != nil {
		return nil, err
	}
	return json.Marshal(response)
}

// announce hands over the length of an event instead of what it holds.
func (a *Adapter) announce(ctx context.Context, length int) (events.APIGatewayV2HTTPResponse, error) {
	ctx, cancel := prepare(ctx, "")
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.path, http.NoBody)
	if err != nil {
		return events.APIGatewayV2HTTPResponse{}, fmt.Errorf("making a request for an event of %d bytes: %w", length, err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = int64(length)
	w := newResponse()
	a.handler.ServeHTTP(w, r)
	return w.event(), nil
}

// prepare returns a request's context.
func prepare(ctx context.Context, gatewayID string) (context.Context, context.CancelFunc) {
	cancel := func() {}
	if deadline, ok := ctx.Deadline(); ok {
		ctx, cancel = context.WithDeadlineCause(ctx, deadline.Add(-answerMargin), fmt.Errorf("the function's time is up but for %v", answerMargin))
	}
	return withRequestID(ctx, gatewayID), cancel
}

func (a *Adapter) serve(ctx context.Context, event events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	ctx, cancel := prepare(ctx, event.RequestContext.RequestID)
	defer cancel()

	w := newResponse()
	body, err := decodeBody(event)
	switch {
	case errors.Is(err, errBodyTooLarge):
		httpapi.BodyTooLarge("The body is larger than this endpoint takes.").Write(w)
	case err != nil:
		httpapi.NewRefusal(http.StatusBadRequest, "malformed_body", "The body is marked as base64 and is not.").Write(w)
	default:
		r, err := newRequest(ctx, event, body)
		if err != nil {
			return events.APIGatewayV2HTTPResponse{}, err
		}
		a.handler.ServeHTTP(w, r)
	}
	return w.event(), nil
}

var errBodyTooLarge = errors.New("body too large")

func decodeBody(event events.APIGatewayV2HTTPRequest) ([]byte, error) {
	body := []byte(event.Body)
	if event.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(event.Body); err != nil {
			return nil, err
		}
	}
	if len(body) > maxBody {
		return nil, errBodyTooLarge
	}
	return body, nil
}

// newRequest returns the request that the event describes.
func newRequest(ctx context.Context, event events.APIGatewayV2HTTPRequest, body []byte) (*http.Request, error) {
	// An empty reader becomes http.NoBody, and its length the content length.
	r, err := http.NewRequestWithContext(ctx, event.RequestContext.HTTP.Method, "/", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotHTTP, err)
	}
	for name, value := range event.Headers {
		r.Header.Add(name, value)
	}
	if len(event.Cookies) > 0 {
		r.Header.Set("Cookie", strings.Join(event.Cookies, "; "))
	}
	// As a server does: the host is no header.
	r.Host = r.Header.Get("Host")
	r.Header.Del("Host")
	if r.Host == "" {
		r.Host = event.RequestContext.DomainName
	}
	r.URL = requestURL(event)
	r.RequestURI = r.URL.RequestURI()
	if ip := event.RequestContext.HTTP.SourceIP; ip != "" {
		r.RemoteAddr = net.JoinHostPort(ip, "0") // the port is not told
	}
	return r, nil
}

// requestURL returns path and query, the path without the stage: API Gateway
// puts the name of any stage but $default in front of it.
func requestURL(event events.APIGatewayV2HTTPRequest) *url.URL {
	raw := event.RawPath
	if stage := event.RequestContext.Stage; stage != "" && stage != defaultStage {
		if rest, ok := strings.CutPrefix(raw, "/"+stage); ok && (rest == "" || rest[0] == '/') {
			raw = rest
		}
	}
	if !strings.HasPrefix(raw, "/") {
		raw = "/" + raw
	}
	u := &url.URL{Path: raw, RawQuery: event.RawQueryString}
	if path, err := url.PathUnescape(raw); err == nil {
		u.Path, u.RawPath = path, raw
	}
	return u
}

// withRequestID puts the ids of the request into what is logged. Lambda's own is
// the one that the log stream repeats; the gateway's is in its access log.
func withRequestID(ctx context.Context, gatewayID string) context.Context {
	id := gatewayID
	if lc, ok := lambdacontext.FromContext(ctx); ok && lc.AwsRequestID != "" {
		id = lc.AwsRequestID
	}
	ctx = telemetry.With(ctx, slog.String("request_id", id))
	if gatewayID != "" && gatewayID != id {
		ctx = telemetry.With(ctx, slog.String("gateway_request_id", gatewayID))
	}
	return ctx
}
