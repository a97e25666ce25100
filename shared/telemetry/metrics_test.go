package telemetry_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/telemetry"
)

// recorder keeps the writes apart, so that a test sees whether a line came in one.
type recorder struct {
	mu     sync.Mutex
	writes []string
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes = append(r.writes, string(p))
	return len(p), nil
}

// emf is a line as the specification defines it. Everything else at the top level is a dimension or a value.
type emf struct {
	AWS struct {
		Timestamp         int64
		CloudWatchMetrics []struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []struct{ Name, Unit string }
		}
	} `json:"_aws"`
}

func TestEmit_WritesTheEmbeddedMetricFormat(t *testing.T) {
	t.Parallel()
	var out recorder
	before := time.Now().UnixMilli()
	telemetry.NewMetrics(&out, "webhook-ingest").Emit(
		[]telemetry.Dimension{{Name: "outcome", Value: "applied"}},
		[]telemetry.Metric{
			{Name: "events", Value: 1, Unit: telemetry.Count},
			{Name: "lag", Value: 412.5, Unit: telemetry.Milliseconds},
			{Name: "plain", Value: -3},
		})
	after := time.Now().UnixMilli()

	if len(out.writes) != 1 || !strings.HasSuffix(out.writes[0], "\n") || strings.Count(out.writes[0], "\n") != 1 {
		t.Fatalf("writes = %q, want one line in one write", out.writes)
	}
	var line emf
	if err := json.Unmarshal([]byte(out.writes[0]), &line); err != nil {
		t.Fatalf("line does not decode: %v: %s", err, out.writes[0])
	}
	if ts := line.AWS.Timestamp; ts < before || ts > after {
		t.Errorf("Timestamp = %d, want Unix milliseconds between %d and %d", ts, before, after)
	}

	got := decode(t, out.writes[0])
	aws, _ := got["_aws"].(map[string]any)
	delete(aws, "Timestamp")
	want := map[string]any{
		"_aws": map[string]any{"CloudWatchMetrics": []any{map[string]any{
			"Namespace":  "clerksync",
			"Dimensions": []any{[]any{"function", "outcome"}},
			"Metrics": []any{
				map[string]any{"Name": "events", "Unit": "Count"},
				map[string]any{"Name": "lag", "Unit": "Milliseconds"},
				map[string]any{"Name": "plain"},
			},
		}}},
		"function": "webhook-ingest", "outcome": "applied",
		"events": 1.0, "lag": 412.5, "plain": -3.0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("line %s (-want +got):\n%s", out.writes[0], diff)
	}
}

