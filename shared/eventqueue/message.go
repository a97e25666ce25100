package eventqueue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"clerksync/shared/clerk"
	"clerksync/shared/mirror"
)

// fingerprint is the form of what tells signing secrets apart.
var fingerprint = regexp.MustCompile(`^[0-9a-f]{8}$`)

// ErrForeign is returned for a message that no [Sender] has sent.
var ErrForeign = errors.New("the message is none of clerksync's")

// maxMessage is the size of the largest body that is sent, in bytes. SQS takes
// four times as much by now, but not into queues whose MaximumMessageSize was set
// when this was the most (Amazon SQS developer guide, "Message quotas").
const maxMessage = 256 << 10

// maxIDLen is the length of the longest message id that the webhook takes.
const maxIDLen = 256

// The names of a message's members, and of those of an event that are looked at.
const (
	memberSvixID     = "svix_id"
	memberEvent      = "event"
	memberSignedWith = "signed_with"
	memberAttributes = "event_attributes"
	memberData       = "data"
	memberID         = "id"
)

// envelope are the members beside data that travel with every event.
var envelope = []string{"type", "timestamp", "instance_id", "object"}

// Encode writes a delivery as the body of a message. It reports false for one
// that no message can carry.
func Encode(d mirror.Delivery) (string, bool) {
	if !isID(d.SvixID) {
		return "", false
	}
	event, ok := reduce(d.Event)
	if !ok {
		return "", false
	}
	id, err := json.Marshal(d.SvixID)
	if err != nil {
		return "", false
	}
	signedWith := ""
	if fingerprint.MatchString(d.SignedWith) {
		signedWith = `,"` + memberSignedWith + `":"` + d.SignedWith + `"`
	}
	body := bytes.Join([][]byte{[]byte(`{"` + memberSvixID + `":`), id, []byte(signedWith + `,"` + memberEvent + `":`), event, []byte("}")}, nil)
	// Two characters that JSON has and SQS has not: it refuses the message, or
	// replaces them, depending on when one asks (Amazon SQS API reference,
	// SendMessage). In JSON they can only stand in strings.
	body = bytes.ReplaceAll(body, []byte("\uFFFE"), []byte(`\ufffe`))
	body = bytes.ReplaceAll(body, []byte("\uFFFF"), []byte(`\uffff`))
	// JSON within JSON is one level deeper, and the decoder's depth is limited.
	if len(body) > maxMessage || !json.Valid(body) {
		return "", false
	}
	return string(body), true
}

// reduce is what of an event may rest in a queue. It reports false where an event
// of no use has another form than events have.
func reduce(event clerk.Event) ([]byte, bool) {
	var all map[string]json.RawMessage
	if json.Unmarshal(event.JSON, &all) != nil {
		return nil, false
	}
	if mirror.Mirrored(event.Type) {
		delete(all, memberAttributes)
		return compact(all)
	}
	var data map[string]json.RawMessage
	if json.Unmarshal(all[memberData], &data) != nil {
		return nil, false
	}
	kept, ok := pick(all, envelope...)
	if !ok {
		return nil, false
	}
	id, ok := pick(data, memberID)
	if !ok {
		return nil, false
	}
	if kept[memberData], ok = compact(id); !ok {
		return nil, false
	}
	return compact(kept)
}

// pick returns the members of these names, and reports false if one of them could
// hold anything.
func pick(object map[string]json.RawMessage, names ...string) (map[string]json.RawMessage, bool) {
	picked := map[string]json.RawMessage{}
	for _, name := range names {
		value, ok := object[name]
		if !ok {
			continue
		}
		if value[0] == '{' || value[0] == '[' {
			return nil, false
		}
		picked[name] = value
	}
	return picked, true
}

// compact writes an object without white space and otherwise as it came.
func compact(object map[string]json.RawMessage) ([]byte, bool) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	// What is safe in a web page is six times as long.
	encoder.SetEscapeHTML(false)
	if encoder.Encode(object) != nil {
		return nil, false
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), true
}

// Decode reads the body of a message. The delivery lacks the pinned instance,
// which is the receiver's to know. The error wraps [ErrForeign] and holds nothing
// of the message.
func Decode(body string) (mirror.Delivery, error) {
	// A map, since a struct would take members whose names differ in case.
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(body), &members) != nil {
		return mirror.Delivery{}, fmt.Errorf("%w: it is no JSON object", ErrForeign)
	}
	var id string
	if json.Unmarshal(members[memberSvixID], &id) != nil || !isID(id) {
		return mirror.Delivery{}, fmt.Errorf("%w: it has no usable %s", ErrForeign, memberSvixID)
	}
	event, err := clerk.ParseEvent(members[memberEvent])
	if err != nil {
		return mirror.Delivery{}, fmt.Errorf("%w: it has no usable %s: %w", ErrForeign, memberEvent, err)
	}
	d := mirror.Delivery{SvixID: id, Event: event}
	// Messages of an earlier release lack it; what cannot be one counts as unknown.
	var signedWith string
	if json.Unmarshal(members[memberSignedWith], &signedWith) == nil && fingerprint.MatchString(signedWith) {
		d.SignedWith = signedWith
	}
	return d, nil
}

// isID reports whether a text has the form of a message id: printable ASCII.
func isID(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return s != "" && len(s) <= maxIDLen
}
