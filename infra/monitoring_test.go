package infra_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/telemetry"
)

const (
	alarmType     = "AWS::CloudWatch::Alarm"
	dashboardType = "AWS::CloudWatch::Dashboard"
)

// metric is a series that an alarm or the dashboard reads.
type metric struct {
	namespace, name string
	dimensions      map[string]string
}

// dimension is the value of one of an alarm's dimensions.
func dimension(dimensions any, name string) string {
	for _, d := range list(dimensions) {
		if d.(object)["Name"] == name {
			return d.(object)["Value"].(string)
		}
	}
	return ""
}

// dimensionsOf is an alarm's list of dimensions as a map.
func dimensionsOf(listed any) map[string]string {
	found := map[string]string{}
	for _, d := range list(listed) {
		found[d.(object)["Name"].(string)] = d.(object)["Value"].(string)
	}
	return found
}

// ofAlarm are the series that an alarm reads.
func ofAlarm(alarm resource) []metric {
	if name, ok := alarm.at("MetricName").(string); ok {
		return []metric{{alarm.at("Namespace").(string), name, dimensionsOf(alarm.at("Dimensions"))}}
	}
	var found []metric
	for _, query := range list(alarm.at("Metrics")) {
		stat := resource{Properties: query.(object)}
		if name, ok := stat.at("MetricStat", "Metric", "MetricName").(string); ok {
			found = append(found, metric{stat.at("MetricStat", "Metric", "Namespace").(string), name, dimensionsOf(stat.at("MetricStat", "Metric", "Dimensions"))})
		}
	}
	return found
}

// search is an expression that finds every series of a metric.
var search = regexp.MustCompile(`^SEARCH\('\{(\w+),function,(\w+)\} MetricName="(\w+)" function="(\w+)"', '\w+', \d+\)$`)

