package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/google/go-cmp/cmp"

	"clerksync/shared/clerk"
	"clerksync/shared/config"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
	"clerksync/shared/telemetry"
)

// stage is a handler whose run is played.
type stage struct {
	handler
	out bytes.Buffer // log and metrics
	// triggers are those of the runs, continued the events of the invocations
	// that were to follow.
	triggers  []string
	continued []event
}

func newStage(report fullsync.Report, err error) *stage {
	s := &stage{}
	s.handler = handler{
		prepare: func(context.Context) (fullsync.Options, error) { return fullsync.Options{}, nil },
		run: func(_ context.Context, o fullsync.Options) (fullsync.Report, error) {
			s.triggers = append(s.triggers, o.Trigger)
			return report, err
		},
		refresh: func(context.Context) (bool, error) { return false, nil },
		again: func(_ context.Context, e event) error {
			s.continued = append(s.continued, e)
			return nil
		},
		logger:  telemetry.NewLogger(&s.out, nil),
		metrics: metrics{telemetry.NewMetrics(&s.out, functionName)},
	}
	return s
}

func TestInvoke_TakesEveryEventForASchedule(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, payload string
		want          event // of the continuation
	}{
		{"nothing", ``, event{"schedule", 1}},
		{"null", `null`, event{"schedule", 1}},
		{"empty", `{}`, event{"schedule", 1}},
		{"ours", `{"trigger": "schedule", "continuation": 0}`, event{"schedule", 1}},
		{"a continuation", `{"trigger": "schedule", "continuation": 4}`, event{"schedule", 5}},
		{"by hand", `{"trigger": "console"}`, event{"console", 1}},
		{"more than is known", `{"trigger": "schedule", "dry_run": true, "window": {"from": 1}}`, event{"schedule", 1}},
		// What EventBridge sends where a schedule has no input of its own.
		{"EventBridge's own", `{"version": "0", "id": "cdc73f9d", "detail-type": "Scheduled Event", "source": "aws.scheduler",
			"account": "123456789012", "time": "2026-09-01T12:00:00Z", "region": "eu-central-1", "resources": ["arn:aws:scheduler:x"], "detail": "{}"}`, event{"schedule", 1}},
		{"the console's sample", `{"key1": "value1", "key2": "value2"}`, event{"schedule", 1}},
		{"text", `"schedule"`, event{"schedule", 1}},
		{"a list", `[1]`, event{"schedule", 1}},
		{"no JSON", `trigger=schedule`, event{"schedule", 1}},
		{"another type", `{"trigger": "console", "continuation": "4"}`, event{"schedule", 1}},
		// A negative count would go on for longer than Lambda lets it.
		{"negative", `{"continuation": -9}`, event{"schedule", 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(fullsync.Report{State: fullsync.Partial, Reason: "out_of_time"}, fullsync.ErrOutOfTime)
			if _, err := s.Invoke(t.Context(), []byte(tt.payload)); err != nil {
				t.Fatalf("Invoke(%s): %v", tt.payload, err)
			}
			if diff := cmp.Diff([]event{tt.want}, s.continued); diff != "" {
				t.Errorf("Invoke(%s) is continued with (-want +got):\n%s", tt.payload, diff)
			}
			if diff := cmp.Diff([]string{tt.want.Trigger}, s.triggers); diff != "" {
				t.Errorf("Invoke(%s) runs with the trigger (-want +got):\n%s", tt.payload, diff)
			}
		})
	}
}

