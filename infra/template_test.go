package infra_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"clerksync/shared/webhook"
)

const (
	// root is where template.yaml and the Makefile lie.
	root = ".."

	stackTemplate      = "template.yaml"
	monitoringTemplate = "infra/monitoring.yaml"
)

// object is a mapping of a template.
type object = map[string]any

// parse reads a template with its short forms written out: !Ref x is {"Ref": x}.
func parse(t *testing.T, file string) object {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return plain(t, file, document.Content[0]).(object)
}

// plain turns a node into an object, a []any, a string or nil. Numbers and
// booleans stay the text that they are in the file.
func plain(t *testing.T, file string, node *yaml.Node) any {
	t.Helper()
	var value any
	switch node.Kind {
	case yaml.MappingNode:
		mapping := object{}
		for n := 0; n < len(node.Content); n += 2 {
			key := node.Content[n].Value
			if _, twice := mapping[key]; twice {
				t.Fatalf("%s:%d: %s is there twice", file, node.Content[n].Line, key)
			}
			mapping[key] = plain(t, file, node.Content[n+1])
		}
		value = mapping
	case yaml.SequenceNode:
		sequence := []any{}
		for _, item := range node.Content {
			sequence = append(sequence, plain(t, file, item))
		}
		value = sequence
	case yaml.ScalarNode:
		if node.Tag != "!!null" {
			value = node.Value
		}
	default:
		t.Fatalf("%s:%d: an alias, which CloudFormation does not know everywhere", file, node.Line)
	}

	switch tag := node.Tag; {
	case strings.HasPrefix(tag, "!!"):
		return value
	case tag == "!Ref", tag == "!Condition":
		return object{tag[1:]: value}
	case tag == "!GetAtt":
		resource, attribute, _ := strings.Cut(value.(string), ".")
		return object{"Fn::GetAtt": []any{resource, attribute}}
	default:
		return object{"Fn::" + tag[1:]: value}
	}
}

// stack is a template as CloudFormation reads it with given parameters. Names
// that it would give are made up of logical ids: Ref of a resource is its id,
// GetAtt its id, a point and the attribute.
type stack struct {
	t          *testing.T
	file       string
	template   object
	parameters map[string]string

	// Resources are those that exist, by their logical ids.
	Resources map[string]resource
	Outputs   map[string]object
}

// resource is one with its functions resolved.
type resource struct {
	Type       string
	Properties object
	// Attributes are everything else, such as DeletionPolicy.
	Attributes object
}

// deploy reads a template with parameters that its rules let through; those that
// are not given have their defaults. A reference to what does not exist then fails
// the test.
func deploy(t *testing.T, file string, parameters map[string]string) *stack {
	t.Helper()
	s := &stack{t: t, file: file, template: parse(t, file), parameters: map[string]string{}, Resources: map[string]resource{}, Outputs: map[string]object{}}
	declared := s.template["Parameters"].(object)
	for name, declaration := range declared {
		value, ok := parameters[name]
		if !ok {
			if value, ok = declaration.(object)["Default"].(string); !ok {
				t.Fatalf("%s: parameter %s is not given and has no default", file, name)
			}
		}
		if problem := refused(declaration.(object), value); problem != "" {
			t.Fatalf("%s: parameter %s: %q %s", file, name, value, problem)
		}
		s.parameters[name] = value
	}
	for name := range parameters {
		if declared[name] == nil {
			t.Fatalf("%s has no parameter %s", file, name)
		}
	}

	if broken := s.brokenRules(); broken != nil {
		t.Fatalf("%s refuses %v: %s", file, parameters, strings.Join(broken, "; "))
	}

	for id, declaration := range s.template["Resources"].(object) {
		declaration := declaration.(object)
		if !s.exists(id) {
			continue
		}
		r := resource{Type: declaration["Type"].(string), Attributes: object{}}
		for key, value := range declaration {
			if key != "Properties" && key != "Type" && key != "Condition" {
				r.Attributes[key] = s.resolve(value)
			}
		}
		properties, _ := declaration["Properties"].(object)
		if globals, ok := s.template["Globals"].(object); ok && r.Type == serverlessFunction {
			properties = merge(globals["Function"].(object), properties)
		}
		r.Properties, _ = s.resolve(properties).(object)
		s.Resources[id] = r
	}
	outputs, _ := s.template["Outputs"].(object)
	for name, declaration := range outputs {
		if condition, ok := declaration.(object)["Condition"].(string); !ok || s.holds(condition) {
			s.Outputs[name] = s.resolve(declaration).(object)
		}
	}
	return s
}

