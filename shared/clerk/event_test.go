package clerk_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
)

func TestParseEvent_ReadsEveryGoldenEvent(t *testing.T) {
	t.Parallel()
	changed := []string{"user.created--nul-in-name", "user.updated--lone-surrogate"}
	for _, name := range clerktest.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := clerktest.Event(t, name)
			event, err := clerk.ParseEvent(body)
			if err != nil {
				t.Fatalf("ParseEvent(%s) = error %v, want an event", name, err)
			}
			if got, want := event.Type, clerktest.TypeOf(name); got != want {
				t.Errorf("ParseEvent(%s).Type = %q, want %q", name, got, want)
			}
			var want struct {
				InstanceID string `json:"instance_id"`
				Data       struct{ ID string }
			}
			if err := json.Unmarshal(body, &want); err != nil {
				t.Fatal(err)
			}
			if event.ObjectID != want.Data.ID || event.ObjectID == "" {
				t.Errorf("ParseEvent(%s).ObjectID = %q, want %q", name, event.ObjectID, want.Data.ID)
			}
			if event.InstanceID != want.InstanceID {
				t.Errorf("ParseEvent(%s).InstanceID = %q, want %q", name, event.InstanceID, want.InstanceID)
			}
			if got, want := bytes.Equal(event.JSON, body), !slices.Contains(changed, name); got != want {
				t.Errorf("ParseEvent(%s).JSON is the body byte for byte: %t, want %t", name, got, want)
			}
			if year := event.StatedAt.Year(); year != 2026 && !strings.HasSuffix(name, "--no-timestamp") {
				t.Errorf("ParseEvent(%s).StatedAt = %v, want a moment in 2026", name, event.StatedAt)
			}
		})
	}
}

func TestEventTypes_HaveAGoldenEventEach(t *testing.T) {
	t.Parallel()
	types := clerk.EventTypes
	if got, want := len(types), 49; got != want {
		t.Errorf("len(EventTypes) = %d, want %d: 45 of the catalog and 4 disputed", got, want)
	}
	names := clerktest.Names()
	seen := map[string]bool{}
	for _, eventType := range types {
		if seen[eventType] {
			t.Errorf("EventTypes lists %s twice", eventType)
		}
		seen[eventType] = true
		if !slices.Contains(names, eventType) {
			t.Errorf("no golden event for %s", eventType)
		}
	}
	for _, name := range names {
		if !seen[name] && !strings.Contains(name, "--") {
			t.Errorf("golden event %s is of a type that EventTypes does not list", name)
		}
	}
}

func TestParseEvent_ReadsTheEnvelope(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		body string
		want clerk.Event // JSON is left out
	}{
		{"milliseconds", `{"type":"a","timestamp":1781514005123,"data":{"id":"x"}}`, clerk.Event{Type: "a", ObjectID: "x", StatedAt: time.UnixMilli(1781514005123).UTC()}},
		{"seconds", `{"type":"a","timestamp":1781514005,"data":{}}`, clerk.Event{Type: "a", StatedAt: time.Unix(1781514005, 0).UTC()}},
		{"fraction of a second", `{"type":"a","timestamp":1781514005.25,"data":{}}`, clerk.Event{Type: "a", StatedAt: time.UnixMilli(1781514005250).UTC()}},
		{"fraction of a millisecond", `{"type":"a","timestamp":1781514005123.9,"data":{}}`, clerk.Event{Type: "a", StatedAt: time.UnixMilli(1781514005124).UTC()}},
		{"exponent", `{"type":"a","timestamp":1.781514005e12,"data":{}}`, clerk.Event{Type: "a", StatedAt: time.Unix(1781514005, 0).UTC()}},
		{"null timestamp", `{"type":"a","timestamp":null,"data":{}}`, clerk.Event{Type: "a"}},
		{"timestamp in a string", `{"type":"a","timestamp":"1781514005","data":{}}`, clerk.Event{Type: "a"}},
		{"negative timestamp", `{"type":"a","timestamp":-1,"data":{}}`, clerk.Event{Type: "a"}},
		{"timestamp beyond the year 9999", `{"type":"a","timestamp":1e300,"data":{}}`, clerk.Event{Type: "a"}},
		{"timestamp beyond int64", `{"type":"a","timestamp":99999999999999999999,"data":{}}`, clerk.Event{Type: "a"}},
		{"instance", `{"type":"a","instance_id":"ins_1","data":{"id":"x"}}`, clerk.Event{Type: "a", ObjectID: "x", InstanceID: "ins_1"}},
		{"ids that are not strings", `{"type":"a","instance_id":7,"data":{"id":{"id":"x"}}}`, clerk.Event{Type: "a"}},
		// Postgres keeps the last of equal names, whole.
		{"names that occur twice", `{"type":"a","type":"b","data":{"id":"x","k":1},"data":{"id":"y","id":"z"}}`, clerk.Event{Type: "b", ObjectID: "z"}},
		// Postgres tells "Type" from "type".
		{"names in another case", `{"type":"a","Type":"b","data":{"id":"x","ID":"y"},"DATA":{}}`, clerk.Event{Type: "a", ObjectID: "x"}},
		{"escaped names", `{"\u0074ype":"a","data":{"\u0069d":"x"}}`, clerk.Event{Type: "a", ObjectID: "x"}},
		{"white space around everything", " \t\r\n{ \"type\" : \"a\" , \"data\" : { \"id\" : \"x\" } }\n", clerk.Event{Type: "a", ObjectID: "x"}},
		{"NUL in the id", `{"type":"a","data":{"id":"x\u0000"}}`, clerk.Event{Type: "a", ObjectID: "x\ufffd"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := clerk.ParseEvent([]byte(test.body))
			if err != nil {
				t.Fatalf("ParseEvent(%s) = error %v", test.body, err)
			}
			got.JSON = nil
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("ParseEvent(%s): -want +got\n%s", test.body, diff)
			}
		})
	}
}

