package infra_test

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// svixLimit is how long Clerk's deliverer waits for an answer (Svix, "Retries").
const svixLimit = 15 * time.Second

// duration is the value of a constant in a package of this module, read from its
// source: most limits are nobody else's business.
func duration(t *testing.T, folder, name string) time.Duration {
	t.Helper()
	files := token.NewFileSet()
	var parsed []*ast.File
	for _, name := range names(t, folder+"/*.go") {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, file)
	}
	// Only constants count, so that packages which cannot be imported here are no matter.
	config := types.Config{Importer: onlyTime{importer.ForCompiler(files, "source", nil)}, IgnoreFuncBodies: true, Error: func(error) {}}
	pkg, _ := config.Check(folder, files, parsed, nil)
	found, ok := pkg.Scope().Lookup(name).(*types.Const)
	if !ok {
		t.Fatalf("package %s has no constant %s any more: say here what takes its place", folder, name)
	}
	value, exact := constant.Int64Val(constant.ToInt(found.Val()))
	if !exact {
		t.Fatalf("constant %s of package %s is %v, want a duration", name, folder, found.Val())
	}
	return time.Duration(value)
}

// onlyTime imports what durations are made of and nothing else.
type onlyTime struct{ types.Importer }

func (i onlyTime) Import(path string) (*types.Package, error) {
	if path != "time" {
		return nil, fmt.Errorf("%s is not needed for constants", path)
	}
	return i.Importer.Import(path)
}

// number is a property that is a number.
func (r resource) number(t *testing.T, path ...string) float64 {
	t.Helper()
	var n float64
	if _, err := fmt.Sscan(fmt.Sprint(r.at(path...)), &n); err != nil {
		t.Fatalf("%s is %v, want a number", strings.Join(path, "."), r.at(path...))
	}
	return n
}

// seconds is a property in seconds.
func (r resource) seconds(t *testing.T, path ...string) time.Duration {
	t.Helper()
	return time.Duration(r.number(t, path...) * float64(time.Second))
}

// limit is one of a chain.
type limit struct {
	name  string
	value time.Duration
}

// wantNested fails unless each limit is shorter than the next one.
func wantNested(t *testing.T, chain ...limit) {
	t.Helper()
	for n := range chain[1:] {
		if inner, outer := chain[n], chain[n+1]; inner.value <= 0 || inner.value >= outer.value {
			t.Errorf("%s has %v, which does not fit into the %v of %s", inner.name, inner.value, outer.value, outer.name)
		}
	}
}

// Whoever is called must be able to answer before whoever calls gives up.
func TestLimits_NestForRequests(t *testing.T) {
	t.Parallel()
	s := inMode(t, queued)
	connect := limit{"connecting to the database", duration(t, "shared/supabase", "connectLimit")}
	fetch := limit{"reading the secret", duration(t, "shared/config", "fetchLimit")}
	send := limit{"sending to the queue", duration(t, "shared/eventqueue", "sendLimit")}
	margin := duration(t, "functions/internal/apigateway", "answerMargin")
	inner := map[string]struct {
		request limit
		steps   [][]limit
	}{
		"WebhookIngestFunction": {
			limit{"a webhook", duration(t, "shared/webhook", "requestLimit")},
			[][]limit{
				{connect, {"storing an event", duration(t, "shared/webhook", "storeLimit")}},
				{send, {"storing an event", duration(t, "shared/webhook", "storeLimit")}},
				{fetch},
				{{"reading the body", duration(t, "shared/webhook", "bodyLimit")}},
			},
		},
		"JWTDiagnosticsFunction": {
			limit{"a question", duration(t, "shared/jwtdiag/endpoint", "requestLimit")},
			[][]limit{
				{connect, {"looking into the database", duration(t, "shared/rls/access", "lookLimit")}},
				{{"fetching keys", duration(t, "shared/jwtdiag/keyset", "fetchLimit")}, {"everything over the network", duration(t, "shared/jwtdiag", "networkLimit")}},
				{{"asking Supabase", duration(t, "shared/supabase/management", "providersPatience")}, {"everything over the network", duration(t, "shared/jwtdiag", "networkLimit")}},
				{fetch},
				{{"reading the body", duration(t, "shared/jwtdiag/endpoint", "bodyLimit")}},
			},
		},
	}
	for _, r := range routes(t, s) {
		f := s.Resources[r.function]
		timeout := f.seconds(t, "Timeout")
		outer := []limit{
			inner[r.function].request,
			{r.function + " but for its answer", timeout - margin},
			{r.function, timeout},
			{"the API's route " + r.path, time.Duration(r.integration.number(t, "TimeoutInMillis")) * time.Millisecond},
			{"Svix", svixLimit},
		}
		for _, steps := range inner[r.function].steps {
			wantNested(t, append(steps, outer...)...)
		}
		delete(inner, r.function)
	}
	for function := range inner {
		t.Errorf("%s has no route", function)
	}
}

