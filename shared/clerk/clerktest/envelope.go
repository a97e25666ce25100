package clerktest

import (
	"encoding/json"
	"fmt"
	"time"

	"clerksync/shared/devstack/clerkdouble/resource"
)

// InstanceID is the instance that the builders' events come from.
const InstanceID = "ins_2clerktest"

// Epoch is when the builders' objects were created and last updated unless a
// test says otherwise.
var Epoch = time.Date(2026, time.June, 15, 9, 0, 0, 0, time.UTC)

// EnvelopeOption changes the envelope around an event's data.
type EnvelopeOption func(*envelope)

// Seconds states the event's time in seconds, as Clerk's published examples do.
func Seconds() EnvelopeOption {
	return func(e *envelope) { *e.Timestamp /= 1000 }
}

// NoTimestamp leaves the event's time out.
func NoTimestamp() EnvelopeOption {
	return func(e *envelope) { e.Timestamp = nil }
}

// Instance makes the event come from another instance; the empty id leaves
// instance_id out, as old messages do.
func Instance(id string) EnvelopeOption {
	return func(e *envelope) { e.InstanceID = id }
}

type envelope struct {
	Object     string `json:"object"`
	Type       string `json:"type"`
	InstanceID string `json:"instance_id,omitempty"`
	Timestamp  *int64 `json:"timestamp,omitempty"`
	Data       any    `json:"data"`
}

// Wrap returns the body of an event of any type, stated at that moment, around
// any data that encodes as JSON. It panics if data does not.
func Wrap(eventType string, at time.Time, data any, options ...EnvelopeOption) []byte {
	e := envelope{Object: "event", Type: eventType, InstanceID: InstanceID, Timestamp: new(at.UnixMilli()), Data: data}
	for _, option := range options {
		option(&e)
	}
	body, err := json.Marshal(e)
	if err != nil {
		panic(fmt.Sprintf("clerktest: encoding a %s event: %v", eventType, err))
	}
	return body
}

// Deletion returns the body of an event whose data is a DeletedObject: object
// is its kind as Clerk writes it, such as "role".
func Deletion(eventType, object, id string, at time.Time, options ...EnvelopeOption) []byte {
	return Wrap(eventType, at, resource.DeletedObject{ID: id, Object: object, Deleted: true}, options...)
}