func TestParseEvent_RefusesWhatIsNoEvent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		body string
		want error
	}{
		{"empty body", "", clerk.ErrNotJSON},
		{"white space", " \n", clerk.ErrNotJSON},
		{"text", "hello", clerk.ErrNotJSON},
		{"cut off", `{"type":"a","data":{}`, clerk.ErrNotJSON},
		{"two values", `{"type":"a","data":{}}{}`, clerk.ErrNotJSON},
		{"byte order mark", "\ufeff" + `{"type":"a","data":{}}`, clerk.ErrNotJSON},
		{"raw control character in a string", "{\"type\":\"a\x00\",\"data\":{}}", clerk.ErrNotJSON},
		{"cut-off escape", `{"type":"a\u00`, clerk.ErrNotJSON},
		{"deeper than any payload", strings.Repeat("[", 20000) + strings.Repeat("]", 20000), clerk.ErrNotJSON},
		{"Latin-1", "{\"type\":\"a\",\"data\":{\"name\":\"Zo\xeb\"}}", clerk.ErrNotUTF8},
		{"surrogate in UTF-8", "{\"type\":\"a\",\"data\":{\"name\":\"\xed\xa0\xbd\"}}", clerk.ErrNotUTF8},
		{"UTF-16", "\xff\xfe{\x00}\x00", clerk.ErrNotUTF8},
		{"null", "null", clerk.ErrNotEvent},
		{"array", `[{"type":"a","data":{}}]`, clerk.ErrNotEvent},
		{"string", `"user.created"`, clerk.ErrNotEvent},
		{"no type", `{"data":{}}`, clerk.ErrNotEvent},
		{"null type", `{"type":null,"data":{}}`, clerk.ErrNotEvent},
		{"empty type", `{"type":"","data":{}}`, clerk.ErrNotEvent},
		{"numeric type", `{"type":1,"data":{}}`, clerk.ErrNotEvent},
		{"no data", `{"type":"a"}`, clerk.ErrNotEvent},
		{"null data", `{"type":"a","data":null}`, clerk.ErrNotEvent},
		{"array data", `{"type":"a","data":[]}`, clerk.ErrNotEvent},
		// The last data counts, so the object before it does not help.
		{"data twice, last a string", `{"type":"a","data":{},"data":"x"}`, clerk.ErrNotEvent},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := clerk.ParseEvent([]byte(test.body))
			if !errors.Is(err, test.want) {
				t.Errorf("ParseEvent(%.60q) = %v, %v, want error %v", test.body, got, err, test.want)
			}
		})
	}
}

func TestParseEvent_ReplacesOnlyWhatJSONBRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"NUL", `a\u0000b`, `a\ufffdb`},
		{"high surrogate alone", `\ud83d`, `\ufffd`},
		{"high surrogate before text", `\uD83Dx`, `\ufffdx`},
		{"low surrogate alone", `\ude00`, `\ufffd`},
		{"halves swapped", `\ude00\ud83d`, `\ufffd\ufffd`},
		{"high before a pair", `\ud83d\ud83d\ude00`, `\ufffd\ud83d\ude00`},
		{"low after a pair", `\ud83d\ude00\ude00`, `\ud83d\ude00\ufffd`},
		{"high before another escape", `\ud83d\n`, `\ufffd\n`},
		{"high before an ordinary escape", `\ud83d\u0041`, `\ufffd\u0041`},
		{"high before an escaped backslash", `\ud83d\\ude00`, `\ufffd\\ude00`},
		{"valid pair", `\ud83d\ude00`, `\ud83d\ude00`},
		{"valid pair in capitals", `\uD83D\uDE00`, `\uD83D\uDE00`},
		{"first and last pairs", `\ud800\udc00\udbff\udfff`, `\ud800\udc00\udbff\udfff`},
		{"neighbours of the surrogates", `\ud7ff\ue000\uffff`, `\ud7ff\ue000\uffff`},
		{"neighbours of NUL", `\u0001\u0010\u0100\u1000`, `\u0001\u0010\u0100\u1000`},
		{"escaped backslash before u0000", `\\u0000`, `\\u0000`},
		{"two escaped backslashes before u0000", `\\\\u0000`, `\\\\u0000`},
		{"escaped backslash before NUL", `\\\u0000`, `\\\ufffd`},
		{"other escapes", `\"\/\b\f\n\r\t`, `\"\/\b\f\n\r\t`},
		{"already replaced", `\ufffd`, `\ufffd`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			// Once as a value and once as a member name, deep inside.
			wrap := func(s string) string {
				return `{"type":"a","data":{"n":1e2,"list":[{"` + s + `":"` + s + `"}]}}`
			}
			body := []byte(wrap(test.in))
			event, err := clerk.ParseEvent(body)
			if err != nil {
				t.Fatalf("ParseEvent(%s) = error %v", body, err)
			}
			if got, want := string(event.JSON), wrap(test.want); got != want {
				t.Errorf("ParseEvent(%s).JSON\n got %s\nwant %s", wrap(test.in), got, want)
			}
			if got, want := string(body), wrap(test.in); got != want {
				t.Errorf("ParseEvent changed its argument to %s, want %s", got, want)
			}
		})
	}
}

