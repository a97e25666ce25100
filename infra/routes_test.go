package infra_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"clerksync/shared/jwtdiag"
	"clerksync/shared/jwtdiag/endpoint"
	"clerksync/shared/mirror"
	"clerksync/shared/secret"
	"clerksync/shared/webhook"
)

// errUnavailable is what everything behind the handlers answers here.
var errUnavailable = errors.New("not in this test")

type noStore struct{}

func (noStore) Apply(context.Context, mirror.Delivery) (mirror.Result, error) {
	return mirror.Result{}, errUnavailable
}

func (noStore) Reject(context.Context, string, string, []byte) (mirror.Result, error) {
	return mirror.Result{}, errUnavailable
}

// handlers are those of the functions behind the API.
func handlers(t *testing.T) map[string]http.Handler {
	t.Helper()
	webhooks, err := webhook.New(webhook.Options{
		Store:   noStore{},
		Secrets: func(context.Context) ([]secret.Value, error) { return nil, errUnavailable },
	})
	if err != nil {
		t.Fatal(err)
	}
	diagnostics, err := endpoint.New(endpoint.Options{
		Diagnose: func(context.Context, jwtdiag.Request) (jwtdiag.Report, error) {
			return jwtdiag.Report{}, errUnavailable
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]http.Handler{"JWTDiagnosticsFunction": diagnostics, "WebhookIngestFunction": webhooks}
}

// route is one of the API's.
type route struct {
	function     string
	method, path string
	properties   resource
}

func routes(s *stack) []route {
	var found []route
	for id, f := range s.of(serverlessFunction) {
		events, _ := f.at("Events").(object)
		for _, event := range events {
			if event.(object)["Type"] != "HttpApi" {
				continue
			}
			properties := resource{Properties: event.(object)["Properties"].(object)}
			found = append(found, route{id, properties.at("Method").(string), properties.at("Path").(string), properties})
		}
	}
	return found
}

func TestRoutes_LeadToTheirHandlers(t *testing.T) {
	t.Parallel()
	status := func(handler http.Handler, method, path string) int {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader("{}")))
		return w.Code
	}
	served := map[string]bool{}
	for _, r := range routes(inMode(t, queued)) {
		handler := handlers(t)[r.function]
		if handler == nil {
			t.Fatalf("%s has a route, and this test no handler for it", r.function)
		}
		served[r.function] = true
		if got := status(handler, r.method, r.path); got == http.StatusNotFound || got == http.StatusMethodNotAllowed {
			t.Errorf("%s %s is answered %d by %s", r.method, r.path, got, r.function)
		}
		if got := status(handler, r.method, r.path+"/more"); got != http.StatusNotFound {
			t.Errorf("%s %s/more is answered %d by %s, want 404", r.method, r.path, got, r.function)
		}
		if got := status(handler, http.MethodPut, r.path); got != http.StatusMethodNotAllowed {
			t.Errorf("PUT %s is answered %d by %s, want 405", r.path, got, r.function)
		}
		// The handlers read this format alone.
		if version := r.properties.at("PayloadFormatVersion"); version != "2.0" {
			t.Errorf("%s %s hands over payload format %v", r.method, r.path, version)
		}
		if api := r.properties.at("ApiId"); api != "WebhookApi" {
			t.Errorf("%s %s is a route of %v", r.method, r.path, api)
		}
	}
	for function := range handlers(t) {
		if !served[function] {
			t.Errorf("no route leads to %s", function)
		}
	}
}

// Clerk cannot sign requests for IAM, and questions about tokens are for people
// of the account.
func TestRoutes_AskForIAMWhereTheDiagnosticsAreAlone(t *testing.T) {
	t.Parallel()
	s := inMode(t, queued)
	for _, r := range routes(s) {
		want := any(nil)
		if r.path == endpoint.Path {
			want = "AWS_IAM"
		}
		if got := r.properties.at("Auth", "Authorizer"); got != want {
			t.Errorf("%s asks for %v, want %v", r.path, got, want)
		}
	}
	api := s.Resources["WebhookApi"]
	if api.at("Auth", "EnableIamAuthorizer") != "true" || api.at("Auth", "DefaultAuthorizer") != nil {
		t.Errorf("the API's authorizers are %v, want IAM where a route asks for it", api.at("Auth"))
	}
	if api.at("DefaultRouteSettings", "ThrottlingRateLimit") == nil || api.at("DefaultRouteSettings", "ThrottlingBurstLimit") == nil {
		t.Errorf("the API is not throttled: %v", api.at("DefaultRouteSettings"))
	}
}

// The page's address is the only thing that strangers may call.
func TestRoutes_OpenThePageOnDemand(t *testing.T) {
	t.Parallel()
	page := []string{"DiagnosticsPageInvokePermission", "DiagnosticsPageUrl", "DiagnosticsPageUrlPermission"}
	for state, want := range map[string]bool{"on": true, "off": false} {
		s := deploy(t, stackTemplate, withPage(map[string]string{"DiagnosticsPage": state, "IngestMode": queued}))
		for id, r := range s.Resources {
			public := r.Type == "AWS::Lambda::Url" || r.at("Principal") == "*"
			if public != (want && slices.Contains(page, id)) {
				t.Errorf("page %s: %s is open to everybody: %v", state, id, public)
			}
		}
		if want {
			// Without this everybody could invoke the function directly, too.
			if s.Resources["DiagnosticsPageInvokePermission"].at("InvokedViaFunctionUrl") != "true" {
				t.Error("the permission to invoke is not for calls through the URL alone")
			}
			if address, _ := s.Outputs["DiagnosticsPageAddress"]["Value"].(string); !strings.HasSuffix(address, strings.TrimPrefix(endpoint.Path, "/")) {
				t.Errorf("the page's address is %q", address)
			}
		}
	}
}

func TestOutputs_NameTheRoutes(t *testing.T) {
	t.Parallel()
	s := inMode(t, direct)
	for output, path := range map[string]string{"WebhookUrl": webhook.Path, "DiagnosticsUrl": endpoint.Path} {
		if got, want := s.Outputs[output]["Value"], "https://WebhookApi.execute-api.eu-central-1.amazonaws.com"+path; got != want {
			t.Errorf("%s is %v, want %s", output, got, want)
		}
	}
}
