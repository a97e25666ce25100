package infra_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strconv"
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
// "Types of metrics for Lambda functions", "Monitor CloudWatch metrics for HTTP
// APIs in API Gateway" and "Available CloudWatch metrics for Amazon SQS". An HTTP
// API has further ones by ApiId, Method, Resource and Stage where its stage, or the
// settings of the route, say DetailedMetricsEnabled.
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
			if m.namespace == telemetry.Namespace || m.namespace == filterNamespace {
				continue
			}
			known, ok := ofAWS[m.namespace]
			whose := m.dimensions[known.dimension]
			if len(m.dimensions) != 1 && !isOfRoute(t, s, m) || !ok || !slices.Contains(known.metrics, m.name) || s.Resources[whose].Type != kinds[m.namespace] {
				t.Errorf("%s: %v is no metric of a resource of the stack", mode, m)
			}
		}
	}
}

// isOfRoute reports whether API Gateway writes a metric of one route: of a route that
// there is, with the dimensions that it has where detailed metrics are on.
func isOfRoute(t *testing.T, s *stack, m metric) bool {
	t.Helper()
	names := slices.Sorted(maps.Keys(m.dimensions))
	if !slices.Equal(names, []string{"ApiId", "Method", "Resource", "Stage"}) || m.dimensions["Stage"] != "$default" {
		return false
	}
	method, path := m.dimensions["Method"], m.dimensions["Resource"]
	if !slices.ContainsFunc(routes(t, s), func(r route) bool { return r.method == method && r.path == path }) {
		return false
	}
	stage := s.Resources["HttpApiStage"]
	if stage.at("ApiId") != m.dimensions["ApiId"] {
		return false
	}
	if own := stage.at("RouteSettings", method+" "+path); own != nil {
		return own.(object)["DetailedMetricsEnabled"] == "true"
	}
	return stage.at("DefaultRouteSettings", "DetailedMetricsEnabled") == "true"
}

// filterNamespace is that of metrics which are counted in logs by filters.
const filterNamespace = telemetry.Namespace + "/api"

// A filter counts lines that API Gateway writes: it reads the group that the stage
// writes to, by a field that the lines have.
func TestMonitoring_ReadsWhatTheFiltersWrite(t *testing.T) {
	t.Parallel()
	s := inMode(t, queued)
	written := map[string]bool{}
	for id, filter := range s.monitoring().of("AWS::Logs::MetricFilter") {
		group, _ := filter.at("LogGroupName").(string)
		if s.Resources["HttpApiStage"].at("AccessLogSettings", "DestinationArn") != group+".Arn" {
			t.Errorf("%s reads %q, which the API does not write", id, group)
		}
		pattern := regexp.MustCompile(`^\{ \$\.(\w+) = "[^"*]+" \}$`).FindStringSubmatch(filter.at("FilterPattern").(string))
		if pattern == nil {
			t.Fatalf("%s has a pattern that this test does not know: %v", id, filter.at("FilterPattern"))
		}
		if _, there := accessLog(t, s)[pattern[1]]; !there {
			t.Errorf("%s reads the field %s, which no line has", id, pattern[1])
		}
		for _, transformation := range filter.at("MetricTransformations").([]any) {
			transformation := transformation.(object)
			written[fmt.Sprintf("%v %v", transformation["MetricNamespace"], transformation["MetricName"])] = true
			if transformation["MetricValue"] != "1" || transformation["Dimensions"] != nil {
				t.Errorf("%s counts %v", id, transformation)
			}
		}
	}
	read := map[string]bool{}
	for _, m := range watched(t, s) {
		if m.namespace == filterNamespace {
			read[m.namespace+" "+m.name] = true
			if len(m.dimensions) != 0 {
				t.Errorf("%v has dimensions, which the filter does not write", m)
			}
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(written)), slices.Sorted(maps.Keys(read))); diff != "" {
		t.Errorf("metrics of filters (-written +read):\n%s", diff)
	}
}

// accessLog is a line of the API's access log: variables by field.
func accessLog(t *testing.T, s *stack) map[string]string {
	t.Helper()
	format, _ := s.Resources["HttpApiStage"].at("AccessLogSettings", "Format").(string)
	var line map[string]string
	if err := json.Unmarshal([]byte(format), &line); err != nil || strings.Contains(format, "\n") {
		t.Fatalf("the access log is no line of JSON strings: %v\n%s", err, format)
	}
	return line
}