func TestLimits_NestForQueuedEvents(t *testing.T) {
	t.Parallel()
	s := inMode(t, queued)
	const consumer = "shared/eventqueue/consumer"
	f, queue, dead := s.Resources["EventConsumerFunction"], s.Resources["EventQueue"], s.Resources["EventDeadLetterQueue"]
	timeout := limit{"the consumer", f.seconds(t, "Timeout")}
	batch, single := limit{"a batch", duration(t, consumer, "batchLimit")}, limit{"an event by itself", duration(t, consumer, "singleLimit")}
	margin := duration(t, consumer, "answerMargin")
	wantNested(t, limit{"connecting to the database", duration(t, "shared/supabase", "connectLimit")}, single, batch, timeout)
	wantNested(t, limit{"reading the secret", duration(t, "shared/config", "fetchLimit")}, batch)
	// A batch that runs into its limit leaves time for one event at least.
	wantNested(t, limit{"a batch, an event and the answer", batch.value + single.value + margin}, timeout)

	source := resource{Properties: f.at("Events", "Events", "Properties").(object)}
	// AWS, "Creating and configuring an Amazon SQS event source mapping": six times the function's limit, and the window.
	visibility, window := queue.seconds(t, "VisibilityTimeout"), source.seconds(t, "MaximumBatchingWindowInSeconds")
	if visibility < 6*timeout.value+window {
		t.Errorf("a message is invisible for %v, want six times the consumer's %v and the batching window of %v at least", visibility, timeout.value, window)
	}
	attempts := queue.number(t, "RedrivePolicy", "maxReceiveCount")
	retention, kept := queue.seconds(t, "MessageRetentionPeriod"), dead.seconds(t, "MessageRetentionPeriod")
	wantNested(t, limit{"all attempts", time.Duration(attempts) * visibility}, limit{"the queue", retention}, limit{"the dead-letter queue", kept})
	if outage := time.Duration(attempts-1) * visibility; outage < time.Hour {
		t.Errorf("events are given up when the database is away for %v", outage)
	}
	if target := queue.at("RedrivePolicy", "deadLetterTargetArn"); target != "EventDeadLetterQueue.Arn" {
		t.Errorf("dead letters go to %v", target)
	}
	if source.number(t, "BatchSize") > 10 && source.number(t, "MaximumBatchingWindowInSeconds") < 1 {
		t.Error("batches of more than ten need a window (AWS, CreateEventSourceMapping)")
	}
}

// What one tries with clerksync dev --ingest queued is what is deployed, but for the
// time in which a batch comes back, as docs/local.md says.
func TestLimits_TheLocalQueueIsTheDeployedOne(t *testing.T) {
	t.Parallel()
	s := inMode(t, queued)
	source := resource{Properties: s.Resources["EventConsumerFunction"].at("Events", "Events", "Properties").(object)}
	for name, deployed := range map[string]float64{
		"QueueBatchSize":   source.number(t, "BatchSize"),
		"QueueWindow":      float64(source.seconds(t, "MaximumBatchingWindowInSeconds")),
		"QueueConcurrency": source.number(t, "ScalingConfig", "MaximumConcurrency"),
		"QueueReceives":    s.Resources["EventQueue"].number(t, "RedrivePolicy", "maxReceiveCount"),
	} {
		if local := float64(duration(t, "shared/devstack", name)); local != deployed {
			t.Errorf("%s is %v in the local stack and %v in the template", name, local, deployed)
		}
	}
	wantNested(t, limit{"the answer", duration(t, "shared/eventqueue/consumer", "answerMargin")},
		limit{"the local consumer", duration(t, "shared/devstack", "queueTimeout")},
		limit{"the local queue's visibility", duration(t, "shared/devstack", "queueVisibility") - duration(t, "shared/devstack", "QueueWindow")})
}

func TestLimits_NestForFullSyncs(t *testing.T) {
	t.Parallel()
	const fullSync, folder = "shared/fullsync", "functions/full-sync"
	f := inMode(t, direct).Resources["FullSyncFunction"]
	timeout := f.seconds(t, "Timeout")
	if timeout > 15*time.Minute {
		t.Errorf("the full sync has %v, more than Lambda gives", timeout)
	}
	reserve := limit{"what a run keeps for its end", duration(t, fullSync, "DefaultReserve")}
	end := limit{"recording the end, and invoking again", duration(t, fullSync, "endLimit") + duration(t, folder, "invokeLimit")}
	wantNested(t, end, reserve, limit{"the full sync", timeout})
	wantNested(t, limit{"connecting to the database", duration(t, "shared/supabase", "connectLimit")}, limit{"a page", duration(t, fullSync, "storeLimit")}, limit{"the full sync", timeout})

	attempts := 1 + f.number(t, "EventInvokeConfig", "MaximumRetryAttempts")
	if age := f.seconds(t, "EventInvokeConfig", "MaximumEventAgeInSeconds"); age < time.Duration(attempts)*timeout {
		t.Errorf("an event is given up after %v, before %v attempts of %v are over", age, attempts, timeout)
	}
}

