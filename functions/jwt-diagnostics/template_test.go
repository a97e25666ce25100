package main_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/functions/internal/lambdatest"
	"clerksync/shared/config"
)

const root = "../.."

func TestTemplate_BuildsAReproducibleBootstrap(t *testing.T) {
	t.Parallel()
	lambdatest.CheckBuild(t, "JWTDiagnosticsFunction")
}

// sampleEnvironment is infra/env.json: variables by function.
func sampleEnvironment(t *testing.T) map[string]map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "infra", "env.json"))
	if err != nil {
		t.Fatal(err)
	}
	var environment map[string]map[string]string
	if err := json.Unmarshal(text, &environment); err != nil {
		t.Fatal(err)
	}
	return environment
}

// resource is the text of a resource in template.yaml.
func resource(t *testing.T, logicalID string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n  "+logicalID+":\n")
	if !found {
		t.Fatalf("template.yaml has no %s", logicalID)
	}
	var lines []string
	for line := range strings.Lines(rest) {
		if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "    ") {
			break
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "")
}

var variable = regexp.MustCompile(`(?m)^          ([A-Z_]+):`)

// `sam local` hands over only what a template declares, and a variable that no
// setting is known for would be ignored.
func TestTemplate_DeclaresTheVariablesOfTheSampleEnvironment(t *testing.T) {
	t.Parallel()
	known := []string{config.SecretIDKey}
	for _, key := range config.Keys() {
		known = append(known, key.Name)
	}
	for function, want := range sampleEnvironment(t) {
		_, block, _ := strings.Cut(resource(t, function), "        Variables:\n")
		block, _, _ = strings.Cut(block, "\n      Events:")
		var declared []string
		for _, match := range variable.FindAllStringSubmatch(block, -1) {
			declared = append(declared, match[1])
			if !slices.Contains(known, match[1]) {
				t.Errorf("%s declares %s, which is no setting", function, match[1])
			}
		}
		slices.Sort(declared)
		if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), declared); diff != "" {
			t.Errorf("%s in infra/env.json and template.yaml (-sample +declared):\n%s", function, diff)
		}
	}
}

// Clerk cannot sign requests for IAM, and questions about tokens are for people
// of the account.
func TestTemplate_AsksForIAMOnTheRouteOfTheDiagnosticsAlone(t *testing.T) {
	t.Parallel()
	const iam = "Authorizer: AWS_IAM"
	if !strings.Contains(resource(t, "JWTDiagnosticsFunction"), iam) {
		t.Errorf("the route of the diagnostics lacks %q", iam)
	}
	if strings.Contains(resource(t, "WebhookIngestFunction"), "Authorizer") || strings.Contains(resource(t, "WebhookApi"), "DefaultAuthorizer") {
		t.Error("the route of the webhooks asks for a permission")
	}
}

func TestTemplate_MakesThePublicAddressOnlyOnDemand(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"DiagnosticsPageUrl", "DiagnosticsPageUrlPermission", "DiagnosticsPageInvokePermission"} {
		if !strings.Contains(resource(t, id), "Condition: ServesDiagnosticsPage") {
			t.Errorf("%s is made whatever the parameter DiagnosticsPage says", id)
		}
	}
	// Without this everybody could invoke the function directly, too.
	if !strings.Contains(resource(t, "DiagnosticsPageInvokePermission"), "InvokedViaFunctionUrl: true") {
		t.Error("the permission to invoke is not for calls through the URL alone")
	}
}