func TestInvoke_AnswersForEveryEndOfARun(t *testing.T) {
	t.Parallel()
	secretText := errors.New("asking https://api.example.com: 500")
	for _, tt := range []struct {
		name   string
		report fullsync.Report
		err    error
		// want is the type of the error that Lambda is told, "" for an answer.
		want      string
		runs      string // state of the metric
		failures  string // code of the metric, "" for none
		continued int
	}{
		{"complete", fullsync.Report{State: fullsync.Complete}, nil, "", "complete", "", 0},
		{"another run works", fullsync.Report{Reason: "busy"}, fmt.Errorf("%w: run 7", fullsync.ErrBusy), "", "busy", "", 0},
		{"out of time", fullsync.Report{State: fullsync.Partial, Reason: "out_of_time"}, fmt.Errorf("stopped: %w", fullsync.ErrOutOfTime), "", "partial", "", 1},
		{"out of time before it began", fullsync.Report{Reason: "out_of_time"}, fullsync.ErrOutOfTime, "", "partial", "", 1},
		// Trying again would only read everything again: somebody has to decide.
		{"too many deletions", fullsync.Report{State: fullsync.Stopped, Reason: "too_many_deletions"}, fullsync.ErrTooManyDeletions, "", "stopped", "too_many_deletions", 0},
		{"another instance", fullsync.Report{State: fullsync.Stopped, Reason: "wrong_instance"}, fullsync.ErrWrongInstance, "", "stopped", "wrong_instance", 0},
		{"Clerk is away", fullsync.Report{State: fullsync.Partial, Reason: "clerk_unavailable"}, secretText, "clerk_unavailable", "partial", "clerk_unavailable", 0},
		{"the lock was lost", fullsync.Report{State: fullsync.Partial, Reason: "lock_lost"}, fullsync.ErrLockLost, "lock_lost", "partial", "lock_lost", 0},
		{"nothing begun", fullsync.Report{Reason: "database_unavailable"}, secretText, "database_unavailable", "failed", "database_unavailable", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(tt.report, tt.err)
			answer, err := s.Invoke(t.Context(), nil)
			told, failed := errors.AsType[messages.InvokeResponse_Error](err)
			if failed != (tt.want != "") || told.Type != tt.want {
				t.Errorf("Lambda is told %v, want an error of the type %q", err, tt.want)
			}
			if failed {
				// The caller of a function may see less than its log shows.
				if strings.Contains(told.Message, "example.com") || !strings.Contains(told.Message, tt.want) {
					t.Errorf("Lambda is told %q, want the code %s and no more", told.Message, tt.want)
				}
			} else {
				var got fullsync.Report
				if err := json.Unmarshal(answer, &got); err != nil {
					t.Fatalf("answer %s: %v", answer, err)
				}
				if diff := cmp.Diff(tt.report, got); diff != "" {
					t.Errorf("answer (-want +got):\n%s", diff)
				}
			}
			if len(s.continued) != tt.continued {
				t.Errorf("continued with %v, want %d invocations", s.continued, tt.continued)
			}
			found := s.measured(t)
			if got := found["runs"]; len(got) != 1 || got[0]["state"] != tt.runs {
				t.Errorf("metric runs = %v, want one of the state %s", got, tt.runs)
			}
			if got := found["failures"]; tt.failures == "" && len(got) > 0 || tt.failures != "" && (len(got) != 1 || got[0]["code"] != tt.failures) {
				t.Errorf("metric failures = %v, want code %q", got, tt.failures)
			}
			if tt.err != nil && !strings.Contains(s.out.String(), tt.err.Error()) {
				t.Errorf("the log does not say %q:\n%s", tt.err, s.out.String())
			}
		})
	}
}

func TestInvoke_FailsWhileItIsNotConfigured(t *testing.T) {
	t.Parallel()
	s := newStage(fullsync.Report{State: fullsync.Complete}, nil)
	s.prepare = func(context.Context) (fullsync.Options, error) {
		return fullsync.Options{}, fmt.Errorf("%w: CLERK_SECRET_KEY is not set", config.ErrInvalid)
	}
	_, err := s.Invoke(t.Context(), nil)
	if told, _ := errors.AsType[messages.InvokeResponse_Error](err); told.Type != notConfigured {
		t.Errorf("Lambda is told %v, want the type %s", err, notConfigured)
	}
	if len(s.triggers) > 0 {
		t.Error("a run began without a configuration")
	}
	if found := s.measured(t); len(found["failures"]) != 1 || found["failures"][0]["code"] != notConfigured || found["runs"][0]["state"] != "failed" {
		t.Errorf("metrics = %v, want one failure %s", found, notConfigured)
	}
	if !strings.Contains(s.out.String(), "CLERK_SECRET_KEY is not set") {
		t.Errorf("the log does not name the problem:\n%s", s.out.String())
	}
}

func TestInvoke_GoesOnForABoundedTime(t *testing.T) {
	t.Parallel()
	s := newStage(fullsync.Report{State: fullsync.Partial, Reason: "out_of_time"}, fullsync.ErrOutOfTime)
	invocations := 1
	payload := []byte(`{}`)
	for ; ; invocations++ {
		s.continued, s.out = nil, bytes.Buffer{}
		if _, err := s.Invoke(t.Context(), payload); err != nil {
			t.Fatalf("invocation %d: %v", invocations, err)
		}
		if len(s.continued) == 0 {
			break
		}
		var err error
		if payload, err = json.Marshal(s.continued[0]); err != nil {
			t.Fatal(err)
		}
	}
	// Lambda ends a chain at 16 (AWS Lambda developer guide).
	if invocations != maxContinuations+1 || invocations >= 16 {
		t.Errorf("a run that is never done takes %d invocations, want %d, below 16", invocations, maxContinuations+1)
	}
	if got := s.measured(t)["failures"]; len(got) != 1 || got[0]["code"] != "too_long" {
		t.Errorf("metric failures of the last = %v, want too_long", got)
	}
}