// brokenRules are the descriptions of the assertions that the parameters do not
// meet, as CloudFormation shows them when it refuses a deployment.
func (s *stack) brokenRules() []string {
	s.t.Helper()
	var broken []string
	rules, _ := s.template["Rules"].(object)
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		rule := rules[name].(object)
		s.wantRuleFunctions(name, rule)
		if condition, ok := rule["RuleCondition"]; ok && s.resolve(condition) != any(true) {
			continue
		}
		for _, assertion := range rule["Assertions"].([]any) {
			assertion := assertion.(object)
			if s.resolve(assertion["Assert"]) != any(true) {
				broken = append(broken, assertion["AssertDescription"].(string))
			}
		}
	}
	return broken
}

// wantRuleFunctions fails the test where a rule uses what works only outside of
// rules, such as Fn::Split, or refers to anything but a parameter.
func (s *stack) wantRuleFunctions(rule string, value any) {
	s.t.Helper()
	switch value := value.(type) {
	case object:
		for key, item := range value {
			if strings.HasPrefix(key, "Fn::") && !slices.Contains([]string{"Fn::And", "Fn::Equals", "Fn::Not", "Fn::Or"}, key) {
				s.t.Fatalf("%s: rule %s uses %s, which rules do not know, or these tests", s.file, rule, key)
			}
			if _, parameter := s.parameters[fmt.Sprint(item)]; key == "Ref" && !parameter || key == "Condition" {
				s.t.Fatalf("%s: rule %s refers to %v, which is no parameter", s.file, rule, item)
			}
			s.wantRuleFunctions(rule, item)
		}
	case []any:
		for _, item := range value {
			s.wantRuleFunctions(rule, item)
		}
	}
}

const serverlessFunction = "AWS::Serverless::Function"

// merge lays special over general, as SAM does with its Globals: a function is
// a value like any other, lists are added to each other.
func merge(general, special object) object {
	merged := maps.Clone(general)
	for key, value := range special {
		switch before := merged[key].(type) {
		case object:
			if after, ok := value.(object); ok && !isFunction(before) && !isFunction(after) {
				value = merge(before, after)
			}
		case []any:
			if after, ok := value.([]any); ok {
				value = slices.Concat(before, after)
			}
		}
		merged[key] = value
	}
	return merged
}

// isFunction reports whether a mapping is a call of one of CloudFormation's functions.
func isFunction(mapping object) bool {
	for name, argument := range mapping {
		return len(mapping) == 1 && (name == "Ref" || name == "Condition" && isName(argument) || strings.HasPrefix(name, "Fn::"))
	}
	return false
}

// refused says why a declaration does not take a value, or "".
func refused(declaration object, value string) string {
	if pattern, ok := declaration["AllowedPattern"].(string); ok && !regexp.MustCompile(`^(?:`+pattern+`)$`).MatchString(value) {
		return "does not match " + pattern
	}
	if allowed, ok := declaration["AllowedValues"].([]any); ok && !slices.Contains(allowed, any(value)) {
		return fmt.Sprintf("is none of %v", allowed)
	}
	if declaration["Type"] != "Number" {
		return ""
	}
	number, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return "is no number"
	}
	if least, err := strconv.ParseFloat(fmt.Sprint(declaration["MinValue"]), 64); err == nil && number < least {
		return fmt.Sprintf("is below %v", least)
	}
	if most, err := strconv.ParseFloat(fmt.Sprint(declaration["MaxValue"]), 64); err == nil && number > most {
		return fmt.Sprintf("is above %v", most)
	}
	return ""
}

// exists says whether a resource is made.
func (s *stack) exists(id string) bool {
	s.t.Helper()
	declaration, ok := s.template["Resources"].(object)[id].(object)
	if !ok {
		return false
	}
	condition, conditional := declaration["Condition"].(string)
	return !conditional || s.holds(condition)
}

func (s *stack) holds(condition string) bool {
	s.t.Helper()
	declaration, ok := s.template["Conditions"].(object)[condition]
	if !ok {
		s.t.Fatalf("%s has no condition %s", s.file, condition)
	}
	return s.resolve(declaration) == any(true)
}

// absent is what AWS::NoValue resolves to.
type absent struct{}

