package webhook

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"clerksync/shared/mirror"
)

// maxLogged bounds what a line takes from an event, whose type and object id
// can be of any length.
const maxLogged = 128

// log writes the one line about a request. Refusals that any stranger can cause
// are info; a failed signature is a warning, since it may be ours.
func (h *Handler) log(ctx context.Context, a answer, d delivery, lag, duration time.Duration) {
	attrs := []slog.Attr{slog.Int("status", a.status()), milliseconds("duration_ms", duration)}
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value[:min(len(value), maxLogged)]))
		}
	}
	if d.svixID != "" {
		attrs = append(attrs, slog.String("svix_id", d.svixID))
	}
	if d.message.ID != "" {
		attrs = append(attrs, slog.Int("secret_index", d.message.Secret))
	}
	add("type", d.event.Type)
	add("object_id", d.event.ObjectID)
	if !d.event.StatedAt.IsZero() {
		attrs = append(attrs, milliseconds("lag_ms", lag))
	}

	add("outcome", string(a.result.Outcome))
	add("reason", a.result.Reason)
	add("code", a.refusal.code)
	if a.cause != nil {
		attrs = append(attrs, slog.String("error", a.cause.Error()))
	}
	if p, ok := errors.AsType[*panicError](a.cause); ok {
		attrs = append(attrs, slog.String("stack", string(p.stack)))
	}

	logger := h.options.Logger
	switch {
	case a.result.Outcome == mirror.Rejected:
		logger.LogAttrs(ctx, slog.LevelWarn, "webhook handled", attrs...)
	case a.status() == http.StatusOK:
		logger.LogAttrs(ctx, slog.LevelInfo, "webhook handled", attrs...)
	case a.status() == http.StatusServiceUnavailable:
		logger.LogAttrs(ctx, slog.LevelError, "webhook failed", attrs...)
	case a.status() == http.StatusUnauthorized:
		logger.LogAttrs(ctx, slog.LevelWarn, "webhook refused", attrs...)
	default:
		logger.LogAttrs(ctx, slog.LevelInfo, "webhook refused", attrs...)
	}
}

func milliseconds(key string, d time.Duration) slog.Attr {
	return slog.Float64(key, float64(d.Round(time.Microsecond))/float64(time.Millisecond))
}