// The access log tells how much is asked and how it is answered, and nothing of who
// asks or where.
func TestMonitoring_LogsAccessWithoutPersons(t *testing.T) {
	t.Parallel()
	// AWS, "Customize HTTP API access logs": those of its variables that tell no address, caller, path or route, and quote
	// nothing of a request.
	plain := []string{
		"$context.requestTime", "$context.requestId", "$context.httpMethod", "$context.status", "$context.error.responseType",
		"$context.responseLength", "$context.responseLatency", "$context.integrationStatus", "$context.integrationLatency",
	}
	for state, more := range map[string]string{"off": "", "on": "$context.identity.sourceIp"} {
		s := deploy(t, stackTemplate, map[string]string{"AccessLogAddresses": state})
		var got []string
		for _, variable := range accessLog(t, s) {
			got = append(got, variable)
		}
		want := slices.Clone(plain)
		if more != "" {
			want = append(want, more)
		}
		slices.Sort(want)
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("addresses %s (-want +logged):\n%s", state, cmp.Diff(want, got))
		}
		if retention := s.Resources["ApiAccessLogGroup"].at("RetentionInDays"); retention != s.parameters["LogRetentionDays"] {
			t.Errorf("the access log is kept for %v days", retention)
		}
	}
}

// value is what an alarm compares with its threshold, given the sums of its metrics
// by their ids; false where it is missing data. An alarm of one metric calls it m.
func value(t *testing.T, alarm resource, series map[string]float64) (float64, bool) {
	t.Helper()
	queries := list(alarm.at("Metrics"))
	if queries == nil {
		v, there := series["m"]
		return v, there
	}
	expressions := map[string]string{}
	result := ""
	var metrics []string
	for _, query := range queries {
		query := query.(object)
		id := query["Id"].(string)
		if expression, ok := query["Expression"].(string); ok {
			expressions[id] = expression
		} else {
			metrics = append(metrics, id)
		}
		if query["ReturnData"] != "false" {
			result = id
		}
	}
	for id := range series {
		if !slices.Contains(metrics, id) {
			t.Fatalf("the alarm has no metric %s", id)
		}
	}
	var eval func(node ast.Expr) (float64, bool)
	evalID := func(id string) (float64, bool) {
		expression, ok := expressions[id]
		if !ok {
			v, there := series[id]
			return v, there
		}
		// An array of series is written as Go writes arguments.
		expression = strings.ReplaceAll(expression, "METRICS()", "["+strings.Join(metrics, ", ")+"]")
		node, err := parser.ParseExpr(strings.NewReplacer("[", "", "]", "").Replace(expression))
		if err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
		return eval(node)
	}
	eval = func(node ast.Expr) (float64, bool) {
		switch node := node.(type) {
		case *ast.ParenExpr:
			return eval(node.X)
		case *ast.BasicLit:
			n, err := strconv.ParseFloat(node.Value, 64)
			return n, err == nil
		case *ast.Ident:
			return evalID(node.Name)
		case *ast.CallExpr:
			if name, ok := node.Fun.(*ast.Ident); !ok || name.Name != "SUM" {
				t.Fatalf("a function that this test does not know: %v", node.Fun)
			}
			sum, known := 0.0, false
			for _, argument := range node.Args {
				if v, there := eval(argument); there {
					sum, known = sum+v, true
				}
			}
			return sum, known
		case *ast.BinaryExpr:
			x, left := eval(node.X)
			y, right := eval(node.Y)
			switch both := left && right; node.Op { //nolint:exhaustive // others end the test
			case token.SUB:
				return x - y, both
			case token.MUL:
				return x * y, both
			case token.QUO:
				return x / y, both
			}
		}
		t.Fatalf("an expression that this test does not know: %T", node)
		return 0, false
	}
	return evalID(result)
}

// breaches reports whether one period with these sums counts towards an alarm.
func breaches(t *testing.T, alarm resource, series map[string]float64) bool {
	t.Helper()
	v, there := value(t, alarm, series)
	if !there {
		return alarm.at("TreatMissingData") == "breaching"
	}
	if alarm.at("ComparisonOperator") == "GreaterThanThreshold" {
		return v > alarm.number(t, "Threshold")
	}
	return v >= alarm.number(t, "Threshold")
}

