package infra_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"clerksync/shared/testkit/moto"
	"clerksync/shared/testkit/need"
)

// samEnv keeps sam from calling home and gives it the region that validation asks for; nothing is sent to it.
var samEnv = []string{"SAM_CLI_TELEMETRY=0", "AWS_DEFAULT_REGION=us-east-1"}

// run runs a command at the root of the tree, with env added to the test's own; it has to succeed.
func run(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, args...)
	command.Dir = root
	command.Env = slices.Concat(os.Environ(), samEnv, env)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", command, err, out)
	}
}

func TestTemplates_AreValid(t *testing.T) {
	t.Parallel()
	t.Run("cfn-lint", func(t *testing.T) {
		t.Parallel()
		need.Program(t, "cfn-lint", "pip install cfn-lint")
		run(t, nil, "cfn-lint", "--", stackTemplate, monitoringTemplate)
	})
	t.Run("sam validate", func(t *testing.T) {
		t.Parallel()
		need.Program(t, "sam", "pip install aws-sam-cli")
		run(t, nil, "sam", "validate", "--lint", "--template", stackTemplate)
	})
}

// translation is the template in the debug output of `sam validate`, up to the next line of its log.
var translation = regexp.MustCompile(`(?s)Translated template is:\n(.*?)\n\d{4}-\d\d-\d\d `)

// SAM writes resources of its own: roles and permissions among them that no one
// reads in the template.
func TestTemplates_BecomeWhatTheyShould(t *testing.T) {
	t.Parallel()
	need.Program(t, "sam", "pip install aws-sam-cli")
	command := exec.CommandContext(t.Context(), "sam", "validate", "--debug", "--template", stackTemplate,
		"--config-env", "none") // where samconfig.toml has it linted, it is not translated
	command.Dir, command.Env = root, append(os.Environ(), samEnv...)
	var log strings.Builder
	command.Stderr = &log
	if err := command.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", command, err, log.String())
	}
	match := translation.FindStringSubmatch(log.String())
	if match == nil {
		t.Fatalf("the log of sam validate has no translated template:\n%.2000s", log.String())
	}
	var translated struct {
		Resources map[string]map[string]any `yaml:"Resources"`
	}
	if err := yaml.Unmarshal([]byte(match[1]), &translated); err != nil {
		t.Fatal(err)
	}

	written := parse(t, stackTemplate)["Resources"].(object)
	added := map[string]string{}
	for id, r := range translated.Resources {
		if written[id] == nil {
			added[id] = r["Type"].(string)
		}
	}
	want := map[string]string{
		"EventConsumerFunctionEvents":       "AWS::Lambda::EventSourceMapping",
		"FullSyncFunctionEventInvokeConfig": "AWS::Lambda::EventInvokeConfig",
		"FullSyncFunctionSchedule":          "AWS::Scheduler::Schedule",
	}
	if diff := cmp.Diff(want, added); diff != "" {
		t.Errorf("resources that SAM adds (-want +got):\n%s", diff)
	}
	if source := translated.Resources["EventConsumerFunctionEvents"]; source["Condition"] != "QueuesEvents" {
		t.Errorf("the consumer's source is made where %v", source["Condition"])
	}

	// SAM would make a role of its own, which anyone's schedule could have assumed.
	if schedule := plainJSON(t, translated.Resources["FullSyncFunctionSchedule"]); !strings.Contains(schedule, `"RoleArn":{"Fn::GetAtt":["FullSyncScheduleRole","Arn"]}`) || strings.Contains(schedule, `"GroupName"`) {
		t.Errorf("the schedule is not in the default group with the role of the template: %s", schedule)
	}
}

func plainJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What `sam deploy` uploads is all there after `sam build`: a bootstrap for each
// function, and the nested template.
func TestTemplates_BuildIntoSomethingDeployable(t *testing.T) {
	t.Parallel()
	need.Program(t, "sam", "pip install aws-sam-cli")
	need.Program(t, "make", "install make")
	built := filepath.Join(t.TempDir(), "build")
	run(t, nil, "sam", "build", "--template", stackTemplate, "--build-dir", built)
	for id := range folders(t) {
		if info, err := os.Stat(filepath.Join(built, id, "bootstrap")); err != nil || info.Mode().Perm()&0o111 == 0 {
			t.Errorf("%s has no executable bootstrap: %v", id, err)
		}
	}

	// As `sam deploy` does before it asks CloudFormation for anything.
	server := moto.Start(t)
	const bucket = "artifacts-of-this-test"
	call(t, http.MethodPut, server.URL+"/"+bucket, "")
	packaged := filepath.Join(t.TempDir(), "packaged.yaml")
	env := []string{"AWS_ENDPOINT_URL=" + server.URL}
	for name, value := range server.Environment() {
		env = append(env, name+"="+value)
	}
	// A bucket that was made without a region is in this one.
	env = append(env, "AWS_REGION=us-east-1")
	run(t, env, "sam", "package", "--template-file", filepath.Join(built, "template.yaml"), "--s3-bucket", bucket, "--output-template-file", packaged, "--config-env", "none")
	text, err := os.ReadFile(packaged)
	if err != nil {
		t.Fatal(err)
	}
	if uploaded, want := strings.Count(string(text), "CodeUri: s3://"+bucket+"/"), len(folders(t)); uploaded != want {
		t.Errorf("%d functions are uploaded, want %d", uploaded, want)
	}
	nested := regexp.MustCompile(`TemplateURL: (\S+)`).FindStringSubmatch(string(text))
	if nested == nil {
		t.Fatal("the packaged template nests nothing")
	}
	if monitoring := call(t, http.MethodGet, nested[1], ""); !strings.Contains(monitoring, "AWS::CloudWatch::Dashboard") {
		t.Errorf("what is nested is not the monitoring:\n%.500s", monitoring)
	}
}

// call sends a request to moto and returns the answer's body.
func call(t *testing.T, method, url, body string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	// Nobody checks the signature, but a bucket wants one.
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= http.StatusMultipleChoices {
		t.Fatalf("%s %s: %s, %v\n%s", method, url, response.Status, err, text)
	}
	return string(text)
}
