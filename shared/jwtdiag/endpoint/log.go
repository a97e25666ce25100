package endpoint

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"clerksync/shared/httpapi"
)

// log writes the one line about a request. It takes nothing from the token but
// its kind; refusals are info, since any stranger can cause them.
func (h *Handler) log(ctx context.Context, a answer, duration time.Duration) {
	line := httpapi.NewLine(a.status(), duration)
	line.Add("asset", a.asset.name)
	line.Add("kind", string(a.report.Token.Kind))
	line.Add("clerk", string(a.report.Verdicts.Clerk.Outcome))
	line.Add("supabase", string(a.report.Verdicts.Supabase.Outcome))
	line.Add("cause", a.report.Cause)
	line.Add("code", a.refusal.Code)
	line.AddCause(a.cause)

	logger := h.options.Logger
	switch {
	case a.asset.name != "":
		logger.LogAttrs(ctx, slog.LevelInfo, "diagnostics page served", line...)
	case a.status() == http.StatusOK:
		logger.LogAttrs(ctx, slog.LevelInfo, "token diagnosed", line...)
	case a.status() >= http.StatusInternalServerError:
		logger.LogAttrs(ctx, slog.LevelError, "diagnosis failed", line...)
	default:
		logger.LogAttrs(ctx, slog.LevelInfo, "diagnosis refused", line...)
	}
}
