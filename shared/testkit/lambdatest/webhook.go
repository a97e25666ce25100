package lambdatest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-lambda-go/events"
)

// WebhookSegment is the last of the path of each WebhookRequest, such as a stack
// chooses it.
const WebhookSegment = "5b2c9f40-7a1e-11f0-8c3d-0a1b2c3d4e5f"

// WebhookRequest is the event of a delivery, as API Gateway's HTTP API hands it
// on: with its body as it is, or in base64.
func WebhookRequest(header http.Header, body []byte, encode bool) []byte {
	path := "/webhooks/clerk/" + WebhookSegment
	event := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: "POST " + path, RawPath: path, Body: string(body),
		Headers: map[string]string{"content-type": "application/json"},
		RequestContext: events.APIGatewayV2HTTPRequestContext{
			Stage: "$default", RequestID: "gateway-1",
			HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{Method: http.MethodPost, Path: path, Protocol: "HTTP/1.1", SourceIP: "203.0.113.7"},
		},
	}
	for name, values := range header {
		event.Headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	if encode {
		event.Body, event.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	payload, err := json.Marshal(event)
	if err != nil {
		panic(err) // strings always encode
	}
	return payload
}

// WebhookAnswer is what the webhook function answers.
type WebhookAnswer struct {
	Status int
	// Outcome or Code is what its body names.
	Outcome string
	Code    string
	Header  map[string]string
}

// InvokeWebhook hands the webhook function an event and reads its answer.
func InvokeWebhook(ctx context.Context, f *Function, payload []byte) (WebhookAnswer, error) {
	raw, err := f.Invoke(ctx, payload)
	if err != nil {
		return WebhookAnswer{}, err
	}
	var response events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(raw, &response); err != nil {
		return WebhookAnswer{}, fmt.Errorf("answer %s: %w", raw, err)
	}
	var body struct {
		Outcome string
		Error   struct{ Code string }
	}
	if err := json.Unmarshal([]byte(response.Body), &body); err != nil {
		return WebhookAnswer{}, fmt.Errorf("body %s: %w", response.Body, err)
	}
	return WebhookAnswer{response.StatusCode, body.Outcome, body.Error.Code, response.Headers}, nil
}
