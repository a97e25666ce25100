package infra_test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/testkit/need"
)

// makefileFunction is a line of the Makefile that names a function's folder.
var makefileFunction = regexp.MustCompile(`(?m)^FUNCTION_(\w+) := (\S+)$`)

// folders are the folders of the functions below functions/, by logical id, as
// the Makefile knows them.
func folders(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, line := range makefileFunction.FindAllStringSubmatch(read(t, "Makefile"), -1) {
		found[line[1]] = line[2]
	}
	return found
}

// read returns the text of a file of the tree.
func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sampleEnvironment is infra/env.json: variables by function.
func sampleEnvironment(t *testing.T) map[string]map[string]string {
	t.Helper()
	var environment map[string]map[string]string
	if err := json.Unmarshal([]byte(read(t, "infra/env.json")), &environment); err != nil {
		t.Fatal(err)
	}
	return environment
}

func names(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestFunctions_AreTheSameEverywhere(t *testing.T) {
	t.Parallel()
	want := slices.Sorted(maps.Keys(inMode(t, queued).of(serverlessFunction)))
	byID := folders(t)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(byID))); diff != "" {
		t.Errorf("functions of the Makefile (-template +Makefile):\n%s", diff)
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(sampleEnvironment(t)))); diff != "" {
		t.Errorf("functions of infra/env.json (-template +env.json):\n%s", diff)
	}

	var mains []string
	for _, file := range names(t, "functions/*/main.go") {
		mains = append(mains, filepath.Base(filepath.Dir(file)))
	}
	if diff := cmp.Diff(slices.Sorted(maps.Values(byID)), mains); diff != "" {
		t.Errorf("main packages below functions/ (-Makefile +tree):\n%s", diff)
	}

	// <folder>.json, or <folder>-<what is special about it>.json.
	samples := map[string]int{}
	for _, file := range names(t, "infra/events/*.json") {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		owner := ""
		for _, folder := range mains {
			if name == folder || strings.HasPrefix(name, folder+"-") {
				owner = folder
			}
		}
		if owner == "" {
			t.Errorf("infra/events/%s.json is no function's", name)
		}
		samples[owner]++
	}
	for _, folder := range mains {
		if samples[folder] == 0 {
			t.Errorf("infra/events has no sample event for %s", folder)
		}
	}
	for _, file := range append(names(t, "infra/*.json"), append(names(t, "infra/*.yaml"), names(t, "infra/events/*")...)...) {
		if name, _ := filepath.Rel(filepath.Join(root, "infra"), file); !strings.Contains(read(t, "infra/README.md"), "`"+name+"`") {
			t.Errorf("infra/README.md does not say what %s is for", name)
		}
	}
}

// `sam build` calls the target that is named after the function.
func TestFunctions_AreBuiltFromTheirFolders(t *testing.T) {
	t.Parallel()
	need.Program(t, "make", "install make")
	for id, folder := range folders(t) {
		command := exec.CommandContext(t.Context(), "make", "--dry-run", "build-"+id, "ARTIFACTS_DIR=/artifacts")
		command.Dir = root
		out, err := command.CombinedOutput()
		if err != nil {
			t.Errorf("make build-%s: %v\n%s", id, err, out)
			continue
		}
		for _, part := range []string{"GOOS=linux", "GOARCH=arm64", "-trimpath", "-X main.version=", "/artifacts/bootstrap", "./functions/" + folder} {
			if !strings.Contains(string(out), part) {
				t.Errorf("make build-%s lacks %s:\n%s", id, part, out)
			}
		}
	}
}

