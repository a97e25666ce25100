package endpoint_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"clerksync/shared/jwtdiag"
	"clerksync/shared/jwtdiag/endpoint"
	"clerksync/shared/jwtdiag/jwttest"
	"clerksync/shared/testkit/browser"
)

// corpus are the cases that have a token which this endpoint takes.
func corpus() []jwttest.Case {
	var cases []jwttest.Case
	for _, c := range jwttest.Corpus() {
		body, _ := json.Marshal(jwtdiag.Request{Token: c.Token})
		if strings.TrimSpace(c.Token) != "" && len(body) <= endpoint.MaxBody {
			cases = append(cases, c)
		}
	}
	return cases
}

func TestHandler_DiagnosesTheCorpus(t *testing.T) {
	t.Parallel()
	cases := corpus()
	if len(cases) < 60 {
		t.Fatalf("the corpus has %d cases, want 60 at least", len(cases))
	}
	for _, test := range cases {
		t.Run(test.Name, func(t *testing.T) {
			t.Parallel()
			diagnoser := jwtdiag.New(test.Options)
			b := setup(t, func(o *endpoint.Options) {
				o.Diagnose = func(ctx context.Context, r jwtdiag.Request) (jwtdiag.Report, error) {
					return diagnoser.Diagnose(ctx, r), nil
				}
			})
			body, err := json.Marshal(jwtdiag.Request{Token: test.Token, Symptom: "PGRST301"})
			if err != nil {
				t.Fatal(err)
			}
			w := b.answer(question(t, string(body)))
			var got jwtdiag.Report
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
				t.Fatalf("answer = %d %s, want a report: %v", w.Code, w.Body, err)
			}
			if got.Cause != test.Cause || got.Token.Kind != test.Kind {
				t.Errorf("cause %q of a %s, want %q of a %s", got.Cause, got.Token.Kind, test.Cause, test.Kind)
			}
			// What cannot be read as a token is no secret in full, but its longest part may be.
			for part := range strings.FieldsFuncSeq(test.Token, func(r rune) bool { return strings.ContainsRune(". =;\"'\n\r\t", r) }) {
				if len(part) >= 40 && strings.Contains(w.Body.String()+b.log.String(), part) {
					t.Errorf("answer or log shows a part of the token: %.40s…\n%s\n%s", part, w.Body, b.log)
				}
			}
		})
	}
}

func pageShowsTheCorpus(t *testing.T, chromium *browser.Browser) {
	var current atomic.Pointer[jwttest.Case]
	tab, _ := visit(t, chromium, func(ctx context.Context, r jwtdiag.Request) (jwtdiag.Report, error) {
		return jwtdiag.New(current.Load().Options).Diagnose(ctx, r), nil
	}, scheme("light"), chromedp.EmulateViewport(320, 640))
	for _, test := range corpus() {
		current.Store(&test)
		want := jwtdiag.New(test.Options).Diagnose(t.Context(), jwtdiag.Request{Token: test.Token})
		encoded, err := json.Marshal(test.Token)
		if err != nil {
			t.Fatal(err)
		}
		// In one call, since each has Chromium draw the page. Other tests click as a person does.
		got := browser.Evaluate[struct{ Said, TooWide []string }](tab, fmt.Sprintf(`new Promise((resolve) => {
			const byId = (id) => document.getElementById(id);
			byId("token").value = %s;
			byId("symptom").value = "PGRST301";
			byId("submit").click();
			const look = () => {
				if (byId("result").ariaBusy || byId("result").dataset.tone === undefined) return setTimeout(look, 1);
				const said = [%s, ...[...document.querySelectorAll(".verdict .word")].map((e) => e.textContent)], tooWide = %s;
				byId("clear").click();
				resolve({said, tooWide});
			};
			look();
		})`, encoded, statusText, overflowing))
		words := map[jwtdiag.Outcome]string{jwtdiag.Accepted: "Accepted", jwtdiag.Refused: "Refused", jwtdiag.Unknown: "Uncertain"}
		if diff := cmp.Diff([]string{want.Sentence, words[want.Verdicts.Clerk.Outcome], words[want.Verdicts.Supabase.Outcome]}, got.Said); diff != "" {
			t.Errorf("%s: -want +got\n%s", test.Name, diff)
		}
		if len(got.TooWide) > 0 {
			t.Errorf("%s: too wide:\n%s", test.Name, strings.Join(got.TooWide, "\n"))
		}
	}
	wantQuiet(t, tab)
}