// A statement of the writer's that nobody waits for any longer ends by itself.
func TestLimits_EndStatements(t *testing.T) {
	t.Parallel()
	found := time.Duration(0)
	setting := regexp.MustCompile(`alter role clerksync_writer set statement_timeout = '(\w+)'`)
	for _, migration := range names(t, "sql/schema/*.sql") {
		text, err := os.ReadFile(migration)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range setting.FindAllSubmatch(text, -1) {
			if found, err = time.ParseDuration(string(match[1])); err != nil {
				t.Fatal(err)
			}
		}
	}
	statement := limit{"a statement of the writer's", found}
	wantNested(t, statement, limit{"a batch", duration(t, "shared/eventqueue/consumer", "batchLimit")})
	wantNested(t, statement, limit{"a page", duration(t, "shared/fullsync", "storeLimit")})
	// The webhook's step is shorter than that: it cancels its statement when it gives up.
}

// An alarm about durations rings before Lambda ends the function, and not before
// the function's own limits do.
func TestLimits_AreWhatAlarmsWatch(t *testing.T) {
	t.Parallel()
	s := inMode(t, queued)
	alarms := s.monitoring().of("AWS::CloudWatch::Alarm")
	own := map[string]time.Duration{
		"EventConsumerFunction":  duration(t, "shared/eventqueue/consumer", "batchLimit"),
		"FullSyncFunction":       s.Resources["FullSyncFunction"].seconds(t, "Timeout") - duration(t, "shared/fullsync", "DefaultReserve"),
		"JWTDiagnosticsFunction": duration(t, "shared/jwtdiag/endpoint", "requestLimit"),
		"WebhookIngestFunction":  duration(t, "shared/webhook", "requestLimit"),
	}
	watched := maps.Clone(own)
	for id, alarm := range alarms {
		if alarm.at("MetricName") != "Duration" {
			continue
		}
		function := dimension(alarm.at("Dimensions"), "FunctionName")
		threshold := time.Duration(alarm.number(t, "Threshold")) * time.Millisecond
		if timeout := s.Resources[function].seconds(t, "Timeout"); threshold < own[function] || threshold >= timeout {
			t.Errorf("%s rings at %v, want from the function's own limit of %v to below Lambda's of %v", id, threshold, own[function], timeout)
		}
		delete(watched, function)
	}
	for function := range watched {
		t.Errorf("no alarm watches how long %s takes", function)
	}

	// From the third receipt on a message no longer counts for the age.
	visibility := s.Resources["EventQueue"].seconds(t, "VisibilityTimeout")
	if threshold := alarms["EventQueueAgeAlarm"].seconds(t, "Threshold"); threshold <= visibility || threshold >= 2*visibility {
		t.Errorf("the age of events rings at %v, want it between one and two times the %v between attempts", threshold, visibility)
	}
}

// With the defaults, which reserve nothing, the smallest pooler has clients left.
func TestLimits_FitTheSmallestPooler(t *testing.T) {
	t.Parallel()
	const (
		smallest = 200
		// What a webhook takes at the most while the database is well.
		webhook = 0.1 // s
		// Of a full sync.
		sync = 4
	)
	number := func(name string) int {
		var n float64
		if _, err := fmt.Sscan(inMode(t, queued).parameters[name], &n); err != nil {
			t.Fatal(err)
		}
		return int(n)
	}
	webhooks := number("ThrottlingBurst") + int(webhook*float64(number("ThrottlingRate")))
	consumers := number("ConsumerConcurrency")
	// Old and new instances, while a deployment replaces them.
	together := 2*webhooks + sync + 2*consumers
	if together > smallest*3/4 {
		t.Errorf("%d clients at the worst leave less than a quarter of the %d to everybody else", together, smallest)
	}
	text := read(t, "docs/deploy.md")
	for _, row := range []string{
		fmt.Sprintf("| %d, and %d while a deployment replaces them |", webhooks, 2*webhooks),
		fmt.Sprintf("| `ConsumerConcurrency` %d | %d, and %d while a deployment replaces them |", consumers, consumers, 2*consumers),
		fmt.Sprintf("| together | | %d at the worst |", together),
		fmt.Sprintf("The other %d are", smallest-together),
	} {
		if !strings.Contains(text, row) {
			t.Errorf("docs/deploy.md does not say %q", row)
		}
	}
}