// FuzzParseEvent: what is accepted comes back as JSON that jsonb takes, says
// what the body said but for the replacements, and is left alone when it is
// parsed again or needed none.
func FuzzParseEvent(f *testing.F) {
	for _, name := range clerktest.Names() {
		body, err := json.Marshal(json.RawMessage(clerktest.Event(f, name)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Add([]byte(`{"type":"a\\\u0000","data":{"\ud800":"\ud83d\ud83d\ude00\\ud800","\udfff":1E+400}}`))
	f.Add([]byte("\ufeff{}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		event, err := clerk.ParseEvent(body)
		if err != nil {
			if !errors.Is(err, clerk.ErrNotUTF8) && !errors.Is(err, clerk.ErrNotJSON) && !errors.Is(err, clerk.ErrNotEvent) {
				t.Fatalf("ParseEvent(%q) = error %v, want one of the sentinels", body, err)
			}
			return
		}
		if !json.Valid(event.JSON) {
			t.Fatalf("ParseEvent(%q).JSON = %q is not valid JSON", body, event.JSON)
		}
		if bad := unstorable(event.JSON); bad != "" {
			t.Fatalf("ParseEvent(%q).JSON = %q holds %s", body, event.JSON, bad)
		}
		if diff := cmp.Diff(tokens(t, body, true), tokens(t, event.JSON, false)); diff != "" {
			t.Fatalf("ParseEvent(%q).JSON says something else: -want +got\n%s", body, diff)
		}
		if unstorable(body) == "" && !bytes.Equal(event.JSON, body) {
			t.Fatalf("ParseEvent(%q).JSON = %q, want the body unchanged", body, event.JSON)
		}
		// The standard library reads the same, the slow way.
		var envelope, data map[string]json.RawMessage
		if err := errors.Join(json.Unmarshal(event.JSON, &envelope), json.Unmarshal(envelope["data"], &data)); err != nil {
			t.Fatalf("decoding %q: %v", event.JSON, err)
		}
		var want [3]string
		for i, value := range []json.RawMessage{envelope["type"], data["id"], envelope["instance_id"]} {
			if json.Unmarshal(value, &want[i]) != nil {
				want[i] = ""
			}
		}
		if got := [3]string{event.Type, event.ObjectID, event.InstanceID}; got != want {
			t.Fatalf("ParseEvent(%q): type, id and instance are %q, want %q", body, got, want)
		}
		again, err := clerk.ParseEvent(event.JSON)
		if err != nil {
			t.Fatalf("ParseEvent(%q), its own output, = error %v", event.JSON, err)
		}
		if diff := cmp.Diff(event, again); diff != "" {
			t.Fatalf("ParseEvent(%q), its own output: -want +got\n%s", event.JSON, diff)
		}
	})
}

// unstorable names the first escape in valid JSON that jsonb refuses, found the
// slow way: string by string, escape by escape.
func unstorable(body []byte) string {
	for s := string(body); s != ""; {
		switch {
		case !strings.HasPrefix(s, `\`):
			s = s[1:]
		case !strings.HasPrefix(s, `\u`):
			s = s[2:]
		default:
			unit := strings.ToLower(s[2:6])
			s = s[6:]
			switch {
			case unit == "0000":
				return `\u0000`
			case unit >= "dc00" && unit <= "dfff":
				return "a low surrogate alone"
			case unit >= "d800" && unit <= "dbff":
				if !strings.HasPrefix(s, `\u`) || strings.ToLower(s[2:6]) < "dc00" || strings.ToLower(s[2:6]) > "dfff" {
					return "a high surrogate alone"
				}
				s = s[6:]
			}
		}
	}
	return ""
}

// tokens returns the JSON tokens of a body, numbers as text. The decoder turns
// a lone surrogate into U+FFFD by itself; NUL is replaced on request.
func tokens(t *testing.T, body []byte, replaceNUL bool) []json.Token {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var all []json.Token
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("reading the tokens of %q: %v", body, err)
		}
		if s, ok := token.(string); ok && replaceNUL {
			token = strings.ReplaceAll(s, "\x00", "\ufffd")
		}
		all = append(all, token)
	}
}