// An alarm that a stranger can keep ringing with a handful of requests is one that
// people learn to ignore; one that does not ring in a flood, or while Clerk's own
// webhooks are refused, is of no use.
func TestMonitoring_RingsForFloodsAndNotForStrays(t *testing.T) {
	t.Parallel()
	s := deploy(t, stackTemplate, map[string]string{"ThrottlingRate": "200"})
	alarms := s.monitoring().of(alarmType)
	const minutes5 = 300
	for _, test := range []struct {
		alarm  string
		what   string
		series map[string]float64
		want   bool
	}{
		{"SignatureFailuresAlarm", "nothing", nil, false},
		{"SignatureFailuresAlarm", "two bad signatures an hour where all is quiet", map[string]float64{"signature": 2}, false},
		{"SignatureFailuresAlarm", "two bad signatures in each quarter of an hour", map[string]float64{"signature": 8}, false},
		{"SignatureFailuresAlarm", "fifty bad ones beside as many of Clerk's", map[string]float64{"signature": 50, "verified": 50}, false},
		{"SignatureFailuresAlarm", "Clerk's alone", map[string]float64{"verified": 1000}, false},
		{"SignatureFailuresAlarm", "a rotation: half of each", map[string]float64{"signature": 400, "verified": 400}, false},
		{"SignatureFailuresAlarm", "a wrong secret from the first day on, three events an hour", map[string]float64{"signature": 12}, true},
		{"SignatureFailuresAlarm", "a wrong clock", map[string]float64{"old": 400}, true},
		{"SignatureFailuresAlarm", "one of two endpoints with a wrong secret, and its repetitions", map[string]float64{"signature": 300, "verified": 100}, true},

		{"MissingHeadersAlarm", "a crawler", map[string]float64{"m": 40}, false},
		{"MissingHeadersAlarm", "a flood of 5 a second", map[string]float64{"m": 5 * minutes5}, true},

		{"ApiServerErrorsAlarm", "an event that is not stored", map[string]float64{"api": 1}, true},
		{"ApiServerErrorsAlarm", "the diagnostics alone", map[string]float64{"api": 7, "diagnostics": 7}, false},
		{"ApiServerErrorsAlarm", "both", map[string]float64{"api": 8, "diagnostics": 7}, true},
		{"DiagnosticsServerErrorsAlarm", "the diagnostics", map[string]float64{"m": 7}, true},

		{"ApiNearThrottleAlarm", "half of the throttle", map[string]float64{"requests": 100 * minutes5}, false},
		{"ApiNearThrottleAlarm", "nine tenths", map[string]float64{"requests": 180 * minutes5}, true},
		{"ApiClientErrorsAlarm", "strays", map[string]float64{"refused": 60}, false},
		{"ApiClientErrorsAlarm", "30 a second", map[string]float64{"refused": 30 * minutes5}, true},
		{"ApiThrottledAlarm", "none", map[string]float64{"m": 0}, false},
		{"ApiThrottledAlarm", "one of Clerk's, perhaps", map[string]float64{"m": 1}, true},
	} {
		if got := breaches(t, alarms[test.alarm], test.series); got != test.want {
			v, _ := value(t, alarms[test.alarm], test.series)
			t.Errorf("%s, %s: counts: %t, want %t (%v against %v)", test.alarm, test.what, got, test.want, v, alarms[test.alarm].at("Threshold"))
		}
	}

	// Whatever else reads what a request without a valid signature can cause.
	causes := []string{"missing_header", "duplicate_header", "malformed_header", "invalid_signature", "timestamp_too_old", "timestamp_too_new", "body_too_large", "unreadable_body"}
	for id, alarm := range alarms {
		for _, query := range list(alarm.at("Metrics")) {
			query := query.(object)
			stat := resource{Properties: query}
			if slices.Contains(causes, dimension(stat.at("MetricStat", "Metric", "Dimensions"), "code")) && breaches(t, alarm, map[string]float64{query["Id"].(string): 2}) {
				t.Errorf("two requests of a stranger keep %s ringing", id)
			}
		}
		if slices.Contains(causes, dimension(alarm.at("Dimensions"), "code")) && breaches(t, alarm, map[string]float64{"m": 2}) {
			t.Errorf("two requests of a stranger keep %s ringing", id)
		}
	}
}

// The alarms are what monitoring costs.
func TestMonitoring_SaysWhatItCosts(t *testing.T) {
	t.Parallel()
	count := map[string]int{}
	for _, mode := range []string{direct, queued} {
		for _, alarm := range inMode(t, mode).monitoring().of(alarmType) {
			count[mode] += len(ofAlarm(alarm))
		}
	}
	want := fmt.Sprintf("alarm reads, %d with a queue and %d without", count[queued], count[direct])
	if text := strings.ReplaceAll(read(t, monitoringTemplate), "\n# ", " "); !strings.Contains(text, want) {
		t.Errorf("%s does not say %q", monitoringTemplate, want)
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
