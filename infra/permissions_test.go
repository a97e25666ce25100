package infra_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// operation matches a call of AWS in the symbols of a program. The linker drops
// what cannot be reached, so what is there can be called.
var operation = regexp.MustCompile(`github\.com/aws/aws-sdk-go-v2/service/(\w+)\.\(\*Client\)\.([A-Z]\w*)$`)

// credentials are services that the SDK asks for credentials where there are
// none in the environment, as in Lambda there always are.
var credentials = []string{"signin", "sso", "ssooidc", "sts"}

// calls are the calls that a function can make, such as "sqs.SendMessage".
func calls(t *testing.T, folder string) map[string]bool {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "bootstrap")
	// As for deployment, but with its symbols.
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-tags", "lambda.norpc", "-o", binary, "./functions/"+folder)
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", folder, err, out)
	}
	symbols, err := exec.CommandContext(t.Context(), "go", "tool", "nm", binary).Output()
	if err != nil {
		t.Fatalf("reading the symbols of %s: %v", folder, err)
	}
	found := map[string]bool{}
	for line := range strings.Lines(string(symbols)) {
		match := operation.FindStringSubmatch(strings.TrimSpace(line))
		// Options is no call, but how the client was made.
		if match != nil && match[2] != "Options" && !slices.Contains(credentials, match[1]) {
			found[match[1]+"."+match[2]] = true
		}
	}
	return found
}

// program is what a function can call, found out once for all tests.
type program struct {
	once  sync.Once
	calls map[string]bool
}

var programs = map[string]*program{"event-consumer": {}, "full-sync": {}, "jwt-diagnostics": {}, "webhook-ingest": {}}

func callsOf(t *testing.T, folder string) map[string]bool {
	t.Helper()
	p, ok := programs[folder]
	if !ok {
		t.Fatalf("this test does not know %s", folder)
	}
	p.once.Do(func() { p.calls = calls(t, folder) })
	return p.calls
}

// grant is an action that a role may take, and on what.
type grant struct{ Action, Resource string }

// needs are the grants that a function's calls ask for, and what Lambda does in
// its name.
func needs(t *testing.T, s *stack, id string) map[grant]bool {
	t.Helper()
	f := s.Resources[id]
	given := variables(t, f)
	want := map[grant]bool{}
	for made := range callsOf(t, folders(t)[id]) {
		switch made {
		case "secretsmanager.GetSecretValue":
			want[grant{"secretsmanager:GetSecretValue", given["CLERKSYNC_SECRET_ID"]}] = true
		case "lambda.Invoke":
			// Itself, to go on.
			want[grant{"lambda:InvokeFunction", id + ".Arn"}] = true
		case "sqs.SendMessage":
			if queue := given["EVENT_QUEUE_URL"]; queue != "" {
				want[grant{"sqs:SendMessage", queue + ".Arn"}] = true
			}
		default:
			t.Errorf("%s can call %s, and this test does not know what that needs", id, made)
		}
	}
	if f.at("Tracing") == "Active" {
		want[grant{"xray:PutTraceSegments", "*"}] = true
		want[grant{"xray:PutTelemetryRecords", "*"}] = true
	}
	if group, ok := f.at("LoggingConfig", "LogGroup").(string); ok {
		want[grant{"logs:CreateLogStream", group + ".Arn"}] = true
		want[grant{"logs:PutLogEvents", group + ".Arn"}] = true
	}
	if queue, ok := f.at("EventInvokeConfig", "DestinationConfig", "OnFailure", "Destination").(string); ok {
		want[grant{"sqs:SendMessage", queue}] = true
	}
	events, _ := f.at("Events").(object)
	for _, event := range events {
		if event.(object)["Type"] != "SQS" {
			continue
		}
		// AWS, "Using Lambda with Amazon SQS": what the role needs for the event source mapping.
		queue := resource{Properties: event.(object)["Properties"].(object)}.at("Queue").(string)
		for _, action := range []string{"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"} {
			want[grant{action, queue}] = true
		}
	}
	return want
}

// roleOf is the logical id of a function's role.
func roleOf(f resource) string {
	return strings.TrimSuffix(f.at("Role").(string), ".Arn")
}

