package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/telemetry"
)

func TestLogger_AddsContextAttributes(t *testing.T) {
	t.Parallel()
	base := telemetry.With(t.Context(), slog.String("request_id", "r1"))

	for _, tt := range []struct {
		name string
		ctx  context.Context
		log  func(*slog.Logger, context.Context)
		want string // without time
	}{
		{"nothing in the context", t.Context(), func(l *slog.Logger, ctx context.Context) {
			l.InfoContext(ctx, "m", "a", 1)
		}, `{"level":"INFO","msg":"m","a":1}`},
		{"attributes accumulate", telemetry.With(base, slog.String("svix_id", "msg_1")), func(l *slog.Logger, ctx context.Context) {
			l.WarnContext(ctx, "m")
		}, `{"level":"WARN","msg":"m","request_id":"r1","svix_id":"msg_1"}`},
		{"the later of one key wins", telemetry.With(base, slog.String("request_id", "r2")), func(l *slog.Logger, ctx context.Context) {
			l.InfoContext(ctx, "m")
		}, `{"level":"INFO","msg":"m","request_id":"r2"}`},
		{"the call wins over the context", base, func(l *slog.Logger, ctx context.Context) {
			l.InfoContext(ctx, "m", "request_id", "mine")
		}, `{"level":"INFO","msg":"m","request_id":"mine"}`},
		{"bound attributes stay", base, func(l *slog.Logger, ctx context.Context) {
			l.With("b", true).InfoContext(ctx, "m")
		}, `{"level":"INFO","msg":"m","b":true,"request_id":"r1"}`},
		// The id of a request is searched for at the top, whatever part of the program wrote the line.
		{"outside of open groups", base, func(l *slog.Logger, ctx context.Context) {
			l.With("b", true).WithGroup("g").With("c", 1).WithGroup("").InfoContext(ctx, "m", "d", 2)
		}, `{"level":"INFO","msg":"m","b":true,"request_id":"r1","g":{"c":1,"d":2}}`},
		{"without a context", base, func(l *slog.Logger, _ context.Context) {
			l.Info("m") //nolint:sloglint // the case under test
		}, `{"level":"INFO","msg":"m"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			tt.log(telemetry.NewLogger(&out, nil), tt.ctx)
			if n := strings.Count(out.String(), "\n"); n != 1 {
				t.Fatalf("%d lines, want 1: %s", n, out.String())
			}
			got, want := decode(t, out.String()), decode(t, tt.want)
			if got["time"] == nil {
				t.Errorf("line has no time: %s", out.String())
			}
			delete(got, "time")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("line %s (-want +got):\n%s", out.String(), diff)
			}
			for key := range got {
				if n := strings.Count(out.String(), `"`+key+`":`); n != 1 {
					t.Errorf("key %q appears %d times: %s", key, n, out.String())
				}
			}
		})
	}
}

func TestLogger_DropsBelowLevel(t *testing.T) {
	t.Parallel()
	var level slog.LevelVar
	var out bytes.Buffer
	l := telemetry.NewLogger(&out, &level)

	l.DebugContext(t.Context(), "hidden")
	if out.Len() != 0 {
		t.Errorf("a debug line appeared at level info: %s", out.String())
	}
	// The level is read at every call, so that it can follow configuration.
	level.Set(slog.LevelDebug)
	l.DebugContext(t.Context(), "shown")
	if !strings.Contains(out.String(), "shown") {
		t.Errorf("no debug line at level debug: %q", out.String())
	}
}

func TestWith_KeepsSiblingsApart(t *testing.T) {
	t.Parallel()
	parent := telemetry.With(t.Context(), slog.Int("a", 1), slog.Int("b", 2), slog.Int("c", 3))
	one, two := telemetry.With(parent, slog.String("id", "one")), telemetry.With(parent, slog.String("id", "two"))

	var out bytes.Buffer
	l := telemetry.NewLogger(&out, nil)
	l.InfoContext(one, "m")
	l.InfoContext(two, "m")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, want := range []string{"one", "two"} {
		if got := decode(t, lines[i])["id"]; got != want {
			t.Errorf("line %d has id %v, want %q", i, got, want)
		}
	}
}

func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("line is no JSON object: %v: %s", err, text)
	}
	return m
}
