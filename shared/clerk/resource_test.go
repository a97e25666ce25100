package clerk_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
)

// resourceOf returns an empty value of the Go type that the data of a golden
// event decodes into, or nil if this package has none.
func resourceOf(name string) any {
	object, action, _ := strings.Cut(clerktest.TypeOf(name), ".")
	if action == "deleted" && object != "organizationMembership" && !strings.HasSuffix(name, "--full-object") {
		return new(clerk.DeletedObject)
	}
	switch object {
	case "user":
		return new(clerk.User)
	case "organization":
		return new(clerk.Organization)
	case "organizationMembership":
		return new(clerk.OrganizationMembership)
	case "role":
		return new(clerk.Role)
	case "permission":
		return new(clerk.Permission)
	}
	return nil
}

func TestResources_SurviveDecodingAndEncoding(t *testing.T) {
	t.Parallel()
	// What the types leave out on purpose, or read as absent.
	left := []string{"backup_codes", "profile_image_url", "birthday", "gender", "some_future_field"}
	for _, name := range clerktest.Names() {
		resource := resourceOf(name)
		if resource == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := dataOf(t, clerktest.Event(t, name))
			if err := json.Unmarshal(data, resource); err != nil {
				t.Fatalf("decoding the data of %s into %T: %v", name, resource, err)
			}
			encoded, err := json.Marshal(resource)
			if err != nil {
				t.Fatalf("encoding %T: %v", resource, err)
			}
			if diff := cmp.Diff(sparse(t, data, left), sparse(t, encoded, nil)); diff != "" {
				t.Errorf("the data of %s through %T: -want +got\n%s", name, resource, diff)
			}
		})
	}
}

// dataOf returns the data of an event.
func dataOf(t *testing.T, body []byte) json.RawMessage {
	t.Helper()
	var event struct{ Data json.RawMessage }
	if err := json.Unmarshal(body, &event); err != nil {
		t.Fatal(err)
	}
	return event.Data
}

// sparse decodes JSON with its numbers as text and without members that are
// null, which Clerk itself writes or leaves out at will, or that are named.
func sparse(t *testing.T, value []byte, left []string) any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	var decoded any
	if err := decoder.Decode(&decoded); err != nil {
		t.Fatal(err)
	}
	var prune func(any)
	prune = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, name := range left {
				delete(v, name)
			}
			for name, member := range v {
				if member == nil {
					delete(v, name)
				}
				prune(member)
			}
		case []any:
			for _, element := range v {
				prune(element)
			}
		}
	}
	prune(decoded)
	return decoded
}

func TestUser_PrimaryEmailIsTheOneNamed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		event string
		want  string // "" for none
	}{
		{"user.created", "ines.moreau@example.com"},
		{"user.updated--primary-not-first", "ines.moreau@example.com"},
		{"user.updated--no-primary", ""}, // an address is listed, none is named
		{"user.created--phone-only", ""},
		{"user.created--unverified-email", "pavel@example.net"}, // primary does not mean verified
	}
	for _, test := range tests {
		t.Run(test.event, func(t *testing.T) {
			t.Parallel()
			var user clerk.User
			if err := json.Unmarshal(dataOf(t, clerktest.Event(t, test.event)), &user); err != nil {
				t.Fatal(err)
			}
			got, ok := user.PrimaryEmail()
			if got.EmailAddress != test.want || ok != (test.want != "") {
				t.Errorf("PrimaryEmail() of %s = %q, %t, want %q", test.event, got.EmailAddress, ok, test.want)
			}
		})
	}
}

func TestUser_PrimaryEmailMustBeListed(t *testing.T) {
	t.Parallel()
	user := clerktest.User("user_1").Email("ines@example.com").With(func(u *clerk.User) {
		u.PrimaryEmailAddressID = new("idn_elsewhere")
	}).Resource()
	if got, ok := user.PrimaryEmail(); ok {
		t.Errorf("PrimaryEmail() = %q, want none: the named id is not in the list", got.EmailAddress)
	}
}

func TestMillis_ReadsEveryFormAndWritesOne(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		want clerk.Millis
		out  string
	}{
		{"1781514005123", 1781514005123, "1781514005123"},
		{"1781514005", 1781514005000, "1781514005000"},
		{"1781514005.5", 1781514005500, "1781514005500"},
		{"1.781514005123e12", 1781514005123, "1781514005123"},
		{"99999999999", 99999999999000, "99999999999000"},       // the last number that is seconds
		{"100000000000", 100000000000, "100000000000"},          // the first that is milliseconds
		{"253402300799999", 253402300799999, "253402300799999"}, // end of the year 9999
		{"0", 0, "null"},
		{"null", 0, "null"},
	}
	for _, test := range tests {
		t.Run(test.in, func(t *testing.T) {
			t.Parallel()
			got := clerk.Millis(1) // must not survive
			if err := json.Unmarshal([]byte(test.in), &got); err != nil {
				t.Fatalf("decoding %s: %v", test.in, err)
			}
			if got != test.want {
				t.Errorf("decoding %s = %d, want %d", test.in, got, test.want)
			}
			out, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			if string(out) != test.out {
				t.Errorf("encoding %d = %s, want %s", got, out, test.out)
			}
		})
	}
}

func TestMillis_RefusesWhatIsNoMoment(t *testing.T) {
	t.Parallel()
	for _, in := range []string{`"1781514005"`, `"2026-06-15T09:00:00Z"`, "true", "{}", "[]", "-1", "-0.5", "253402300800000", "1e300", "1e9999"} {
		got := clerk.Millis(7)
		if err := json.Unmarshal([]byte(in), &got); err == nil {
			t.Errorf("decoding %s = %d, want an error", in, got)
		}
	}
}

func TestMillis_KeepsMomentsToTheMillisecond(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 6, 15, 11, 0, 0, 123_456_789, time.FixedZone("CEST", 7200))
	if got, want := clerk.MillisOf(at).Time(), time.Date(2026, 6, 15, 9, 0, 0, 123_000_000, time.UTC); !got.Equal(want) || got.Location() != time.UTC {
		t.Errorf("MillisOf(%v).Time() = %v, want %v", at, got, want)
	}
	if got := clerk.MillisOf(time.Time{}); got != 0 || !got.Time().IsZero() {
		t.Errorf("MillisOf(zero) = %d and back %v, want zero both times", got, got.Time())
	}
}
