package eventqueue_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/eventqueue"
	"clerksync/shared/mirror"
)

func delivery(t testing.TB, id, body string) mirror.Delivery {
	t.Helper()
	event, err := clerk.ParseEvent([]byte(body))
	if err != nil {
		t.Fatalf("event %.200s: %v", body, err)
	}
	return mirror.Delivery{SvixID: id, Event: event}
}

func encode(t testing.TB, d mirror.Delivery) string {
	t.Helper()
	body, ok := eventqueue.Encode(d)
	if !ok {
		t.Fatalf("Encode(%s, %.200s) = false, want a message", d.SvixID, d.Event.JSON)
	}
	return body
}

// plain is a JSON value as Go's decoder reads it, numbers as they are written.
func plain(t testing.TB, text []byte) any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		t.Fatalf("%.200s: %v", text, err)
	}
	return value
}

func TestEncode_WritesTheStatedForm(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, id, event, want string }{
		{
			"of use", "msg_1",
			`{ "type": "user.updated", "data": {"id": "user_1", "first_name": "Zoë <&>", "big": 12345678901234567890.10},
			   "event_attributes": {"http_request": {"client_ip": "203.0.113.9"}}, "timestamp": 1716883200, "later": [1] }`,
			`{"svix_id":"msg_1","event":{"data":{"id":"user_1","first_name":"Zoë <&>","big":12345678901234567890.10},"later":[1],"timestamp":1716883200,"type":"user.updated"}}`,
		},
		{
			"attributes under an escaped name", "msg_1",
			`{"type":"user.updated","data":{"id":"user_1"},"event\u005fattributes":{"client_ip":"203.0.113.9"}}`,
			`{"svix_id":"msg_1","event":{"data":{"id":"user_1"},"type":"user.updated"}}`,
		},
		{
			"with a code", "msg_2",
			`{"type":"email.created","object":"event","timestamp":1716883200123,"instance_id":"ins_1","data":{"id":"ema_1","body":"424242","data":{"otp_code":"424242"}},"event_attributes":{}}`,
			`{"svix_id":"msg_2","event":{"data":{"id":"ema_1"},"instance_id":"ins_1","object":"event","timestamp":1716883200123,"type":"email.created"}}`,
		},
		{
			"of no known type and without an id", "msg_3", `{"type":"user.Created","data":{"token":"x"},"token":"x"}`,
			`{"svix_id":"msg_3","event":{"data":{},"type":"user.Created"}}`,
		},
		{
			"with what SQS has no characters for", "msg_4", "{\"type\":\"user.updated\",\"data\":{\"id\":\"user_1\",\"a\uFFFE\":\"\uFFFF\uFFFD\U0001FFFE\x7f\"}}",
			"{\"svix_id\":\"msg_4\",\"event\":{\"data\":{\"id\":\"user_1\",\"a\\ufffe\":\"\\uffff\uFFFD\U0001FFFE\x7f\"},\"type\":\"user.updated\"}}",
		},
		{
			"with an id that needs escaping", `m"\<1>`, `{"type":"role.deleted","data":{}}`,
			`{"svix_id":"m\"\\\u003c1\u003e","event":{"data":{},"type":"role.deleted"}}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := encode(t, delivery(t, tt.id, tt.event)); got != tt.want {
				t.Errorf("Encode(%s) =\n%s, want\n%s", tt.event, got, tt.want)
			}
		})
	}
}

func TestEncode_LeavesToTheDirectStoreWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	filled := func(n int) string {
		const frame = `{"type":"user.updated","data":{"id":"user_1","x":""}}`
		return strings.Replace(frame, `"x":"`, `"x":"`+strings.Repeat("a", n), 1)
	}
	// What is around the filling, once encoded.
	overhead := len(encode(t, delivery(t, "msg_1", filled(0))))
	nested := func(depth int) string {
		return `{"type":"user.updated","data":{"x":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `}}`
	}
	for _, tt := range []struct {
		name, id, event string
		want            bool
	}{
		{"the largest", "msg_1", filled(eventqueue.MaxMessage - overhead), true},
		{"a byte larger", "msg_1", filled(eventqueue.MaxMessage - overhead + 1), false},
		// Three bytes each as they are, and six as SQS takes them.
		{"larger once escaped", "msg_1", strings.Replace(filled(0), `"x":"`, `"x":"`+strings.Repeat("\uFFFF", eventqueue.MaxMessage/4), 1), false},
		// Go's decoder goes 10,000 levels down; the message is one of them.
		{"the deepest", "msg_1", nested(9_997), true},
		{"deeper than the message can be read again", "msg_1", nested(9_998), false},
		{"no id", "", filled(0), false},
		{"an id that is too long", strings.Repeat("m", 257), filled(0), false},
		{"an id with a space", "msg 1", filled(0), false},
		// These could hold a code.
		{"an id that is an object", "msg_1", `{"type":"email.created","data":{"id":{"code":"424242"}}}`, false},
		{"a timestamp that is a list", "msg_1", `{"type":"email.created","timestamp":["424242"],"data":{"id":"ema_1"}}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := mirror.Delivery{SvixID: tt.id, Event: delivery(t, "msg_1", tt.event).Event}
			body, got := eventqueue.Encode(d)
			if got != tt.want || len(body) > eventqueue.MaxMessage {
				t.Errorf("Encode = %t with %d bytes, want %t with at most %d", got, len(body), tt.want, eventqueue.MaxMessage)
			}
			if got {
				if _, err := eventqueue.Decode(body); err != nil {
					t.Errorf("Decode of what Encode wrote: %v", err)
				}
			}
		})
	}
}

func TestDecode_ReturnsWhatWasSent(t *testing.T) {
	t.Parallel()
	for _, name := range clerktest.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkRoundTrip(t, delivery(t, "msg_"+name, string(clerktest.Event(t, name))))
		})
	}
}

// checkRoundTrip encodes and decodes a delivery, if it fits a message.
func checkRoundTrip(t *testing.T, sent mirror.Delivery) {
	t.Helper()
	body, ok := eventqueue.Encode(sent)
	if !ok {
		return
	}
	got, err := eventqueue.Decode(body)
	if err != nil {
		t.Fatalf("Decode(%s): %v", body, err)
	}
	want, decoded := sent, got.Event.JSON
	want.Event.JSON, got.Event.JSON = nil, nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("delivery by way of %s (-sent +received):\n%s", body, diff)
	}
	members, _ := plain(t, sent.Event.JSON).(map[string]any)
	if mirror.Mirrored(sent.Event.Type) {
		delete(members, "event_attributes")
	} else {
		for member := range members {
			if !slices.Contains([]string{"type", "timestamp", "instance_id", "object", "data"}, member) {
				delete(members, member)
			}
		}
		data, _ := members["data"].(map[string]any)
		for member := range data {
			if member != "id" {
				delete(data, member)
			}
		}
	}
	if diff := cmp.Diff(any(members), plain(t, decoded)); diff != "" {
		t.Errorf("event by way of %s (-what may travel +received):\n%s", body, diff)
	}
	for _, r := range body {
		if r == 0xFFFE || r == 0xFFFF || r < ' ' {
			t.Errorf("message %q holds %U, which SQS does not take", body, r)
		}
	}
	if again := encode(t, mirror.Delivery{SvixID: sent.SvixID, Event: clerk.Event{Type: got.Event.Type, JSON: decoded}}); again != body {
		t.Errorf("sent again, %s becomes %s", body, again)
	}
}

func TestDecode_TellsForeignMessages(t *testing.T) {
	t.Parallel()
	const event = `{"type":"user.created","data":{"id":"user_1"}}`
	for _, tt := range []struct{ name, body string }{
		{"empty", ``},
		{"text", `hello 424242`},
		{"a list", `[]`},
		{"null", `null`},
		{"an empty object", `{}`},
		{"an event without its envelope", event},
		{"a notification of S3", `{"Records":[{"eventSource":"aws:s3","s3":{"bucket":{"name":"424242"}}}]}`},
		{"a notification of SNS", `{"Type":"Notification","MessageId":"22b80b92","Message":"{}"}`},
		{"no id", `{"event":` + event + `}`},
		{"an empty id", `{"svix_id":"","event":` + event + `}`},
		{"a number for the id", `{"svix_id":424242,"event":` + event + `}`},
		{"an id with a line break", `{"svix_id":"msg\n1","event":` + event + `}`},
		{"an id that is too long", `{"svix_id":"` + strings.Repeat("m", 257) + `","event":` + event + `}`},
		// Names are compared exactly, as everywhere else.
		{"names in capitals", `{"SVIX_ID":"msg_1","EVENT":` + event + `}`},
		{"no event", `{"svix_id":"msg_1"}`},
		{"an event as text", `{"svix_id":"msg_1","event":` + fmt.Sprintf("%q", event) + `}`},
		{"an event without a type", `{"svix_id":"msg_1","event":{"data":{}}}`},
		{"an event without data", `{"svix_id":"msg_1","event":{"type":"user.created"}}`},
		{"more than one", `{"svix_id":"msg_1","event":` + event + `}{}`},
		{"no UTF-8", "{\"svix_id\":\"msg_1\",\"event\":{\"type\":\"user.created\",\"data\":{\"id\":\"\xff\"}}}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := eventqueue.Decode(tt.body)
			if !errors.Is(err, eventqueue.ErrForeign) {
				t.Fatalf("Decode(%s) = %+v, %v, want ErrForeign", tt.body, got, err)
			}
			if strings.Contains(err.Error(), "424242") {
				t.Errorf("Decode(%s) quotes the message: %v", tt.body, err)
			}
		})
	}
}

func TestDecode_LeavesAloneWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	const body = `{"sent_at":1716883200,"svix_id":"msg_1","trace":{"id":1},"event":{"type":"user.created","data":{"id":"user_1"}}}`
	got, err := eventqueue.Decode(body)
	if err != nil || got.SvixID != "msg_1" || got.Event.ObjectID != "user_1" || got.InstanceID != "" {
		t.Errorf("Decode(%s) = %+v, %v, want the delivery msg_1 about user_1", body, got, err)
	}
}

// Whatever a queue hands over: no panic, and what is no message is foreign.
// Whatever Clerk says: it comes out as it went in.
func FuzzDecode(f *testing.F) {
	for _, name := range clerktest.Names() {
		body := string(clerktest.Event(f, name))
		f.Add(body)
		if message, ok := eventqueue.Encode(delivery(f, "msg_1", body)); ok {
			f.Add(message)
		}
	}
	f.Add("{\"type\":\"user.updated\",\"data\":{\"id\":\"\\ud800\",\"\uFFFF\":1e400},\"data\":{\"id\":7},\"timestamp\":\"1\"}")
	f.Add(`{"svix_id":"a","svix_id":"b","event":{"type":"x","data":{}},"event":null}`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := eventqueue.Decode(text)
		switch {
		case err == nil:
			checkRoundTrip(t, got)
		case !errors.Is(err, eventqueue.ErrForeign):
			t.Errorf("Decode(%q) = %v, want ErrForeign", text, err)
		case got.SvixID != "" || got.Event.JSON != nil:
			t.Errorf("Decode(%q) = %+v beside %v", text, got, err)
		}
		if event, err := clerk.ParseEvent([]byte(text)); err == nil {
			if !utf8.ValidString(text) {
				t.Fatalf("ParseEvent took %q", text)
			}
			checkRoundTrip(t, mirror.Delivery{SvixID: "msg_1", Event: event})
		}
	})
}

func TestDecode_BringsTheFingerprintBack(t *testing.T) {
	t.Parallel()
	event, err := clerk.ParseEvent([]byte(`{"type":"user.deleted","data":{"id":"user_1"}}`))
	if err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]string{"0123abcd": "0123abcd", "": "", `"}`: "", "0123ABCD": ""} {
		body, ok := eventqueue.Encode(mirror.Delivery{SvixID: "msg_1", Event: event, SignedWith: given})
		if got, err := eventqueue.Decode(body); !ok || err != nil || got.SignedWith != want {
			t.Errorf("%q became %q, %t, %v, want %q", given, got.SignedWith, ok, err, want)
		}
	}
	if got, err := eventqueue.Decode(`{"svix_id":"msg_1","signed_with":7,"event":{"type":"user.deleted","data":{"id":"user_1"}}}`); err != nil || got.SignedWith != "" {
		t.Errorf("a foreign value became %q, %v", got.SignedWith, err)
	}
}
