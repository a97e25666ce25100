package clerk

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// The reasons why a body is no event. They are told apart because a stored
// rejection is worth more with its reason, not because any can be retried.
var (
	// ErrNotUTF8 says that the body holds bytes that are not UTF-8, which
	// neither JSON nor a Postgres database in UTF8 can carry.
	ErrNotUTF8 = errors.New("the body is not valid UTF-8")
	// ErrNotJSON says that the body is not one JSON value. An empty body and a
	// body that begins with a byte order mark are among these.
	ErrNotJSON = errors.New("the body is not valid JSON")
	// ErrNotEvent says that the body is JSON but not an object with a string
	// "type" and an object "data".
	ErrNotEvent = errors.New("the body is not a Clerk event")
)

// Event is one webhook message, as far as a mirror must look into it before
// the database does.
type Event struct {
	// Type is the event type as Clerk sent it, such as "user.created"; it may
	// be one that EventTypes does not list. Never empty.
	Type string
	// ObjectID is data.id, or empty if that is absent or not a string.
	ObjectID string
	// InstanceID is the Clerk instance that speaks ("ins_…"), or empty: old
	// messages lack it.
	InstanceID string
	// StatedAt is the envelope's timestamp to the millisecond, in UTC, and zero
	// if it is absent or unusable. Clerk documents milliseconds and publishes
	// examples in seconds, so both are read.
	StatedAt time.Time
	// JSON is the whole body in a form that a jsonb column accepts. It is the
	// body itself, byte for byte and sharing its memory, unless that holds what
	// jsonb cannot: see ParseEvent.
	JSON json.RawMessage
}

// ParseEvent reads a body whose signature was verified over exactly these
// bytes. Its errors wrap ErrNotUTF8, ErrNotJSON or ErrNotEvent and hold none of
// the body.
//
// Postgres refuses two things in jsonb that JSON allows: the escape \u0000 and
// an escaped surrogate without its other half. Both become \ufffd, in values
// and member names alike, so that one odd character costs that character and
// not the user who typed it. Numbers are never touched. A name that occurs
// twice in an object means its last occurrence, as it does to jsonb.
func ParseEvent(body []byte) (Event, error) {
	if !utf8.Valid(body) {
		return Event{}, ErrNotUTF8
	}
	if !json.Valid(body) {
		return Event{}, ErrNotJSON
	}
	body = storable(body)

	var eventType, instanceID, objectID string
	var data, timestamp json.RawMessage
	// Names are compared exactly, as Postgres compares them: decoding into a
	// struct would let "Type" override "type". Of a name that occurs twice the
	// last one counts.
	if !members(body, func(name []byte, value json.RawMessage) {
		switch string(name) {
		case "type":
			eventType = text(value)
		case "instance_id":
			instanceID = text(value)
		case "timestamp":
			timestamp = value
		case "data":
			data = value
		}
	}) {
		return Event{}, fmt.Errorf("%w: it is no JSON object", ErrNotEvent)
	}
	if eventType == "" {
		return Event{}, fmt.Errorf(`%w: it has no string "type"`, ErrNotEvent)
	}
	if !members(data, func(name []byte, value json.RawMessage) {
		if string(name) == "id" {
			objectID = text(value)
		}
	}) {
		return Event{}, fmt.Errorf(`%w: it has no object "data"`, ErrNotEvent)
	}
	statedAt, _ := parseMillis(timestamp)
	return Event{
		Type:       eventType,
		ObjectID:   objectID,
		InstanceID: instanceID,
		StatedAt:   statedAt.Time(),
		JSON:       body,
	}, nil
}

// text returns the string that valid JSON, or nothing, holds, and "" for
// anything else.
func text(value json.RawMessage) string {
	var s string
	if json.Unmarshal(value, &s) != nil {
		return ""
	}
	return s
}
