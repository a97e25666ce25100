package resource_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/devstack/clerkdouble/resource"
)

// resourceOf returns an empty value of the Go type that the data of a golden
// event decodes into, or nil if this package has none.
func resourceOf(name string) any {
	object, action, _ := strings.Cut(clerktest.TypeOf(name), ".")
	if action == "deleted" && object != "organizationMembership" && !strings.HasSuffix(name, "--full-object") {
		return new(resource.DeletedObject)
	}
	switch object {
	case "user":
		return new(resource.User)
	case "organization":
		return new(resource.Organization)
	case "organizationMembership":
		return new(resource.OrganizationMembership)
	case "role":
		return new(resource.Role)
	case "permission":
		return new(resource.Permission)
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

func TestAppend_WritesWhatEncodingJSONWrites(t *testing.T) {
	t.Parallel()
	odd := clerktest.User("user_1").Name("Zoë \x00\x7f\n\\", "invalid \xff, \"astral\" 🐋 <&>\u2028").Resource()
	odd.EmailAddresses, odd.PrivateMetadata, odd.Passkeys = nil, nil, []json.RawMessage{nil, json.RawMessage(`[1.50]`)}
	values := []any{&odd, &resource.Organization{}, &resource.OrganizationMembership{}, &resource.Verification{}, &resource.DeletedObject{}, &struct{}{}}
	for _, name := range clerktest.Names() {
		if value := resourceOf(name); value != nil {
			if err := json.Unmarshal(dataOf(t, clerktest.Event(t, name)), value); err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
	}
	for _, value := range values {
		want, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		got := appended(value)
		if diff := cmp.Diff(exact(t, want), exact(t, got)); diff != "" {
			t.Errorf("Append(%T): -encoding/json +Append\n%s", value, diff)
		}
	}
}

// appended is Append of a pointer of any type.
func appended(value any) []byte {
	switch v := value.(type) {
	case *resource.User:
		return resource.Append(nil, v)
	case *resource.Organization:
		return resource.Append(nil, v)
	case *resource.OrganizationMembership:
		return resource.Append(nil, v)
	case *resource.Role:
		return resource.Append(nil, v)
	case *resource.Permission:
		return resource.Append(nil, v)
	case *resource.Verification:
		return resource.Append(nil, v)
	case *resource.DeletedObject:
		return resource.Append(nil, v)
	case *struct{}:
		return resource.Append(nil, v)
	}
	return nil
}

// exact decodes JSON with its numbers as text.
func exact(t *testing.T, value []byte) any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	var decoded any
	if err := decoder.Decode(&decoded); err != nil {
		t.Fatalf("%v: %s", err, value)
	}
	return decoded
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
			var user resource.User
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
	user := clerktest.User("user_1").Email("ines@example.com").With(func(u *resource.User) {
		u.PrimaryEmailAddressID = new("idn_elsewhere")
	}).Resource()
	if got, ok := user.PrimaryEmail(); ok {
		t.Errorf("PrimaryEmail() = %q, want none: the named id is not in the list", got.EmailAddress)
	}
}