// Lambda tries a failed event again, and so does what the lost call should have.
func TestInvoke_FailsWhenItCannotBeContinued(t *testing.T) {
	t.Parallel()
	s := newStage(fullsync.Report{State: fullsync.Partial, Reason: "out_of_time"}, fullsync.ErrOutOfTime)
	s.again = func(context.Context, event) error { return errors.New("AccessDeniedException") }
	_, err := s.Invoke(t.Context(), nil)
	if told, _ := errors.AsType[messages.InvokeResponse_Error](err); told.Type != notContinued {
		t.Errorf("Lambda is told %v, want the type %s", err, notContinued)
	}
	if !strings.Contains(s.out.String(), "AccessDeniedException") {
		t.Errorf("the log does not say why:\n%s", s.out.String())
	}
}

func TestInvoke_AnswersPartialWhereNothingCouldContinueIt(t *testing.T) {
	t.Parallel()
	s := newStage(fullsync.Report{State: fullsync.Partial, Reason: "out_of_time"}, fullsync.ErrOutOfTime)
	s.again = nil
	answer, err := s.Invoke(t.Context(), nil)
	if err != nil || !strings.Contains(string(answer), `"state":"partial","reason":"out_of_time"`) {
		t.Errorf("answer = %s, %v, want a partial report", answer, err)
	}
}

func TestMetrics_SumUpACompleteRunOnce(t *testing.T) {
	t.Parallel()
	arrived := time.Now().Add(-90 * time.Minute)
	ahead := time.Now().Add(time.Hour)
	full := fullsync.Report{
		State: fullsync.Complete, DurationMS: 1500, Requests: 12, RateLimited: 2, Drift: 3, LastEventAt: &arrived,
		Users: fullsync.ObjectReport{Listed: 9, Tally: mirror.Tally{Created: 1, Updated: 2, Deleted: 3, Unchanged: 4, Stale: 5, Drift: 3}},
	}
	change := func(f func(*fullsync.Report)) fullsync.Report {
		r := full
		f(&r)
		return r
	}
	for _, tt := range []struct {
		name   string
		report fullsync.Report
		// want are the metrics without dimensions other than the function,
		// except for minutes_since_webhook.
		want    map[string]float64
		minutes bool
		objects int
		drift   bool
	}{
		{"complete", full, map[string]float64{"requests": 12, "rate_limited": 2, "duration": 1500, "drift": 3}, true, 5, true},
		{"nothing to compare with", change(func(r *fullsync.Report) { r.Initial = true }), map[string]float64{"requests": 12, "rate_limited": 2, "duration": 1500}, true, 5, false},
		// The counts of a run would be those of its parts several times over.
		{"partial", change(func(r *fullsync.Report) { r.State = fullsync.Partial }), map[string]float64{"requests": 12, "rate_limited": 2}, true, 0, false},
		{"stopped", change(func(r *fullsync.Report) { r.State = fullsync.Stopped }), map[string]float64{"requests": 12, "rate_limited": 2}, true, 0, false},
		{"no webhook ever", change(func(r *fullsync.Report) { r.LastEventAt = nil }), map[string]float64{"requests": 12, "rate_limited": 2, "duration": 1500, "drift": 3}, false, 5, true},
		{"clocks apart", change(func(r *fullsync.Report) { r.LastEventAt = &ahead }), map[string]float64{"requests": 12, "rate_limited": 2, "duration": 1500, "drift": 3}, true, 5, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(tt.report, nil)
			s.handler.metrics.observe(tt.report, result{state: string(tt.report.State)})
			found := s.measured(t)
			got := map[string]float64{}
			for name, series := range found {
				for _, one := range series {
					if len(one) == 3 { // name, value, and no dimension but the function
						got[name], _ = one["value"].(float64)
					}
				}
			}
			minutes, measured := got["minutes_since_webhook"]
			if measured != tt.minutes || minutes < 0 || tt.report.LastEventAt == &arrived && (minutes < 90 || minutes > 100) {
				t.Errorf("minutes_since_webhook = %v (%t), want %t, and 90 of the arrival an hour and a half ago", minutes, measured, tt.minutes)
			}
			delete(got, "minutes_since_webhook")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("metrics (-want +got):\n%s", diff)
			}
			if n := len(found["created"]); n != tt.objects {
				t.Errorf("metric created of %d kinds, want %d", n, tt.objects)
			}
			users := map[string]any{}
			for name, series := range found {
				for _, one := range series {
					if one["object"] == "user" {
						users[name] = one["value"]
					}
				}
			}
			want := map[string]any{}
			if tt.objects > 0 {
				want = map[string]any{"created": 1.0, "updated": 2.0, "deleted": 3.0, "unchanged": 4.0, "stale": 5.0}
			}
			if tt.drift {
				want["drift"] = 3.0
			}
			if diff := cmp.Diff(want, users); diff != "" {
				t.Errorf("metrics of users (-want +got):\n%s", diff)
			}
		})
	}
}