// pseudo are the parameters that every stack has.
var pseudo = map[string]any{
	"AWS::AccountId": "123456789012", "AWS::Partition": "aws", "AWS::Region": "eu-central-1", "AWS::StackName": "clerksync",
	"AWS::StackId":   "arn:aws:cloudformation:eu-central-1:123456789012:stack/clerksync/5b2c9f40-7a1e-11f0-8c3d-0a1b2c3d4e5f",
	"AWS::URLSuffix": "amazonaws.com", "AWS::NoValue": absent{},
}

// resolve evaluates the functions in a value.
func (s *stack) resolve(value any) any {
	s.t.Helper()
	switch value := value.(type) {
	case object:
		if isFunction(value) {
			for name, argument := range value {
				return s.call(name, argument)
			}
		}
		resolved := object{}
		for key, item := range value {
			if item := s.resolve(item); item != any(absent{}) {
				resolved[key] = item
			}
		}
		return resolved
	case []any:
		resolved := []any{}
		for _, item := range value {
			if item := s.resolve(item); item != any(absent{}) {
				resolved = append(resolved, item)
			}
		}
		return resolved
	default:
		return value
	}
}

func isName(value any) bool {
	_, ok := value.(string)
	return ok
}

// call evaluates one function. Fn::If resolves only the branch that is taken.
func (s *stack) call(name string, argument any) any {
	s.t.Helper()
	switch name {
	case "Ref":
		return s.ref(argument.(string))
	case "Condition":
		return s.holds(argument.(string))
	case "Fn::If":
		branches := argument.([]any)
		if s.holds(branches[0].(string)) {
			return s.resolve(branches[1])
		}
		return s.resolve(branches[2])
	case "Fn::Sub":
		return s.substitute(argument)
	}
	arguments, ok := s.resolve(argument).([]any)
	if !ok {
		s.t.Fatalf("%s: %s of something else than a list: %v", s.file, name, argument)
	}
	switch name {
	case "Fn::GetAtt":
		return s.attribute(arguments[0].(string), arguments[1].(string))
	case "Fn::Equals":
		return arguments[0] == arguments[1]
	case "Fn::Not":
		return arguments[0] != any(true)
	case "Fn::And":
		return !slices.Contains(arguments, any(false))
	case "Fn::Or":
		return slices.Contains(arguments, any(true))
	case "Fn::Select":
		var n int
		if _, err := fmt.Sscan(arguments[0].(string), &n); err != nil {
			s.t.Fatalf("%s: Fn::Select of item %v", s.file, arguments[0])
		}
		return arguments[1].([]any)[n]
	case "Fn::Split":
		parts := []any{}
		for part := range strings.SplitSeq(arguments[1].(string), arguments[0].(string)) {
			parts = append(parts, part)
		}
		return parts
	}
	s.t.Fatalf("%s uses %s, which these tests cannot evaluate yet", s.file, name)
	return nil
}

func (s *stack) ref(name string) any {
	s.t.Helper()
	if value, ok := pseudo[name]; ok {
		return value
	}
	if value, ok := s.parameters[name]; ok {
		return value
	}
	if !s.exists(name) {
		s.t.Fatalf("%s refers to %s, which does not exist with the parameters %v", s.file, name, s.parameters)
	}
	return name
}

func (s *stack) attribute(id, attribute string) string {
	s.t.Helper()
	if !s.exists(id) {
		s.t.Fatalf("%s refers to %s.%s, which does not exist with the parameters %v", s.file, id, attribute, s.parameters)
	}
	return id + "." + attribute
}

var substitution = regexp.MustCompile(`\$\{(!?)([^}]+)\}`)

func (s *stack) substitute(argument any) string {
	s.t.Helper()
	text, variables := argument, object{}
	if pair, ok := argument.([]any); ok {
		text, variables = pair[0], pair[1].(object)
	}
	used := map[string]bool{}
	resolved := substitution.ReplaceAllStringFunc(text.(string), func(match string) string {
		parts := substitution.FindStringSubmatch(match)
		if parts[1] == "!" {
			return "${" + parts[2] + "}"
		}
		if variable, ok := variables[parts[2]]; ok {
			used[parts[2]] = true
			return s.resolve(variable).(string)
		}
		if id, attribute, ok := strings.Cut(parts[2], "."); ok {
			return s.attribute(id, attribute)
		}
		return s.ref(parts[2]).(string)
	})
	for name := range variables {
		if !used[name] {
			s.t.Fatalf("%s: Fn::Sub has a variable %s and does not use it", s.file, name)
		}
	}
	return resolved
}