// One bad member makes CloudWatch drop a whole line, so it is left out and the rest is kept.
func TestEmit_LeavesOutWhatCloudWatchRefuses(t *testing.T) {
	t.Parallel()
	ok := telemetry.Metric{Name: "ok", Value: 1, Unit: telemetry.Count}
	var manyMetrics []telemetry.Metric
	var manyDimensions []telemetry.Dimension
	for i := range 150 {
		manyMetrics = append(manyMetrics, telemetry.Metric{Name: fmt.Sprintf("m%03d", i), Value: 1})
		manyDimensions = append(manyDimensions, telemetry.Dimension{Name: fmt.Sprintf("d%03d", i), Value: "v"})
	}

	for _, tt := range []struct {
		name       string
		dimensions []telemetry.Dimension
		metrics    []telemetry.Metric
		dims, mets int // kept; 0 metrics: no line
	}{
		{"not a number", nil, []telemetry.Metric{ok, {Name: "bad", Value: math.NaN()}}, 1, 1},
		{"infinite", nil, []telemetry.Metric{{Name: "bad", Value: math.Inf(1)}, {Name: "bad", Value: math.Inf(-1)}, ok}, 1, 1},
		{"metric without a name", nil, []telemetry.Metric{ok, {Value: 1}}, 1, 1},
		{"metric twice", nil, []telemetry.Metric{ok, ok}, 1, 1},
		{"metric named like a dimension", []telemetry.Dimension{{"code", "x"}}, []telemetry.Metric{ok, {Name: "code", Value: 2}}, 2, 1},
		{"metric named like the metadata", nil, []telemetry.Metric{ok, {Name: "_aws", Value: 2}}, 1, 1},
		{"dimension without a value", []telemetry.Dimension{{"code", ""}}, []telemetry.Metric{ok}, 1, 1},
		{"dimension without a name", []telemetry.Dimension{{"", "x"}}, []telemetry.Metric{ok}, 1, 1},
		{"dimension twice", []telemetry.Dimension{{"function", "other"}, {"a", "1"}, {"a", "2"}}, []telemetry.Metric{ok}, 2, 1},
		{"more than the format holds", manyDimensions, manyMetrics, 30, 100},
		{"nothing left", nil, []telemetry.Metric{{Name: "bad", Value: math.NaN()}}, 0, 0},
		{"nothing given", []telemetry.Dimension{{"a", "1"}}, nil, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out recorder
			telemetry.NewMetrics(&out, "f").Emit(tt.dimensions, tt.metrics)
			if tt.mets == 0 {
				if len(out.writes) != 0 {
					t.Errorf("wrote %q, want nothing", out.writes)
				}
				return
			}
			var line emf
			if err := json.Unmarshal([]byte(out.writes[0]), &line); err != nil {
				t.Fatalf("line does not decode: %v: %s", err, out.writes[0])
			}
			d := line.AWS.CloudWatchMetrics[0]
			if len(d.Dimensions[0]) != tt.dims || len(d.Metrics) != tt.mets {
				t.Errorf("kept %d dimensions and %d metrics, want %d and %d", len(d.Dimensions[0]), len(d.Metrics), tt.dims, tt.mets)
			}
			// Whatever a directive names must stand at the top level, dimensions as strings and metrics as numbers.
			top := decode(t, out.writes[0])
			for _, name := range d.Dimensions[0] {
				if _, isString := top[name].(string); !isString {
					t.Errorf("dimension %q has the value %v, want a string", name, top[name])
				}
			}
			for _, m := range d.Metrics {
				if _, isNumber := top[m.Name].(float64); !isNumber {
					t.Errorf("metric %q has the value %v, want a number", m.Name, top[m.Name])
				}
			}
		})
	}
}

func TestEmit_KeepsConcurrentLinesWhole(t *testing.T) {
	t.Parallel()
	const writers, each = 8, 50
	var out recorder
	m := telemetry.NewMetrics(&out, "f")
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				m.Emit([]telemetry.Dimension{{"outcome", "applied"}}, []telemetry.Metric{{"events", 1, telemetry.Count}})
			}
		})
	}
	wg.Wait()
	if len(out.writes) != writers*each {
		t.Errorf("%d writes, want one for each of %d lines", len(out.writes), writers*each)
	}
	for _, line := range out.writes {
		decode(t, line)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestEmit_NeverFailsItsCaller(t *testing.T) {
	t.Parallel()
	metric := []telemetry.Metric{{"events", 1, telemetry.Count}}
	var none *telemetry.Metrics
	none.Emit(nil, metric)
	telemetry.NewMetrics(brokenWriter{}, "f").Emit(nil, metric)
}

func TestFunctionName_IsTheDeployedOne(t *testing.T) {
	t.Parallel()
	for deployed, want := range map[string]string{"staging-WebhookIngest-1A2B": "staging-WebhookIngest-1A2B", "": "webhook-ingest"} {
		lookup := func(key string) (string, bool) { return deployed, key == "AWS_LAMBDA_FUNCTION_NAME" && deployed != "" }
		if got := telemetry.FunctionName(lookup, "webhook-ingest"); got != want {
			t.Errorf("FunctionName with AWS_LAMBDA_FUNCTION_NAME %q = %q, want %q", deployed, got, want)
		}
	}
}
