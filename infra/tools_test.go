package infra_test

import (
	"bytes"
	"debug/elf"
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
// function, which Lambda can start, and the nested template. The bytes of a bootstrap
// depend on the source and the version, not on where the source lies or who builds it.
func TestTemplates_BuildIntoSomethingDeployable(t *testing.T) {
	t.Parallel()
	need.Program(t, "sam", "pip install aws-sam-cli")
	need.Program(t, "make", "install make")
	const version = "v0.0.0-test"
	built := filepath.Join(t.TempDir(), "build")
	run(t, []string{"VERSION=" + version}, "sam", "build", "--template", stackTemplate, "--build-dir", built)

	elsewhere := copyTree(t)
	again := exec.CommandContext(t.Context(), "make", "VERSION="+version)
	again.Dir = elsewhere
	for id := range folders(t) {
		again.Args = append(again.Args, "build-"+id)
	}
	if out, err := again.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", again, err, out)
	}
	for id, folder := range folders(t) {
		checkBootstrap(t, filepath.Join(built, id, "bootstrap"), filepath.Join(elsewhere, "build", folder, "bootstrap"), version)
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

// maxBootstrap is what a cold start may have to load, in bytes.
const maxBootstrap = 15 << 20

// checkBootstrap checks that Lambda can start a file, a static arm64 executable of bounded
// size, that it knows its version, and that it is what was built from a copy of the tree.
func checkBootstrap(t *testing.T, path, ofCopy, version string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Error(err)
		return
	}
	if info.Mode().Perm()&0o111 == 0 {
		t.Errorf("%s has mode %v, want it executable", path, info.Mode())
	}
	if info.Size() > maxBootstrap {
		t.Errorf("%s has %d bytes, want at most %d", path, info.Size(), maxBootstrap)
	}
	file, err := elf.Open(path)
	if err != nil {
		t.Errorf("%s is no ELF file: %v", path, err)
		return
	}
	defer file.Close()
	if file.Machine != elf.EM_AARCH64 {
		t.Errorf("%s is for %v, want %v", path, file.Machine, elf.EM_AARCH64)
	}
	if slices.ContainsFunc(file.Progs, func(segment *elf.Prog) bool { return segment.Type == elf.PT_INTERP }) {
		t.Errorf("%s asks for a dynamic loader, want it static", path)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := os.ReadFile(ofCopy)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(content, again) {
		t.Errorf("%s of %d bytes built by sam differs from %d bytes built by make from a copy of the tree", path, len(content), len(again))
	}
	if !bytes.Contains(content, []byte(version)) {
		t.Errorf("%s does not contain its version %s", path, version)
	}
}

// copyTree copies what the functions are built from: no .git, so nothing there could tell
// them a version.
func copyTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"functions", "shared", "sql"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(root, name))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum", "Makefile"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(read(t, name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
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
