package infra_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/jwtdiag"
	"clerksync/shared/jwtdiag/endpoint"
	"clerksync/shared/mirror"
	"clerksync/shared/webhook"
)

// errUnavailable is what everything behind the handlers answers here.
var errUnavailable = errors.New("not in this test")

type noStore struct{}

func (noStore) Apply(context.Context, mirror.Delivery) (mirror.Result, error) {
	return mirror.Result{}, errUnavailable
}

func (noStore) Reject(context.Context, mirror.Unreadable) (mirror.Result, error) {
	return mirror.Result{}, errUnavailable
}

// handlers are those of the functions behind the API.
func handlers(t *testing.T) map[string]http.Handler {
	t.Helper()
	webhooks, err := webhook.New(webhook.Options{
		Store:     noStore{},
		Configure: func(context.Context) (webhook.Configuration, error) { return webhook.Configuration{}, errUnavailable },
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
	// route and integration are the resources that make it.
	id                 string
	route, integration resource
}

func routes(t *testing.T, s *stack) []route {
	t.Helper()
	var found []route
	for id, r := range s.of("AWS::ApiGatewayV2::Route") {
		method, path, ok := strings.Cut(r.at("RouteKey").(string), " ")
		if !ok || strings.ContainsAny(path, "{}") {
			t.Errorf("the route %q takes more than one path", r.at("RouteKey"))
		}
		target, _ := strings.CutPrefix(r.at("Target").(string), "integrations/")
		integration := s.Resources[target]
		if integration.Type != "AWS::ApiGatewayV2::Integration" || integration.at("IntegrationType") != "AWS_PROXY" {
			t.Fatalf("%s leads to %q, which is no integration of a function", id, target)
		}
		function := strings.TrimSuffix(integration.at("IntegrationUri").(string), ".Arn")
		found = append(found, route{function, method, path, id, r, integration})
	}
	for id, f := range s.of(serverlessFunction) {
		events, _ := f.at("Events").(object)
		for _, event := range events {
			if kind := event.(object)["Type"]; kind == "HttpApi" || kind == "Api" {
				t.Errorf("%s has a route of SAM's, which these tests do not read", id)
			}
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
	for _, r := range routes(t, inMode(t, queued)) {
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
		if version := r.integration.at("PayloadFormatVersion"); version != "2.0" {
			t.Errorf("%s %s hands over payload format %v", r.method, r.path, version)
		}
		if a, b := r.route.at("ApiId"), r.integration.at("ApiId"); a != "HttpApi" || b != "HttpApi" {
			t.Errorf("%s %s is a route of %v with an integration of %v", r.method, r.path, a, b)
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
	for _, r := range routes(t, s) {
		want := any(nil)
		if r.path == endpoint.Path {
			want = "AWS_IAM"
		}
		if got := r.route.at("AuthorizationType"); got != want {
			t.Errorf("%s asks for %v, want %v", r.path, got, want)
		}
	}
}

// The API may invoke what its routes lead to, and by them alone.
func TestRoutes_AreAllowedToInvokeTheirFunctions(t *testing.T) {
	t.Parallel()
	for _, segment := range []string{"", "none"} {
		s := deploy(t, stackTemplate, map[string]string{"WebhookPath": segment})
		allowed := map[string]string{}
		for id, p := range s.of("AWS::Lambda::Permission") {
			if p.at("Principal") != "apigateway.amazonaws.com" || p.at("Action") != "lambda:InvokeFunction" {
				t.Errorf("%s is for %v", id, p.at("Principal"))
			}
			allowed[p.at("FunctionName").(string)], _ = p.at("SourceArn").(string)
		}
		for _, r := range routes(t, s) {
			arn := "arn:aws:execute-api:eu-central-1:123456789012:HttpApi/*/" + r.method + r.path
			// Names of a policy may end in an asterisk, which stands for the segment.
			if prefix, open := strings.CutSuffix(allowed[r.function], "*"); arn != prefix && (!open || !strings.HasPrefix(arn, prefix) || prefix != "arn:aws:execute-api:eu-central-1:123456789012:HttpApi/*/POST"+webhook.Path) {
				t.Errorf("%s may be invoked by %q, want %s", r.function, allowed[r.function], arn)
			}
			delete(allowed, r.function)
		}
		for function := range allowed {
			t.Errorf("%s may be invoked by the API, and no route leads there", function)
		}
	}
}

// Noise has no part in the webhook's throttle: another path matches no route, and
// the other routes have limits of their own.
func TestRoutes_LeaveTheThrottleToTheWebhook(t *testing.T) {
	t.Parallel()
	segments := map[string]string{
		"":                                      "/5b2c9f40-7a1e-11f0-8c3d-0a1b2c3d4e5f",
		"none":                                  "",
		"AZaz09-_AZaz09-_":                      "/AZaz09-_AZaz09-_",
		strings.Repeat("a", webhook.MaxSegment): "/" + strings.Repeat("a", webhook.MaxSegment),
	}
	for segment, below := range segments {
		for _, mode := range []string{direct, queued, draining} {
			s := deploy(t, stackTemplate, map[string]string{"WebhookPath": segment, "IngestMode": mode, "ThrottlingRate": "7", "ThrottlingBurst": "9"})
			api := s.Resources["HttpApi"]
			if api.at("ProtocolType") != "HTTP" || api.at("Body") != nil || api.at("Target") != nil || api.at("RouteKey") != nil {
				t.Errorf("the API has routes of its own: %v", api.Properties)
			}
			var webhooks []string
			var others []any
			for _, r := range routes(t, s) {
				if r.function == "WebhookIngestFunction" {
					webhooks = append(webhooks, r.method+" "+r.path)
				} else {
					others = append(others, r.method+" "+r.path)
				}
			}
			if want := []string{"POST " + webhook.Path + below}; !slices.Equal(webhooks, want) {
				t.Errorf("WebhookPath %q, %s: the webhook's routes are %q, want %q", segment, mode, webhooks, want)
			}
			if got, want := s.Outputs["WebhookUrl"]["Value"], "https://HttpApi.execute-api.eu-central-1.amazonaws.com"+webhook.Path+below; got != want {
				t.Errorf("WebhookUrl is %v, want %s", got, want)
			}

			stages := s.of("AWS::ApiGatewayV2::Stage")
			stage := stages["HttpApiStage"]
			if len(stages) != 1 || stage.at("ApiId") != "HttpApi" || stage.at("StageName") != "$default" || stage.at("AutoDeploy") != "true" {
				t.Fatalf("stages: %v", stages)
			}
			if diff := cmp.Diff(any(object{"ThrottlingRateLimit": "7", "ThrottlingBurstLimit": "9"}), stage.at("DefaultRouteSettings")); diff != "" {
				t.Errorf("the throttle of the webhook's route (-want +got):\n%s", diff)
			}
			settings := stage.at("RouteSettings").(object)
			for _, key := range others {
				own, _ := settings[key.(string)].(object)
				for _, limit := range []string{"ThrottlingRateLimit", "ThrottlingBurstLimit"} {
					if n, err := strconv.Atoi(fmt.Sprint(own[limit])); err != nil || n < 1 {
						t.Errorf("%s has the %s %v, want a number of its own", key, limit, own[limit])
					}
				}
			}
			if len(settings) != len(others) {
				t.Errorf("there are settings for %v, want them for %v", settings, others)
			}
			// API Gateway refuses settings for a route that is not there yet.
			var waits []any
			for _, r := range routes(t, s) {
				waits = append(waits, r.id)
			}
			for _, id := range waits {
				if !slices.Contains(list(stage.Attributes["DependsOn"]), id) {
					t.Errorf("the stage does not wait for %v", id)
				}
			}
		}
	}
}

// CloudFormation would hand a parameter on as text, in a property that has no
// type for it to follow.
func TestRoutes_HaveThrottlesThatAreNumbers(t *testing.T) {
	t.Parallel()
	stage := parse(t, stackTemplate)["Resources"].(object)["HttpApiStage"].(object)["Properties"].(object)
	for key, own := range stage["RouteSettings"].(object) {
		for limit, value := range own.(object) {
			if _, plain := value.(string); !plain {
				t.Errorf("%s of %s is %v, want a number", limit, key, value)
			}
		}
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
	for output, path := range map[string]string{"WebhookUrl": webhook.Path + "/5b2c9f40-7a1e-11f0-8c3d-0a1b2c3d4e5f", "DiagnosticsUrl": endpoint.Path} {
		if got, want := s.Outputs[output]["Value"], "https://HttpApi.execute-api.eu-central-1.amazonaws.com"+path; got != want {
			t.Errorf("%s is %v, want %s", output, got, want)
		}
	}
}