// of returns the resources of a type, by their logical ids.
func (s *stack) of(kind string) map[string]resource {
	found := map[string]resource{}
	for id, r := range s.Resources {
		if r.Type == kind {
			found[id] = r
		}
	}
	return found
}

// monitoring is the nested stack, with what this one hands it.
func (s *stack) monitoring() *stack {
	s.t.Helper()
	nested := s.Resources["MonitoringStack"]
	if nested.Properties["TemplateURL"] != monitoringTemplate {
		s.t.Fatalf("MonitoringStack is made of %v, want %s", nested.Properties["TemplateURL"], monitoringTemplate)
	}
	given := map[string]string{}
	for name, value := range nested.Properties["Parameters"].(object) {
		given[name] = strings.TrimSuffix(strings.TrimSuffix(value.(string), ".QueueName"), ".TopicName")
	}
	return deploy(s.t, monitoringTemplate, given)
}

// at walks down into an object; nil where there is nothing.
func (r resource) at(path ...string) any {
	var value any = r.Properties
	for _, key := range path {
		mapping, ok := value.(object)
		if !ok {
			return nil
		}
		value = mapping[key]
	}
	return value
}

// list is the items of a value that may be one or many.
func list(value any) []any {
	switch value := value.(type) {
	case nil:
		return nil
	case []any:
		return value
	default:
		return []any{value}
	}
}

// The modes that events can be taken in.
const (
	direct   = "direct"
	queued   = "queued"
	draining = "draining"
)

// inMode deploys the stack in one of them.
func inMode(t *testing.T, mode string) *stack {
	t.Helper()
	return deploy(t, stackTemplate, map[string]string{"IngestMode": mode})
}

// withPage adds to parameters what the page of the diagnostics asks for.
func withPage(parameters map[string]string) map[string]string {
	all := map[string]string{"DiagnosticsPage": "on", "DiagnosticsSecretId": "clerksync-diagnostics", "DiagnosticsConcurrency": "5"}
	maps.Copy(all, parameters)
	return all
}

// What would harm, and CloudFormation can see, it refuses before it makes anything.
func TestRules_RefuseWhatIsUnsafe(t *testing.T) {
	t.Parallel()
	const arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:clerksync-a1B2c3"
	tests := []struct {
		parameters map[string]string
		// says is a part of the refusal; empty without one.
		says string
	}{
		{map[string]string{}, ""},
		{map[string]string{"DiagnosticsSecretId": "clerksync-diagnostics"}, ""},
		{map[string]string{"SecretId": "clerksync", "DiagnosticsSecretId": "clerksync"}, ""},
		{withPage(nil), ""},
		{withPage(map[string]string{"SecretId": "clerksync"}), ""},
		// Stopped, but bounded.
		{withPage(map[string]string{"DiagnosticsConcurrency": "0"}), ""},
		{withPage(map[string]string{"DiagnosticsSecretId": ""}), "needs DiagnosticsSecretId"},
		{withPage(map[string]string{"SecretId": "clerksync", "DiagnosticsSecretId": "clerksync"}), "that is not SecretId"},
		{withPage(map[string]string{"SecretId": arn, "DiagnosticsSecretId": arn}), "that is not SecretId"},
		{withPage(map[string]string{"DiagnosticsConcurrency": "-1"}), `"Concurrent executions" of AWS Lambda (L-B99A9384 in Service Quotas)`},
		{map[string]string{"DiagnosticsPage": "on", "DiagnosticsSecretId": "clerksync-diagnostics"}, "needs a number in DiagnosticsConcurrency"},
		{map[string]string{"AlarmEmail": "on-call@example.com", "AlarmTopicArn": "arn:aws:sns:eu-central-1:123456789012:on-call"}, "not both"},
	}
	met := map[string]bool{}
	for _, test := range tests {
		s := &stack{t: t, file: stackTemplate, template: parse(t, stackTemplate), parameters: map[string]string{}}
		for name, declaration := range s.template["Parameters"].(object) {
			s.parameters[name], _ = declaration.(object)["Default"].(string)
		}
		maps.Copy(s.parameters, test.parameters)
		broken := s.brokenRules()
		for _, description := range broken {
			met[description] = true
		}
		if text := strings.Join(broken, "; "); test.says == "" && text != "" || !strings.Contains(text, test.says) {
			t.Errorf("%v: refused with %q, want %q", test.parameters, text, test.says)
		}
	}
	for name, rule := range parse(t, stackTemplate)["Rules"].(object) {
		for _, assertion := range rule.(object)["Assertions"].([]any) {
			if description := assertion.(object)["AssertDescription"].(string); !met[description] {
				t.Errorf("no set of parameters of this test breaks the rule %s: %s", name, description)
			}
		}
	}
}

