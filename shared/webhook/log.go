package webhook

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"clerksync/shared/httpapi"
	"clerksync/shared/mirror"
)

// log writes the one line about a request. Refusals that any stranger can cause
// are info; a failed signature is a warning, since it may be ours.
func (h *Handler) log(ctx context.Context, a answer, d delivery, lag, duration time.Duration) {
	line := httpapi.NewLine(a.status(), duration)
	if d.svixID != "" {
		line = append(line, slog.String("svix_id", d.svixID))
	}
	if d.message.ID != "" {
		line = append(line, slog.Int("secret_index", d.message.Secret))
	}
	line.Add("type", d.event.Type)
	line.Add("object_id", d.event.ObjectID)
	if !d.event.StatedAt.IsZero() {
		line = append(line, httpapi.Milliseconds("lag_ms", lag))
	}
	line.Add("outcome", string(a.result.Outcome))
	line.Add("reason", a.result.Reason)
	line.Add("code", a.refusal.Code)
	line.AddCause(a.cause)

	logger := h.options.Logger
	switch {
	case a.result.Outcome == mirror.Rejected:
		logger.LogAttrs(ctx, slog.LevelWarn, "webhook handled", line...)
	case a.refusal.Status == 0:
		logger.LogAttrs(ctx, slog.LevelInfo, "webhook handled", line...)
	case a.status() == http.StatusServiceUnavailable:
		logger.LogAttrs(ctx, slog.LevelError, "webhook failed", line...)
	case a.status() == http.StatusUnauthorized:
		logger.LogAttrs(ctx, slog.LevelWarn, "webhook refused", line...)
	default:
		logger.LogAttrs(ctx, slog.LevelInfo, "webhook refused", line...)
	}
}