// measured are the metrics that were written: of each name the series, with dimensions
// and "value" and "name".
func (s *stage) measured(t *testing.T) map[string][]map[string]any {
	t.Helper()
	found := map[string][]map[string]any{}
	for line := range strings.Lines(s.out.String()) {
		var values map[string]any
		var emf struct {
			AWS struct {
				CloudWatchMetrics []struct {
					Dimensions [][]string
					Metrics    []struct{ Name string }
				}
			} `json:"_aws"`
		}
		if err := errors.Join(json.Unmarshal([]byte(line), &values), json.Unmarshal([]byte(line), &emf)); err != nil {
			t.Fatalf("line %s: %v", line, err)
		}
		for _, directive := range emf.AWS.CloudWatchMetrics {
			for _, metric := range directive.Metrics {
				one := map[string]any{"name": metric.Name, "value": values[metric.Name]}
				for _, dimension := range directive.Dimensions[0] {
					one[dimension] = values[dimension]
				}
				found[metric.Name] = append(found[metric.Name], one)
			}
		}
	}
	return found
}

func TestSelfInvocation_IsOfLambdaOnly(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		environment map[string]string
		want        bool
	}{
		{map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "sync"}, true},
		{map[string]string{}, false},
		{map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "FullSyncFunction", "AWS_SAM_LOCAL": "true"}, false},
	} {
		again := selfInvocation(func(key string) (string, bool) { value, ok := tt.environment[key]; return value, ok })
		if (again != nil) != tt.want {
			t.Errorf("with %v: can invoke itself %t, want %t", tt.environment, again != nil, tt.want)
		}
	}
}

func TestSelfInvocation_SaysWhatTheRoleLacks(t *testing.T) {
	t.Parallel()
	lambda := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amzn-ErrorType", "AccessDeniedException")
		w.WriteHeader(http.StatusForbidden)
	}))
	defer lambda.Close()
	environment := map[string]string{
		"AWS_LAMBDA_FUNCTION_NAME": "sync", "AWS_ENDPOINT_URL_LAMBDA": lambda.URL, "AWS_REGION": "eu-central-1",
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "test",
	}
	again := selfInvocation(func(key string) (string, bool) { value, ok := environment[key]; return value, ok })
	err := again(t.Context(), event{Trigger: "schedule", Continuation: 1})
	if err == nil || !strings.Contains(err.Error(), "AccessDeniedException") || !strings.Contains(err.Error(), "lambda:InvokeFunction") {
		t.Errorf("again = %v, want the refusal and what the role needs", err)
	}
}

func TestInvoke_ReadsTheKeyAnewWhenClerkRefusesIt(t *testing.T) {
	t.Parallel()
	refused := fmt.Errorf("GET /users: %w", clerk.ErrKeyRefused)
	unread := errors.New("no answer in time")
	for _, tt := range []struct {
		name    string
		first   error
		changed bool
		refresh error
		second  error
		runs    int
		failure string // "" for an answer
	}{
		{"another key", refused, true, nil, nil, 2, ""},
		{"the same key", refused, false, nil, nil, 1, "key_refused"},
		// Once: whoever asks for more only makes Clerk count refusals.
		{"another key that is refused too", refused, true, nil, refused, 2, "key_refused"},
		{"the secret cannot be read", refused, false, unread, nil, 1, "key_refused"},
		{"refused for something else", clerk.ErrClerkUnavailable, true, nil, nil, 1, "clerk_unavailable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(fullsync.Report{}, nil)
			runs := 0
			s.run = func(_ context.Context, o fullsync.Options) (fullsync.Report, error) {
				runs++
				err := tt.second
				if runs == 1 {
					err = tt.first
				}
				switch {
				case err == nil:
					return fullsync.Report{State: fullsync.Complete, Resumed: true}, nil
				case errors.Is(err, clerk.ErrKeyRefused):
					return fullsync.Report{State: fullsync.Partial, Reason: "key_refused"}, err
				default:
					return fullsync.Report{State: fullsync.Partial, Reason: "clerk_unavailable"}, err
				}
			}
			s.refresh = func(context.Context) (bool, error) { return tt.changed, tt.refresh }
			_, err := s.Invoke(t.Context(), []byte(`{}`))
			failure, failed := errors.AsType[messages.InvokeResponse_Error](err)
			if runs != tt.runs || failed != (tt.failure != "") || failure.Type != tt.failure {
				t.Errorf("%d runs and %v, want %d and the failure %q\n%s", runs, err, tt.runs, tt.failure, s.out.String())
			}
			if tt.refresh != nil && !strings.Contains(s.out.String(), tt.refresh.Error()) {
				t.Errorf("the log lacks why the secret was not read:\n%s", s.out.String())
			}
		})
	}
}