// A new account may run ten functions at once and reserve none of them.
func TestTemplate_ReservesNothingByDefault(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{direct, queued, draining} {
		for id, f := range inMode(t, mode).of(serverlessFunction) {
			if reserved := f.at("ReservedConcurrentExecutions"); reserved != nil {
				t.Errorf("%s: %s reserves %v, which a new account has not", mode, id, reserved)
			}
		}
	}
	s := deploy(t, stackTemplate, map[string]string{"ReservedConcurrency": "20", "DiagnosticsConcurrency": "5"})
	for id, want := range map[string]string{"WebhookIngestFunction": "20", "JWTDiagnosticsFunction": "5"} {
		if got := s.Resources[id].at("ReservedConcurrentExecutions"); got != want {
			t.Errorf("%s reserves %v, want %s", id, got, want)
		}
	}
}

// Every reference leads to something, whatever the parameters say.
func TestTemplate_HoldsTogetherInEveryMode(t *testing.T) {
	t.Parallel()
	variants := []map[string]string{
		{},
		{"IngestMode": queued},
		{"IngestMode": draining, "Monitoring": "off"},
		{"WebhookPath": "none"},
		{"WebhookPath": "AZaz09-_AZaz09-_", "IngestMode": queued},
		{"AccessLogAddresses": "on"},
		{"DiagnosticsPage": "on", "DiagnosticsSecretId": "clerksync-diagnostics", "DiagnosticsConcurrency": "5"},
		{"SecretId": "clerksync", "SecretKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/0"},
		{"SecretId": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:clerksync-a1B2c3"},
		{"DiagnosticsSecretId": "clerksync-diagnostics", "SecretKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/0"},
		{"ReservedConcurrency": "20", "DiagnosticsConcurrency": "5"},
		{"AlarmEmail": "on-call@example.com", "IngestMode": queued},
		{"AlarmTopicArn": "arn:aws:sns:eu-central-1:123456789012:on-call"},
	}
	for _, parameters := range variants {
		t.Run(fmt.Sprint(parameters), func(t *testing.T) {
			t.Parallel()
			s := deploy(t, stackTemplate, parameters)
			if parameters["Monitoring"] != "off" {
				s.monitoring()
			} else if _, made := s.Resources["MonitoringStack"]; made {
				t.Error("the monitoring is made although it is off")
			}
		})
	}
}

func TestTemplate_AsksForWhatItCanUse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		parameter      string
		taken, refused []string
	}{
		{
			"SecretId",
			[]string{"", "clerksync", "prod/clerksync_1", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/clerksync-a1B2c3", "arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:c-a1B2c3"},
			// Without its last six characters an ARN matches nothing in a policy.
			[]string{"arn:aws:secretsmanager:eu-central-1:123456789012:secret:clerksync", "a secret", "arn:aws:ssm:eu-central-1:123456789012:parameter/c-a1B2c3"},
		},
		{"DiagnosticsSecretId", []string{"", "clerksync-diagnostics"}, []string{"arn:aws:secretsmanager:eu-central-1:123456789012:secret:clerksync", "a secret"}},
		{
			"SecretKeyArn",
			[]string{"", "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab", "arn:aws:kms:eu-central-1:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab"},
			// A policy on an alias allows nothing.
			[]string{"arn:aws:kms:eu-central-1:123456789012:alias/clerksync", "1234abcd-12ab-34cd-56ef-1234567890ab"},
		},
		{
			"WebhookPath",
			[]string{"", "none", strings.Repeat("a", webhook.MinSegment), strings.Repeat("Z", webhook.MaxSegment), "5b2c9f40-7a1e-11f0-8c3d-0a1b2c3d4e5f", "AZaz09-_AZaz09-_"},
			[]string{"webhook", strings.Repeat("a", webhook.MinSegment-1), strings.Repeat("a", webhook.MaxSegment+1), "aaaaaaaaaaaaaaaa/a", "aaaaaaaaaaaaaaaa%", "{aaaaaaaaaaaaaaa+}"},
		},
		{"IngestMode", []string{"direct", "queued", "draining"}, []string{"", "Direct", "queue"}},
		{"ReservedConcurrency", []string{"-1", "0", "20", "1000"}, []string{"", "-2", "1001", "many"}},
		// Lambda takes no fewer than two.
		{"ConsumerConcurrency", []string{"2", "100"}, []string{"1", "101"}},
		{"ThrottlingRate", []string{"1", "1000"}, []string{"0", "1001"}},
		{"ThrottlingBurst", []string{"1", "1000"}, []string{"0", "1001"}},
		{"SyncSchedule", []string{"rate(6 hours)", "cron(30 3 * * ? *)"}, []string{"6 hours", "30 3 * * ?", "at(2026-01-01T00:00:00)"}},
		{"AlarmEmail", []string{"", "on-call@example.com"}, []string{"on-call", "a@b@c.example", "a @example.com"}},
		// Alarms cannot publish to a FIFO topic.
		{"AlarmTopicArn", []string{"", "arn:aws:sns:eu-central-1:123456789012:on-call"}, []string{"on-call", "arn:aws:sns:eu-central-1:123456789012:on-call.fifo"}},
		{"QuietMinutes", []string{"5", "1440"}, []string{"4", "1441"}},
		{"SyncOverdueHours", []string{"1", "168"}, []string{"0", "169"}},
		{"LogRetentionDays", []string{"30"}, []string{"31"}},
	}
	for _, template := range []string{stackTemplate, monitoringTemplate} {
		declared := parse(t, template)["Parameters"].(object)
		for _, test := range tests {
			declaration, ok := declared[test.parameter].(object)
			if !ok {
				continue
			}
			for _, value := range test.taken {
				if problem := refused(declaration, value); problem != "" {
					t.Errorf("%s, %s: %q %s, want it taken", template, test.parameter, value, problem)
				}
			}
			for _, value := range test.refused {
				if refused(declaration, value) == "" {
					t.Errorf("%s, %s takes %q", template, test.parameter, value)
				}
			}
		}
		for name, declaration := range declared {
			declaration := declaration.(object)
			if declaration["Description"] == nil {
				t.Errorf("%s: parameter %s has no description", template, name)
			}
			if declaration["AllowedValues"] == nil && declaration["ConstraintDescription"] == nil {
				t.Errorf("%s: parameter %s does not say what it takes", template, name)
			}
			// A slip of the keyboard must not cost what a zero more does.
			if declaration["Type"] == "Number" && declaration["AllowedValues"] == nil && (declaration["MinValue"] == nil || declaration["MaxValue"] == nil) {
				t.Errorf("%s: parameter %s has no bounds", template, name)
			}
		}
		grouped := 0
		asks := parse(t, template)["Metadata"].(object)["AWS::CloudFormation::Interface"].(object)
		for _, group := range asks["ParameterGroups"].([]any) {
			for _, name := range group.(object)["Parameters"].([]any) {
				grouped++
				if declared[name.(string)] == nil {
					t.Errorf("%s asks for %v, which is no parameter", template, name)
				}
			}
		}
		if grouped != len(declared) {
			t.Errorf("%s groups %d of %d parameters", template, grouped, len(declared))
		}
	}
}

// What cannot be had again stays when the stack goes; the rest goes with it.
func TestTemplate_KeepsWhatCannotBeHadAgain(t *testing.T) {
	t.Parallel()
	s := deploy(t, stackTemplate, withPage(map[string]string{"IngestMode": queued}))
	kept := []string{"ApiAccessLogGroup", "ClerksyncSecret", "EventDeadLetterQueue", "EventQueue"}
	var found []string
	for id, r := range s.Resources {
		if policy := r.Attributes["DeletionPolicy"]; policy == "RetainExceptOnCreate" && r.Attributes["UpdateReplacePolicy"] == "Retain" {
			found = append(found, id)
		} else if policy != nil && policy != "Delete" {
			t.Errorf("%s has DeletionPolicy %v and UpdateReplacePolicy %v", id, policy, r.Attributes["UpdateReplacePolicy"])
		}
	}
	if slices.Sort(found); !slices.Equal(found, kept) {
		t.Errorf("kept are %v, want %v", found, kept)
	}
	// A value here would overwrite the operator's with the next change of it.
	secret := s.Resources["ClerksyncSecret"]
	if secret.at("SecretString") != nil || secret.at("GenerateSecretString") != nil {
		t.Error("the secret is made with a value")
	}
}
