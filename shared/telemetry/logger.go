package telemetry

import (
	"context"
	"io"
	"log/slog"
	"slices"
)

// NewLogger returns a logger that writes one JSON object a line to w: time, level, msg, the attributes of the call,
// and those that [With] put into the call's context. Lines below level are dropped; a nil level means info.
//
// Attributes from the context stand at the top level of the line, also where the logger has an open group. One of the
// same key given in the call itself wins.
func NewLogger(w io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(&handler{json: slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})})
}

// With returns a context whose log lines carry attrs, such as request_id and svix_id, besides those already there.
// An attribute of the same key replaces the earlier one.
func With(ctx context.Context, attrs ...slog.Attr) context.Context {
	// A copy: two children of one context must not share a backing array.
	all := slices.Clone(attrsOf(ctx))
	for _, a := range attrs {
		all = slices.DeleteFunc(all, func(b slog.Attr) bool { return b.Key == a.Key })
		all = append(all, a)
	}
	return context.WithValue(ctx, contextKey{}, all)
}

type contextKey struct{}

func attrsOf(ctx context.Context) []slog.Attr {
	attrs, _ := ctx.Value(contextKey{}).([]slog.Attr)
	return attrs
}

// handler adds the context's attributes at the top level. Before the first WithGroup that is where the record's own
// attributes go; afterwards the JSON handler would file them under the group, so the opened groups are replayed on top
// of them.
type handler struct {
	json    slog.Handler
	inGroup []func(slog.Handler) slog.Handler // what was applied from the first WithGroup on
}

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.json.Enabled(ctx, level)
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	attrs := attrsOf(ctx)
	if len(h.inGroup) == 0 {
		return h.json.Handle(ctx, merge(r, attrs)) // a handler is transparent to its caller
	}
	next := h.json.WithAttrs(attrs)
	for _, apply := range h.inGroup {
		next = apply(next)
	}
	return next.Handle(ctx, r) // a handler is transparent to its caller
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(h.inGroup) == 0 {
		return &handler{json: h.json.WithAttrs(attrs)}
	}
	return h.then(func(next slog.Handler) slog.Handler { return next.WithAttrs(attrs) })
}

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.then(func(next slog.Handler) slog.Handler { return next.WithGroup(name) })
}

func (h *handler) then(apply func(slog.Handler) slog.Handler) slog.Handler {
	return &handler{json: h.json, inGroup: append(slices.Clip(h.inGroup), apply)}
}

// merge adds to r those of attrs whose key it does not have: a key twice in one JSON object reads differently from
// one parser to the next.
func merge(r slog.Record, attrs []slog.Attr) slog.Record {
	if len(attrs) == 0 {
		return r
	}
	own := make(map[string]bool, r.NumAttrs())
	r.Attrs(func(a slog.Attr) bool {
		own[a.Key] = true
		return true
	})
	r = r.Clone()
	for _, a := range attrs {
		if !own[a.Key] {
			r.AddAttrs(a)
		}
	}
	return r
}