func TestFunctions_HaveTheirOwnRoleAndLogGroup(t *testing.T) {
	t.Parallel()
	s := inMode(t, queued)
	owner := map[any]string{}
	for id, f := range s.of(serverlessFunction) {
		if f.at("Runtime") != "provided.al2023" || f.at("Handler") != "bootstrap" || f.at("CodeUri") != "." || !slices.Equal(list(f.at("Architectures")), []any{"arm64"}) {
			t.Errorf("%s is not what the Makefile builds: %v", id, f.Properties)
		}
		if metadata, _ := f.Attributes["Metadata"].(object); metadata["BuildMethod"] != "makefile" {
			t.Errorf("%s is not built by the Makefile", id)
		}
		if f.at("Tracing") != "Active" {
			t.Errorf("%s is not traced", id)
		}
		// JSON would wrap the function's lines, and CloudWatch would find no metrics in them.
		if f.at("LoggingConfig", "LogFormat") != "Text" {
			t.Errorf("%s has its log lines wrapped by Lambda", id)
		}
		group, _ := f.at("LoggingConfig", "LogGroup").(string)
		logs := s.Resources[group]
		if logs.Type != "AWS::Logs::LogGroup" || logs.at("RetentionInDays") == nil || logs.at("LogGroupName") != "/aws/lambda/clerksync-"+folders(t)[id] {
			t.Errorf("%s logs to %q, which is %+v, want a log group of its own with a retention", id, group, logs)
		}
		role, _ := f.at("Role").(string)
		role, _ = strings.CutSuffix(role, ".Arn")
		if s.Resources[role].Type != "AWS::IAM::Role" {
			t.Errorf("%s has the role %q, want one of the stack", id, role)
		}
		for _, what := range []any{group, role} {
			if other, taken := owner[what]; taken {
				t.Errorf("%s and %s share %v", id, other, what)
			}
			owner[what] = id
		}
	}
}

// In the mode direct there is nothing that only queued events need.
func TestFunctions_ConsumeOnlyWhereEventsAreQueued(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]bool{direct: false, queued: true, draining: true} {
		s := inMode(t, mode)
		for id, r := range s.Resources {
			if strings.HasPrefix(id, "Event") && !want {
				t.Errorf("%s: %s %s is made", mode, r.Type, id)
			}
		}
		if _, made := s.Resources["EventConsumerFunction"]; made != want {
			t.Errorf("%s: a consumer is made: %v, want %v", mode, made, want)
		}
		queue := s.Resources["WebhookIngestFunction"].at("Environment", "Variables", "EVENT_QUEUE_URL")
		if sends := queue == "EventQueue"; sends != (mode == queued) || !sends && queue != "" {
			t.Errorf("%s: webhooks go to the queue %q", mode, queue)
		}
	}
	events := inMode(t, queued).Resources["EventConsumerFunction"].at("Events").(object)
	if len(events) != 1 {
		t.Fatalf("the consumer has %d sources, want one", len(events))
	}
	for _, event := range events {
		source := resource{Properties: event.(object)["Properties"].(object)}
		if event.(object)["Type"] != "SQS" || source.at("Queue") != "EventQueue.Arn" || !slices.Equal(list(source.at("FunctionResponseTypes")), []any{"ReportBatchItemFailures"}) || source.at("ScalingConfig", "MaximumConcurrency") == nil {
			t.Errorf("the consumer's source is %v", event)
		}
	}
}

// A failed run is seen by whoever looks, whether it could not be started or failed.
func TestFunctions_SendFailedSyncsToTheirQueue(t *testing.T) {
	t.Parallel()
	f := inMode(t, direct).Resources["FullSyncFunction"]
	const queue = "FullSyncFailureQueue.Arn"
	schedule := resource{Properties: f.at("Events", "Schedule", "Properties").(object)}
	if schedule.at("DeadLetterConfig", "Arn") != queue || schedule.at("RetryPolicy", "MaximumRetryAttempts") == nil {
		t.Errorf("the schedule is %v, want retries and the dead-letter queue %s", schedule.Properties, queue)
	}
	if f.at("EventInvokeConfig", "DestinationConfig", "OnFailure", "Destination") != queue {
		t.Errorf("failed invocations go to %v, want %s", f.at("EventInvokeConfig"), queue)
	}
}
