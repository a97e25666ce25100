package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"

	"clerksync/functions/internal/apigateway"
	"clerksync/shared/jwtdiag/endpoint"
)

// handler answers HTTP requests, from API Gateway or a function URL, and events
// that are a question themselves:
//
//	{"token": "…", "tables": ["public.notes"], "symptom": "22P02"}
//
// Whoever sends such an event has been allowed to invoke the function. Its
// answer is the report; what would be an error over HTTP is the function's error
// of the same code.
type handler struct{ requests *apigateway.Adapter }

var _ lambda.Handler = (*handler)(nil)

// Invoke answers one event.
func (h *handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if isRequest(payload) {
		return h.requests.Invoke(ctx, payload)
	}
	// As a request it is read as strictly, bounded and logged as any other.
	request, err := json.Marshal(events.APIGatewayV2HTTPRequest{
		Version: "2.0", RawPath: endpoint.Path, Body: string(payload),
		Headers: map[string]string{"content-type": "application/json"},
		RequestContext: events.APIGatewayV2HTTPRequestContext{
			HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{Method: http.MethodPost, Path: endpoint.Path},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("writing the event as a request: %w", err)
	}
	answer, err := h.requests.Invoke(ctx, request)
	if err != nil {
		return nil, err
	}
	var response events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(answer, &response); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if response.StatusCode == http.StatusOK {
		return []byte(response.Body), nil
	}
	var refusal struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(response.Body), &refusal); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	return nil, messages.InvokeResponse_Error{Type: refusal.Error.Code, Message: refusal.Error.Message}
}

// isRequest reports whether an event is, or was meant to be, an HTTP request.
func isRequest(payload []byte) bool {
	var event struct {
		RequestContext json.RawMessage `json:"requestContext"`
		HTTPMethod     json.RawMessage `json:"httpMethod"`
	}
	return json.Unmarshal(payload, &event) == nil && (event.RequestContext != nil || event.HTTPMethod != nil)
}