// documents are the policies of a role: its own, those attached to it, and those
// that are resources themselves.
func documents(s *stack, role string) []object {
	var found []object
	for _, policy := range list(s.Resources[role].at("Policies")) {
		found = append(found, policy.(object)["PolicyDocument"].(object))
	}
	for _, arn := range list(s.Resources[role].at("ManagedPolicyArns")) {
		found = append(found, s.Resources[arn.(string)].at("PolicyDocument").(object))
	}
	for _, policy := range s.of("AWS::IAM::RolePolicy") {
		if policy.at("RoleName") == role {
			found = append(found, policy.at("PolicyDocument").(object))
		}
	}
	return found
}

// grants are what policies allow. Anything but a plain permission fails the test.
func grants(t *testing.T, policies []object) map[grant]bool {
	t.Helper()
	found := map[grant]bool{}
	for _, policy := range policies {
		for _, statement := range policy["Statement"].([]any) {
			statement := statement.(object)
			if statement["Effect"] != "Allow" || statement["Action"] == nil || statement["Resource"] == nil {
				t.Errorf("%v is no plain permission", statement)
			}
			for _, action := range list(statement["Action"]) {
				for _, on := range list(statement["Resource"]) {
					found[grant{action.(string), on.(string)}] = true
				}
			}
		}
	}
	return found
}

func sorted(grants map[grant]bool) []string {
	var lines []string
	for g := range grants {
		lines = append(lines, fmt.Sprintf("%s on %s", g.Action, g.Resource))
	}
	slices.Sort(lines)
	return lines
}

func TestPermissions_AreWhatTheFunctionsCall(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{direct, queued, draining} {
		s := inMode(t, mode)
		for id, f := range s.of(serverlessFunction) {
			role := roleOf(f)
			if diff := cmp.Diff(sorted(needs(t, s, id)), sorted(grants(t, documents(s, role)))); diff != "" {
				t.Errorf("%s: %s (-needed +allowed):\n%s", mode, id, diff)
			}
			wantTrust(t, s, role, "lambda.amazonaws.com", object{"aws:SourceAccount": pseudo["AWS::AccountId"]})
		}
		for id, schedule := range schedules(s) {
			role := roleOf(schedule.properties)
			want := map[grant]bool{
				{"lambda:InvokeFunction", schedule.function + ".Arn"}:                           true,
				{"sqs:SendMessage", schedule.properties.at("DeadLetterConfig", "Arn").(string)}: true,
			}
			if diff := cmp.Diff(sorted(want), sorted(grants(t, documents(s, role)))); diff != "" {
				t.Errorf("%s: %s (-needed +allowed):\n%s", mode, id, diff)
			}
			// AWS, "Confused deputy prevention in EventBridge Scheduler": the group, and no schedule.
			group, named := schedule.properties.at("GroupName").(string)
			if !named {
				group = "default"
			}
			wantTrust(t, s, role, "scheduler.amazonaws.com", object{
				"aws:SourceAccount": pseudo["AWS::AccountId"], "aws:SourceArn": "arn:aws:scheduler:eu-central-1:123456789012:schedule-group/" + group,
			})
		}
	}
	if secrets := callsOf(t, "full-sync"); !secrets["secretsmanager.GetSecretValue"] {
		t.Errorf("the symbols do not show that secrets are read: %v", slices.Sorted(maps.Keys(secrets)))
	}
}

// schedule is one that starts a function.
type schedule struct {
	function   string
	properties resource
}

func schedules(s *stack) map[string]schedule {
	found := map[string]schedule{}
	for id, f := range s.of(serverlessFunction) {
		events, _ := f.at("Events").(object)
		for name, event := range events {
			if event.(object)["Type"] == "ScheduleV2" {
				properties := resource{Properties: maps.Clone(event.(object)["Properties"].(object))}
				properties.Properties["Role"] = properties.at("RoleArn")
				found[id+name] = schedule{id, properties}
			}
		}
	}
	return found
}

