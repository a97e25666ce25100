package telemetry

import (
	"encoding/json"
	"io"
	"math"
	"sync"
	"time"
)

// Namespace is the CloudWatch namespace of every metric.
const Namespace = "clerksync"

// Unit is a CloudWatch unit.
type Unit string

// The units in use.
const (
	Count        Unit = "Count"
	Milliseconds Unit = "Milliseconds"
)

// Dimension splits a metric: each combination of values is a time series of its own, and billed as one. So no ids:
// outcomes, codes and entities.
type Dimension struct {
	Name, Value string
}

// Metric is one measurement. An empty Unit is CloudWatch's "None".
type Metric struct {
	Name  string
	Value float64
	Unit  Unit
}

// Limits of the embedded metric format: metrics and dimensions of one line. One place of the thirty is taken by the
// function's name.
const (
	maxMetrics    = 100
	maxDimensions = 29
)

// functionDimension names the dimension that every metric carries.
const functionDimension = "function"

// Metrics writes measurements in CloudWatch's embedded metric format (EMF specification, version 0): a log line that
// CloudWatch Logs turns into metrics, so that nothing is called and nothing is waited for. It is safe for concurrent
// use. A nil *Metrics writes nothing.
type Metrics struct {
	mu       sync.Mutex // a line is written whole
	w        io.Writer
	function string
}

// NewMetrics returns Metrics that write to w, each line with the dimension "function" set to the given name, which must
// not be empty.
func NewMetrics(w io.Writer, function string) *Metrics {
	return &Metrics{w: w, function: function}
}

// FunctionName is what a function's metrics are to be known by: the name under which it is deployed, as Lambda's
// environment gives it, so that two stacks of one account do not count as one. Elsewhere it is fallback.
func FunctionName(lookup func(key string) (string, bool), fallback string) string {
	if name, ok := lookup("AWS_LAMBDA_FUNCTION_NAME"); ok && name != "" {
		return name
	}
	return fallback
}

// Emit writes one line that records values under the dimension "function" and the given ones together.
//
//	m.Emit([]Dimension{{"outcome", "applied"}}, []Metric{{"events", 1, Count}})
//	m.Emit(nil, []Metric{{"lag", 412, Milliseconds}, {"duration", 7.5, Milliseconds}})
//
// Give no dimension to what is looked at as one number, such as lag: CloudWatch does not add up over dimensions.
//
// What CloudWatch would refuse the whole line for is left out: values that are no finite number, names that are empty
// or taken already, dimensions without a value, and whatever is beyond the format's limits. A line that cannot be
// written is lost: a measurement is never a reason for a request to fail.
func (m *Metrics) Emit(dimensions []Dimension, values []Metric) {
	if m == nil {
		return
	}
	line := map[string]any{functionDimension: m.function}
	names := []string{functionDimension}
	for _, d := range dimensions {
		if _, taken := line[d.Name]; taken || d.Name == "" || d.Name == "_aws" || d.Value == "" || len(names) > maxDimensions {
			continue
		}
		line[d.Name] = d.Value
		names = append(names, d.Name)
	}

	var defined []metricDefinition
	for _, v := range values {
		_, taken := line[v.Name]
		if taken || v.Name == "" || v.Name == "_aws" || math.IsNaN(v.Value) || math.IsInf(v.Value, 0) || len(defined) == maxMetrics {
			continue
		}
		line[v.Name] = v.Value
		defined = append(defined, metricDefinition{Name: v.Name, Unit: v.Unit})
	}
	if len(defined) == 0 {
		return
	}
	line["_aws"] = metadata{
		Timestamp: time.Now().UnixMilli(),
		CloudWatchMetrics: []directive{
			{Namespace: Namespace, Dimensions: [][]string{names}, Metrics: defined},
		},
	}

	text, err := json.Marshal(line)
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _ = m.w.Write(append(text, '\n'))
}

type metadata struct {
	Timestamp         int64 // Unix milliseconds
	CloudWatchMetrics []directive
}

type directive struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []metricDefinition
}

type metricDefinition struct {
	Name string
	Unit Unit `json:",omitempty"`
}
