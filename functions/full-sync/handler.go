package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"clerksync/shared/clerk"
	"clerksync/shared/fullsync"
	"clerksync/shared/telemetry"
)

// maxContinuations is how often a run that is out of time goes on at once. With
// the first invocation that is more than three hours, and still below the 16 of
// one chain after which Lambda takes it for a loop and stops it (AWS, "Use Lambda
// recursive loop detection to prevent infinite loops"). The schedule goes on
// with what is left.
const maxContinuations = 12

// Codes of failures that are not the run's own.
const (
	notConfigured = "not_configured"
	notContinued  = "not_continued"
)

// event is what the function is invoked with. Of other events, such as those
// that EventBridge makes itself, nothing is used: they begin a run as well.
type event struct {
	// Trigger says in the history of runs who began one; "" means "schedule".
	Trigger string `json:"trigger"`
	// Continuation is how many invocations have worked on the run before, each
	// of which invoked the next.
	Continuation int `json:"continuation"`
}

// handler answers an event with the report of a run.
type handler struct {
	// prepare says what to sync, as it is configured now.
	prepare func(context.Context) (fullsync.Options, error)
	run     func(context.Context, fullsync.Options) (fullsync.Report, error)
	// refresh reads the configuration anew, and reports whether it has changed.
	refresh func(context.Context) (bool, error)
	// again has the event handled by another invocation without waiting for it.
	// It is nil where there is no such thing.
	again   func(context.Context, event) error
	logger  *slog.Logger
	metrics metrics
}

var _ lambda.Handler = (*handler)(nil)

// Invoke syncs and returns the report. It fails for what Lambda should count and
// try again, which resumes the run. That another run is working is no failure,
// and neither is a run that another invocation goes on with, or that was stopped
// for a decision: the metric "failures" counts that one.
func (h *handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		ctx = telemetry.With(ctx, slog.String("request_id", lc.AwsRequestID))
	}
	e := h.decode(ctx, payload)
	report, err := h.sync(ctx, e)
	result := classify(report, err)
	if errors.Is(err, fullsync.ErrOutOfTime) {
		result.failure, result.fatal = h.goOn(ctx, e)
	}
	h.metrics.observe(report, result)

	switch {
	case result.fatal:
		h.logger.ErrorContext(ctx, "full sync failed", "code", result.failure, "error", err, "report", report)
		// Whoever reads this may see less than the log shows.
		return nil, messages.InvokeResponse_Error{
			Type:    result.failure,
			Message: fmt.Sprintf("the full sync failed (%s, state %s): the log says why", result.failure, result.state),
		}
	case report.State == fullsync.Stopped:
		h.logger.ErrorContext(ctx, "full sync stopped until somebody decides", "code", result.failure, "error", err, "report", report)
	case err != nil:
		h.logger.InfoContext(ctx, "full sync not complete", "error", err, "report", report)
	default:
		h.logger.InfoContext(ctx, "full sync complete", "report", report)
	}
	return json.Marshal(report)
}

// decode never fails: a schedule whose input was set to something else is still
// a schedule.
func (h *handler) decode(ctx context.Context, payload []byte) event {
	var e event
	if len(payload) > 0 {
		if err := json.Unmarshal(payload, &e); err != nil {
			h.logger.WarnContext(ctx, "the event is not understood and taken for an empty one", "error", err)
			e = event{}
		}
	}
	if e.Trigger == "" {
		e.Trigger = "schedule"
	}
	e.Continuation = max(e.Continuation, 0)
	return e
}

// sync runs, and once more where Clerk refuses the secret key and another one has
// been configured meanwhile: a key that is replaced may be revoked while runs
// still hold it. The second run resumes the first, and its report is of both.
func (h *handler) sync(ctx context.Context, e event) (fullsync.Report, error) {
	report, err := h.attempt(ctx, e)
	if !errors.Is(err, clerk.ErrKeyRefused) {
		return report, err
	}
	changed, refreshErr := h.refresh(ctx)
	switch {
	case refreshErr != nil:
		return report, fmt.Errorf("%w; reading the configuration anew: %w", err, refreshErr)
	case !changed:
		return report, err
	}
	h.logger.InfoContext(ctx, "going on with the configuration that has changed", "error", err)
	return h.attempt(ctx, e)
}

func (h *handler) attempt(ctx context.Context, e event) (fullsync.Report, error) {
	options, err := h.prepare(ctx)
	if err != nil {
		return fullsync.Report{Reason: notConfigured}, err
	}
	options.Trigger = e.Trigger
	return h.run(ctx, options)
}

// goOn has another invocation resume a run that is out of time. It returns the
// code of what is wrong with that, and whether the event has failed with it.
func (h *handler) goOn(ctx context.Context, e event) (failure string, fatal bool) {
	switch {
	case h.again == nil:
		return "", false
	case e.Continuation >= maxContinuations:
		h.logger.ErrorContext(ctx, "a full sync takes too many invocations: the next one that is scheduled goes on", "continuations", e.Continuation)
		return "too_long", false
	}
	next := event{Trigger: e.Trigger, Continuation: e.Continuation + 1}
	if err := h.again(ctx, next); err != nil {
		// Lambda tries a failed event again, which resumes the run just as well.
		h.logger.ErrorContext(ctx, "cannot go on with a full sync at once", "error", err)
		return notContinued, true
	}
	h.logger.InfoContext(ctx, "another invocation goes on with the full sync", "continuation", next.Continuation)
	return "", false
}

// result is what an event comes to.
type result struct {
	// state is that of the run; where none began, "busy" or "failed".
	state string
	// failure is the code of what went wrong, or "".
	failure string
	// fatal is whether the event has failed.
	fatal bool
}

func classify(report fullsync.Report, err error) result {
	r := result{state: string(report.State)}
	switch {
	case err == nil:
	case errors.Is(err, fullsync.ErrOutOfTime):
		r.state = string(fullsync.Partial)
	case errors.Is(err, fullsync.ErrBusy):
		r.state = "busy"
	default:
		// A run that waits for somebody's decision would only read everything
		// again, twice, before it comes to the same.
		r.failure, r.fatal = report.Reason, report.State != fullsync.Stopped
		if r.state == "" {
			r.state = "failed"
		}
	}
	return r
}