// wantTrust fails unless a service, and only for what the conditions say, may
// assume a role.
func wantTrust(t *testing.T, s *stack, role, service string, conditions object) {
	t.Helper()
	want := []any{object{
		"Effect": "Allow", "Principal": object{"Service": service}, "Action": "sts:AssumeRole", "Condition": object{"StringEquals": conditions},
	}}
	if diff := cmp.Diff(want, s.Resources[role].at("AssumeRolePolicyDocument", "Statement")); diff != "" {
		t.Errorf("who may assume %s (-want +got):\n%s", role, diff)
	}
}

// Nothing is allowed on everything but what knows no resources, and no action
// stands for others.
func TestPermissions_NameWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	s := deploy(t, stackTemplate, map[string]string{
		"IngestMode": queued, "DiagnosticsSecretId": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:diagnostics-a1B2c3", "SecretKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/0",
	})
	for _, f := range s.of(serverlessFunction) {
		role := roleOf(f)
		for g := range grants(t, documents(s, role)) {
			if strings.Contains(g.Action, "*") || strings.Contains(g.Resource, "*") && !strings.HasPrefix(g.Action, "xray:") {
				t.Errorf("%s may %s on %s", role, g.Action, g.Resource)
			}
		}
	}
	// Roles and policies that belong to no function would not have been looked at.
	used := map[string]bool{}
	for _, f := range s.of(serverlessFunction) {
		role := roleOf(f)
		used[role] = true
		for _, arn := range list(s.Resources[role].at("ManagedPolicyArns")) {
			used[arn.(string)] = true
		}
	}
	for _, schedule := range schedules(s) {
		used[roleOf(schedule.properties)] = true
	}
	for id, r := range s.Resources {
		switch r.Type {
		case "AWS::IAM::Role", "AWS::IAM::ManagedPolicy":
			if !used[id] {
				t.Errorf("%s is no function's", id)
			}
		case "AWS::IAM::RolePolicy":
			if !used[r.at("RoleName").(string)] {
				t.Errorf("%s is no function's", id)
			}
		case "AWS::IAM::Policy", "AWS::IAM::UserPolicy":
			t.Errorf("%s is a kind of policy that these tests do not read", id)
		}
	}
}

