// Package clerktest gives tests what Clerk would send: a golden webhook body
// for every event type and oddity, builders for events about particular
// objects, and signatures made by Svix's own library.
//
// Use it first for one delivery:
//
//	body := clerktest.Event(t, "user.created")
//	request.Header = clerktest.Sign(secret, "msg_1", time.Now(), body)
//
// or for a history of one object:
//
//	ines := clerktest.User("user_ines").Email("ines@example.com")
//	created := ines.Event(clerk.UserCreated, at)
//	renamed := ines.Name("Inès", "Moreau").UpdatedAt(later).Event(clerk.UserUpdated, later)
//	gone := ines.Deleted(muchLater)
//
// Everything is deterministic: the same calls give the same bytes.
//
// Limits: the golden bodies were written for this project after Clerk's OpenAPI
// schemas; every id, name and address in them is made up. They are what Clerk
// documents, not recordings.
package clerktest

import (
	"embed"
	"path"
	"strings"
	"testing"
)

//go:embed testdata/events/*.json
var golden embed.FS

const goldenDir = "testdata/events"

// Event returns the golden body of that name: an event type, or an event type
// and a variant such as "user.created--phone-only". The caller owns the bytes.
func Event(t testing.TB, name string) []byte {
	t.Helper()
	body, err := golden.ReadFile(path.Join(goldenDir, name+".json"))
	if err != nil {
		t.Fatalf("no golden event %q; see clerktest.Names: %v", name, err)
	}
	return body
}

// Names returns the names of all golden bodies, sorted.
func Names() []string {
	files, err := golden.ReadDir(goldenDir)
	if err != nil {
		panic(err) // the folder is compiled in
	}
	names := make([]string, len(files))
	for i, file := range files {
		names[i] = strings.TrimSuffix(file.Name(), ".json")
	}
	return names
}

// TypeOf returns the event type that a golden body's name begins with.
func TypeOf(name string) string {
	eventType, _, _ := strings.Cut(name, "--")
	return eventType
}
