package infra_test

import (
	"archive/zip"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/testkit/moto"
	"clerksync/shared/testkit/need"
)

func TestMain(m *testing.M) { os.Exit(moto.Main(m)) }

// console is a folder in which somebody types commands, with an account of AWS
// that is moto's.
type console struct {
	t      *testing.T
	folder string
	env    []string
}

func openConsole(t *testing.T) *console {
	t.Helper()
	need.Program(t, "aws", "pip install awscli, in an environment of its own")
	server := moto.Start(t)
	c := &console{t: t, folder: t.TempDir(), env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "AWS_ENDPOINT_URL=" + server.URL, "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=",
		"AWS_DEFAULT_REGION=" + moto.Region, // version 1 of the command line knows it by this name alone
	}}
	for name, value := range server.Environment() {
		c.env = append(c.env, name+"="+value)
	}
	// Functions are answered for without being run.
	call(t, http.MethodPost, server.URL+"/moto-api/config", `{"lambda":{"use_docker":false}}`)
	return c
}

// types runs a command line and returns what it prints; it has to succeed.
func (c *console) types(line string) string {
	c.t.Helper()
	// For SQS the command line's version 1 does not look at AWS_ENDPOINT_URL.
	command := exec.CommandContext(c.t.Context(), "sh", "-c", `aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }; `+line)
	command.Dir, command.Env = c.folder, c.env
	out, err := command.CombinedOutput()
	if err != nil {
		c.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (c *console) saves(name string, content []byte) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.folder, name), content, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// The outputs are typed as they stand, into AWS's own command line.
func TestOutputs_AreCommandsThatRun(t *testing.T) {
	t.Parallel()
	c := openConsole(t)
	s := inMode(t, queued)

	// What the stack would have made, under the names that it has here.
	c.types(`aws secretsmanager create-secret --name ClerksyncSecret`)
	url := c.types(`aws sqs create-queue --queue-name EventDeadLetterQueue --query QueueUrl --output text`)
	arn := c.types(`aws sqs get-queue-attributes --queue-url ` + url + ` --attribute-names QueueArn --query Attributes.QueueArn --output text`)
	role := c.types(`aws iam create-role --role-name FullSyncRole --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}' --query Role.Arn --output text`)
	c.saves("bootstrap.zip", zipped(t))
	for _, name := range []string{"FullSyncFunction", "JWTDiagnosticsFunction"} {
		c.types(`aws lambda create-function --function-name ` + name + ` --runtime provided.al2023 --handler bootstrap --role ` + role + ` --zip-file fileb://bootstrap.zip`)
	}
	c.saves(".env.secret.json", []byte(read(t, "infra/secret.json")))
	c.saves("question.json", []byte(read(t, "infra/events/jwt-diagnostics-plain.json")))

	checks := map[string]func(command string){
		"StoreSecretCommand": func(command string) {
			c.types(command)
			var stored map[string]string
			text := c.types(`aws secretsmanager get-secret-value --secret-id ClerksyncSecret --query SecretString --output text`)
			if err := json.Unmarshal([]byte(text), &stored); err != nil {
				t.Fatalf("the secret is %s: %v", text, err)
			}
			if diff := cmp.Diff(secretShape(t), stored); diff != "" {
				t.Errorf("the secret (-file +stored):\n%s", diff)
			}
		},
		"FullSyncCommand": func(command string) {
			if out := c.types(command); !strings.Contains(out, "202") {
				t.Errorf("%s prints %s, want 202", command, out)
			}
		},
		"DiagnosticsCommand": func(command string) {
			if out := c.types(command); !strings.Contains(out, "200") {
				t.Errorf("%s prints %s, want 200", command, out)
			}
			if _, err := os.Stat(filepath.Join(c.folder, "report.json")); err != nil {
				t.Errorf("%s leaves no report: %v", command, err)
			}
		},
		"RedriveCommand": func(command string) {
			// moto cannot move messages: the command line alone says whether it is a command.
			c.types(strings.ReplaceAll(command, "EventDeadLetterQueue.Arn", arn) + ` --generate-cli-skeleton output`)
		},
	}
	var commands []string
	for name := range s.Outputs {
		if strings.HasSuffix(name, "Command") {
			commands = append(commands, name)
		}
	}
	slices.Sort(commands)
	if diff := cmp.Diff(commands, slices.Sorted(maps.Keys(checks))); diff != "" {
		t.Errorf("commands (-outputs +this test):\n%s", diff)
	}
	for name, check := range checks {
		if command, ok := s.Outputs[name]["Value"].(string); ok {
			check(command)
		}
	}

	// Some descriptions say what to do with the value.
	described := regexp.MustCompile(`aws sqs .*<this>`)
	found := 0
	for _, output := range s.Outputs {
		if command := described.FindString(output["Description"].(string)); command != "" {
			found++
			c.types(strings.ReplaceAll(command, "<this>", url))
		}
	}
	if found == 0 {
		t.Error("no description has a command: this test looks for the wrong words")
	}
}

// zipped is what Lambda takes for a function.
func zipped(t *testing.T) []byte {
	t.Helper()
	var archive strings.Builder
	w := zip.NewWriter(&archive)
	file, err := w.Create("bootstrap")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write([]byte("#!/bin/sh\n")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return []byte(archive.String())
}