func TestPermissions_ReachOneSecret(t *testing.T) {
	t.Parallel()
	const key = "arn:aws:kms:eu-central-1:123456789012:key/0"
	tests := []struct {
		secretID, keyArn string
		secret           string
	}{
		{"", "", "ClerksyncSecret"},
		// Names go on with a hyphen and six characters, and only those.
		{"prod/clerksync", "", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/clerksync-??????"},
		{"arn:aws:secretsmanager:eu-west-1:210987654321:secret:clerksync-a1B2c3", key, "arn:aws:secretsmanager:eu-west-1:210987654321:secret:clerksync-a1B2c3"},
	}
	for _, test := range tests {
		s := deploy(t, stackTemplate, map[string]string{"SecretId": test.secretID, "SecretKeyArn": test.keyArn})
		for id, f := range s.of(serverlessFunction) {
			wantSecret(t, s, id, f, test.secret)
			wantDecrypt(t, s, f, test.keyArn, test.secret)
		}
	}
}

// wantDecrypt fails unless a function may decrypt with the key, if there is one,
// and nothing but the one secret. Secrets Manager encrypts for the secret's ARN and
// says so when it decrypts.
func wantDecrypt(t *testing.T, s *stack, f resource, key, secret string) {
	t.Helper()
	var want, found []object
	if key != "" {
		want = []object{{
			"Sid": "DecryptTheOneSecret", "Effect": "Allow", "Action": "kms:Decrypt", "Resource": key,
			"Condition": object{"StringLike": object{"kms:ViaService": "secretsmanager.*.amazonaws.com", "kms:EncryptionContext:SecretARN": secret}},
		}}
	}
	for _, policy := range documents(s, roleOf(f)) {
		for _, statement := range policy["Statement"].([]any) {
			if strings.Contains(fmt.Sprint(statement.(object)["Action"]), "kms:") {
				found = append(found, statement.(object))
			}
		}
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("what %s may decrypt (-want +got):\n%s", roleOf(f), diff)
	}
}

// The diagnostics, which strangers may be let near, can have a secret of their
// own: then they cannot read the others', nor the others theirs.
func TestPermissions_KeepTheDiagnosticsFromTheOtherSecret(t *testing.T) {
	t.Parallel()
	for secretID, arn := range map[string]string{
		"diagnostics": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:diagnostics-??????",
		"arn:aws:secretsmanager:eu-west-1:210987654321:secret:diagnostics-a1B2c3": "arn:aws:secretsmanager:eu-west-1:210987654321:secret:diagnostics-a1B2c3",
	} {
		const key = "arn:aws:kms:eu-central-1:123456789012:key/0"
		s := deploy(t, stackTemplate, map[string]string{"DiagnosticsSecretId": secretID, "SecretKeyArn": key, "IngestMode": queued})
		for id, f := range s.of(serverlessFunction) {
			want, reads := "ClerksyncSecret", "ClerksyncSecret"
			if id == "JWTDiagnosticsFunction" {
				want, reads = arn, secretID
			}
			wantSecret(t, s, id, f, want)
			wantDecrypt(t, s, f, key, want)
			if got := variables(t, f)["CLERKSYNC_SECRET_ID"]; got != reads {
				t.Errorf("%s reads the secret %q, want %q", id, got, reads)
			}
		}
	}
}

// wantSecret fails unless a function may read this secret and no other.
func wantSecret(t *testing.T, s *stack, id string, f resource, want string) {
	t.Helper()
	var readable []string
	for g := range grants(t, documents(s, roleOf(f))) {
		if strings.HasPrefix(g.Action, "secretsmanager:") {
			readable = append(readable, g.Action+" on "+g.Resource)
		}
	}
	if diff := cmp.Diff([]string{"secretsmanager:GetSecretValue on " + want}, readable); diff != "" {
		t.Errorf("%s (-want +allowed):\n%s", id, diff)
	}
}

// Queues and the topic refuse whoever comes without TLS, and let nobody in by
// themselves but the stack's own alarms.
func TestPermissions_KeepQueuesAndTopicClosed(t *testing.T) {
	t.Parallel()
	s := deploy(t, stackTemplate, map[string]string{"IngestMode": queued, "AlarmEmail": "on-call@example.com"})
	for id, queue := range s.of("AWS::SQS::Queue") {
		if queue.at("SqsManagedSseEnabled") != "true" {
			t.Errorf("%s is not encrypted", id)
		}
		wantClosed(t, s, "AWS::SQS::QueuePolicy", "Queues", id, id+".Arn", "sqs:*", nil)
	}
	m := s.monitoring()
	wantClosed(t, m, "AWS::SNS::TopicPolicy", "Topics", "AlarmTopic", "AlarmTopic", "sns:Publish", object{
		"Sid": "PublishAlarms", "Effect": "Allow", "Principal": object{"Service": "cloudwatch.amazonaws.com"}, "Action": "sns:Publish", "Resource": "AlarmTopic",
		"Condition": object{"ArnLike": object{"aws:SourceArn": "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:clerksync-*"}},
	})
}

func wantClosed(t *testing.T, s *stack, kind, member, id, arn, action string, allowed object) {
	t.Helper()
	for _, policy := range s.of(kind) {
		if !slices.Equal(list(policy.at(member)), []any{id}) {
			continue
		}
		denied := false
		for _, statement := range policy.at("PolicyDocument", "Statement").([]any) {
			want := object{
				"Sid": "RefuseWithoutTLS", "Effect": "Deny", "Principal": "*", "Action": action, "Resource": arn,
				"Condition": object{"Bool": object{"aws:SecureTransport": "false"}},
			}
			if statement.(object)["Effect"] == "Allow" {
				want = allowed
			} else {
				denied = true
			}
			if diff := cmp.Diff(want, statement.(object)); diff != "" {
				t.Errorf("policy of %s (-want +got):\n%s", id, diff)
			}
		}
		if !denied {
			t.Errorf("%s can be used without TLS", id)
		}
		return
	}
	t.Errorf("%s has no policy", id)
}