// ofDashboard are the series that a dashboard reads, and the alarms it shows.
func ofDashboard(t *testing.T, body string) (metrics []metric, alarms []string) {
	t.Helper()
	var dashboard struct {
		Widgets []struct {
			Type                string
			X, Y, Width, Height int
			Properties          struct {
				Title, Region string
				Alarms        []string
				Metrics       [][]any
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &dashboard); err != nil {
		t.Fatalf("the dashboard is no JSON: %v\n%s", err, body)
	}
	taken := map[[2]int]string{}
	for _, widget := range dashboard.Widgets {
		p := widget.Properties
		for x := widget.X; x < widget.X+widget.Width; x++ {
			for y := widget.Y; y < widget.Y+widget.Height; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%q lies over %q, or beyond the 24 columns", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		alarms = append(alarms, p.Alarms...)
		if widget.Type == "metric" && (p.Region != pseudo["AWS::Region"] || len(p.Metrics) == 0 || p.Title == "") {
			t.Errorf("widget %q is of region %q and has %d metrics", p.Title, p.Region, len(p.Metrics))
		}
		for _, line := range p.Metrics {
			var words []string
			for _, word := range line {
				if word, ok := word.(string); ok {
					words = append(words, word)
				}
			}
			if len(words) == 0 {
				expression, _ := line[0].(object)["expression"].(string)
				match := search.FindStringSubmatch(expression)
				if match == nil {
					t.Fatalf("widget %q: expression %q is none that this test knows", p.Title, expression)
				}
				metrics = append(metrics, metric{match[1], match[3], map[string]string{"function": match[4], match[2]: "*"}})
				continue
			}
			m := metric{words[0], words[1], map[string]string{}}
			for n := 2; n+1 < len(words); n += 2 {
				m.dimensions[words[n]] = words[n+1]
			}
			metrics = append(metrics, m)
		}
	}
	return metrics, alarms
}

// watched are all series that the monitoring of a stack reads.
func watched(t *testing.T, s *stack) []metric {
	t.Helper()
	var found []metric
	m := s.monitoring()
	for _, alarm := range m.of(alarmType) {
		found = append(found, ofAlarm(alarm)...)
	}
	for _, dashboard := range m.of(dashboardType) {
		shown, _ := ofDashboard(t, dashboard.at("DashboardBody").(string))
		found = append(found, shown...)
	}
	return found
}

// testdata/metrics.txt lists what is read of the functions' own metrics. The
// functions' tests drive them and see that they write each line of it.
func TestMonitoring_ReadsWhatTheFunctionsWrite(t *testing.T) {
	t.Parallel()
	listed := strings.Split(strings.TrimSpace(read(t, "infra/testdata/metrics.txt")), "\n")
	byID := folders(t)
	found := map[string]bool{}
	for _, m := range watched(t, inMode(t, queued)) {
		if m.namespace != telemetry.Namespace {
			continue
		}
		folder, ok := byID[m.dimensions["function"]]
		if !ok {
			t.Errorf("%v is no function's", m)
		}
		line := []string{folder, m.name}
		for _, name := range slices.Sorted(maps.Keys(m.dimensions)) {
			if name != "function" {
				line = append(line, name+"="+m.dimensions[name])
			}
		}
		found[strings.Join(line, " ")] = true
	}
	if diff := cmp.Diff(listed, slices.Sorted(maps.Keys(found))); diff != "" {
		t.Errorf("metrics (-infra/testdata/metrics.txt +monitoring):\n%s", diff)
	}
}

// What AWS writes itself, by namespace: the dimension and the metrics. AWS,
// "Types of metrics for Lambda functions", "Working with metrics for HTTP APIs"
// and "Available CloudWatch metrics for Amazon SQS".
var ofAWS = map[string]struct {
	dimension string
	metrics   []string
}{
	"AWS/Lambda":     {"FunctionName", []string{"ConcurrentExecutions", "Duration", "Errors", "Throttles"}},
	"AWS/ApiGateway": {"ApiId", []string{"4xx", "5xx", "Count"}},
	"AWS/SQS":        {"QueueName", []string{"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesVisible"}},
}

func TestMonitoring_ReadsWhatAWSWrites(t *testing.T) {
	t.Parallel()
	kinds := map[string]string{"AWS/Lambda": serverlessFunction, "AWS/ApiGateway": "AWS::ApiGatewayV2::Api", "AWS/SQS": "AWS::SQS::Queue"}
	for _, mode := range []string{direct, queued} {
		s := inMode(t, mode)
		for _, m := range watched(t, s) {
			if m.namespace == telemetry.Namespace {
				continue
			}
			known, ok := ofAWS[m.namespace]
			whose := m.dimensions[known.dimension]
			if !ok || len(m.dimensions) != 1 || !slices.Contains(known.metrics, m.name) || s.Resources[whose].Type != kinds[m.namespace] {
				t.Errorf("%s: %v is no metric of a resource of the stack", mode, m)
			}
		}
	}
}

// Each function is watched for errors, throttles and its duration, and each queue
// that something may be left in for that.
func TestMonitoring_WatchesEveryFunctionAndQueue(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{direct, queued, draining} {
		s := inMode(t, mode)
		has := map[string]bool{}
		for _, alarm := range s.monitoring().of(alarmType) {
			for _, m := range ofAlarm(alarm) {
				has[m.name+" of "+m.dimensions[ofAWS[m.namespace].dimension]] = true
			}
		}
		for id := range s.of(serverlessFunction) {
			for _, name := range []string{"Duration", "Errors", "Throttles"} {
				if !has[name+" of "+id] {
					t.Errorf("%s: no alarm for %s of %s", mode, name, id)
				}
			}
		}
		for id, queue := range s.of("AWS::SQS::Queue") {
			// Where something waits, how long; where something was given up, whether.
			name := "ApproximateNumberOfMessagesVisible"
			if queue.at("RedrivePolicy") != nil {
				name = "ApproximateAgeOfOldestMessage"
			}
			if !has[name+" of "+id] {
				t.Errorf("%s: no alarm for %s of %s", mode, name, id)
			}
		}
	}
}

func TestMonitoring_ExplainsEveryAlarm(t *testing.T) {
	t.Parallel()
	headings := map[string]bool{}
	for line := range strings.Lines(read(t, "docs/operations.md")) {
		if heading, ok := strings.CutPrefix(line, "#"); ok {
			headings[strings.Trim(heading, "#` \n")] = true
		}
	}
	s := inMode(t, queued).monitoring()
	alarms := s.of(alarmType)
	for id, alarm := range alarms {
		name, ok := strings.CutPrefix(alarm.at("AlarmName").(string), "clerksync-")
		if !ok || !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(name) {
			t.Errorf("%s is called %v", id, alarm.at("AlarmName"))
		}
		if description, _ := alarm.at("AlarmDescription").(string); !strings.HasSuffix(description, ". What to do: docs/operations.md#"+name) {
			t.Errorf("%s does not name its section: %q", id, description)
		}
		if !headings[name] {
			t.Errorf("docs/operations.md has no section %s", name)
		}
	}
	for _, dashboard := range s.of(dashboardType) {
		_, shown := ofDashboard(t, dashboard.at("DashboardBody").(string))
		var want []string
		for id := range alarms {
			want = append(want, id+".Arn")
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, slices.Sorted(slices.Values(shown))); diff != "" {
			t.Errorf("alarms (-made +shown):\n%s", diff)
		}
	}
}

// How missing data counts follows from what is counted, and CloudWatch looks back
// so far and no further (PutMetricAlarm, EvaluationPeriods).
func TestMonitoring_DecidesAboutMissingData(t *testing.T) {
	t.Parallel()
	s := deploy(t, stackTemplate, map[string]string{"IngestMode": queued, "QuietMinutes": "1440", "SyncOverdueHours": "168"})
	for id, alarm := range s.monitoring().of(alarmType) {
		missing := alarm.at("TreatMissingData")
		switch alarm.at("ComparisonOperator") {
		case "LessThanThreshold":
			if missing != "breaching" {
				t.Errorf("%s misses something, and missing data is %v", id, missing)
			}
		case "GreaterThanThreshold", "GreaterThanOrEqualToThreshold":
			if missing != "notBreaching" && missing != "ignore" {
				t.Errorf("%s counts what goes wrong, and missing data is %v", id, missing)
			}
		default:
			t.Errorf("%s compares by %v", id, alarm.at("ComparisonOperator"))
		}

		var periods []float64
		if alarm.at("Period") != nil {
			periods = append(periods, alarm.number(t, "Period"))
		}
		returned := 0
		for _, query := range list(alarm.at("Metrics")) {
			query := resource{Properties: query.(object)}
			if query.at("ReturnData") != "false" {
				returned++
			}
			if query.at("MetricStat") != nil {
				periods = append(periods, query.number(t, "MetricStat", "Period"))
			}
		}
		if alarm.at("Metrics") != nil && returned != 1 {
			t.Errorf("%s compares %d values with its threshold, want one", id, returned)
		}
		evaluated := alarm.number(t, "EvaluationPeriods")
		for _, period := range periods {
			if limit := map[bool]float64{true: 7 * 24 * 3600, false: 24 * 3600}[period >= 3600]; period*evaluated > limit {
				t.Errorf("%s looks back %v s, more than %v", id, period*evaluated, limit)
			}
		}
		if alarm.at("DatapointsToAlarm") != nil && alarm.number(t, "DatapointsToAlarm") > evaluated {
			t.Errorf("%s wants more data points than it looks at", id)
		}
	}
}

func TestMonitoring_TellsWhomItShall(t *testing.T) {
	t.Parallel()
	const adopted = "arn:aws:sns:eu-central-1:123456789012:on-call"
	for _, test := range []struct {
		parameters map[string]string
		receiver   any
		topic      bool
	}{
		{nil, nil, false},
		{map[string]string{"AlarmEmail": "on-call@example.com"}, "AlarmTopic", true},
		{map[string]string{"AlarmTopicArn": adopted}, adopted, false},
	} {
		m := deploy(t, stackTemplate, test.parameters).monitoring()
		topic, made := m.Resources["AlarmTopic"]
		if made != test.topic {
			t.Errorf("%v: a topic is made: %v", test.parameters, made)
		}
		if made && fmt.Sprint(topic.at("Subscription")) != "[map[Endpoint:on-call@example.com Protocol:email]]" {
			t.Errorf("the topic's subscriptions are %v", topic.at("Subscription"))
		}
		for id, alarm := range m.of(alarmType) {
			for _, when := range []string{"AlarmActions", "OKActions"} {
				told := list(alarm.at(when))
				if test.receiver == nil && told != nil || test.receiver != nil && told != nil && !slices.Equal(told, []any{test.receiver}) || when == "AlarmActions" && test.receiver != nil && told == nil {
					t.Errorf("%v: %s of %s are %v, want %v", test.parameters, when, id, told, test.receiver)
				}
			}
		}
	}
}
