package endpoint_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/jwtdiag"
	"clerksync/shared/jwtdiag/endpoint"
)

// malformed are bodies that are no question, with what the answer says.
var malformed = []struct{ name, body, code, says string }{
	{"nothing", "", "invalid_json", "is empty"},
	{"white space", " \r\n\t", "invalid_json", "is empty"},
	{"bare token", token, "invalid_json", "bare token"},
	{"bare token with its scheme", "Bearer " + token + "\n", "invalid_json", "bare token"},
	{"text", "hello", "invalid_json", "goes wrong at byte 1"},
	{"cut off", `{"token":"abc`, "invalid_json", "ends too early"},
	{"comma behind", `{"token":"abc",}`, "invalid_json", "goes wrong at byte 16"},
	{"two objects", `{"token":"abc"}{}`, "invalid_json", "not JSON"},
	{"single quotes", `{'token':'abc'}`, "invalid_json", "goes wrong at byte 2"},
	{"control character in a string", "{\"token\":\"a\nb\"}", "invalid_json", "goes wrong at byte 12"},
	{"deeper than is read", `{"tables":` + strings.Repeat("[", 20000), "invalid_json", "not JSON"},
	{"UTF-16, little end first", encode16(true, "\ufeff"+`{"token":"abc"}`), "invalid_json", "UTF-16"},
	{"UTF-16, big end first", encode16(false, "\ufeff"+`{"token":"abc"}`), "invalid_json", "UTF-16"},
	{"UTF-16 without a mark", encode16(true, `{"token":"abc"}`), "invalid_json", "UTF-16"},
	{"byte order mark", "\ufeff" + `{"token":"abc"}`, "invalid_json", "byte order mark"},
	{"Latin-1", "{\"token\":\"Zo\xeb\"}", "invalid_json", "not UTF-8"},

	{"a string", `"` + token + `"`, "invalid_json", "is a string"},
	{"an array", `[{"token":"abc"}]`, "invalid_json", "is an array"},
	{"null", "null", "invalid_json", "is null"},
	{"a number", "-1e3", "invalid_json", "is a number"},
	{"a boolean", "true", "invalid_json", "is a boolean"},

	{"no token", "{}", "missing_token", "is missing"},
	{"only a symptom", `{"symptom":"22P02"}`, "missing_token", "is missing"},
	{"empty token", `{"token":""}`, "missing_token", "is empty"},
	{"blank token", `{"token":" \n"}`, "missing_token", "is empty"},

	{"token is null", `{"token":null}`, "invalid_field", `"token" must be a string, and is null`},
	{"token is a number", `{"token":12}`, "invalid_field", "is a number"},
	{"token is an object", `{"token":{"jwt":"abc"}}`, "invalid_field", "is an object"},
	{"token is an array", `{"token":["abc"]}`, "invalid_field", "is an array"},
	{"token is a boolean", `{"token":false}`, "invalid_field", "is a boolean"},
	{"tables are text", `{"token":"abc","tables":"users"}`, "invalid_field", `"tables" must be an array of names, and is a string`},
	{"a table is a number", `{"token":"abc","tables":["users",1]}`, "invalid_field", "item 2 is a number"},
	{"a table is null", `{"token":"abc","tables":[null]}`, "invalid_field", "item 1 is null"},
	{"a table without a name", `{"token":"abc","tables":["users"," "]}`, "invalid_field", "item 2"},
	{"a table with an endless name", `{"token":"abc","tables":["` + strings.Repeat("x", 257) + `"]}`, "invalid_field", "1 to 256 bytes"},
	{"21 tables", `{"token":"abc","tables":[` + strings.Repeat(`"t",`, 20) + `"t"]}`, "invalid_field", "names 21 tables, and at most 20"},
	// What PostgREST answers, pasted as it is.
	{"symptom is an object", `{"token":"abc","symptom":{"code":"22P02"}}`, "invalid_field", `"symptom" must be a string, and is an object`},
	{"endless symptom", `{"token":"abc","symptom":"` + strings.Repeat("x", 16<<10+1) + `"}`, "invalid_field", "16385 bytes"},

	{"another field", `{"token":"abc","jwt":"def"}`, "unknown_field", `"jwt"`},
	// encoding/json would take them.
	{"field in capitals", `{"Token":"abc"}`, "unknown_field", `"Token"`},
	{"field with a Kelvin sign", `{"to\u212Aen":"abc"}`, "unknown_field", "another name"},
	{"token as a field", `{"` + token + `":1}`, "unknown_field", "another name"},
	{"key as a field", `{"sk_test_abc":1}`, "unknown_field", `"sk_test_abc"`},
	{"real key as a field", `{"sk_test_4fC0a9":1}`, "unknown_field", "another name"},
	{"empty field", `{"token":"abc","":1}`, "unknown_field", "another name"},
	{"markup as a field", `{"<script>":1}`, "unknown_field", "another name"},
	{"token twice", `{"token":"abc","token":"abc"}`, "duplicate_field", `"token" comes more than once`},
	{"token twice, once escaped", `{"token":"abc","\u0074oken":"def"}`, "duplicate_field", `"token"`},
	{"tables twice", `{"token":"abc","tables":null,"tables":[]}`, "duplicate_field", `"tables"`},
}

func encode16(littleEnd bool, text string) string {
	var b bytes.Buffer
	for _, unit := range utf16.Encode([]rune(text)) {
		if littleEnd {
			b.Write([]byte{byte(unit), byte(unit >> 8)})
		} else {
			b.Write([]byte{byte(unit >> 8), byte(unit)})
		}
	}
	return b.String()
}

func TestParseRequest_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, test := range malformed {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			request, code, message := endpoint.ParseRequest([]byte(test.body))
			if code != test.code || !strings.Contains(message, test.says) {
				t.Errorf("ParseRequest(%.80q) = %s %q, want %s with %q", test.body, code, message, test.code, test.says)
			}
			if diff := cmp.Diff(jwtdiag.Request{}, request); diff != "" {
				t.Errorf("ParseRequest(%.80q) keeps what it read: -want +got\n%s", test.body, diff)
			}
		})
	}
}

func TestParseRequest_ReadsQuestions(t *testing.T) {
	t.Parallel()
	twenty := make([]string, 20)
	for i := range twenty {
		twenty[i] = fmt.Sprintf("t%d", i)
	}
	names, _ := json.Marshal(twenty)
	tests := []struct {
		name, body string
		want       jwtdiag.Request
	}{
		{"token alone", `{"token":"abc"}`, jwtdiag.Request{Token: "abc"}},
		{"white space around", " \n{ \"token\" : \"abc\" }\r\n", jwtdiag.Request{Token: "abc"}},
		// The diagnosis says what is around a token.
		{"token as pasted", `{"token":"Bearer \"abc\"\n"}`, jwtdiag.Request{Token: "Bearer \"abc\"\n"}},
		{"everything", `{"symptom":"{\"code\":\"22P02\"}","tables":["public.users","\"Odd, name\""],"token":"abc"}`, jwtdiag.Request{Token: "abc", Tables: []string{"public.users", `"Odd, name"`}, Symptom: `{"code":"22P02"}`}},
		{"no tables", `{"token":"abc","tables":[]}`, jwtdiag.Request{Token: "abc", Tables: []string{}}},
		{"optional fields as null", `{"token":"abc","tables":null,"symptom":null}`, jwtdiag.Request{Token: "abc"}},
		{"as many tables as are taken", `{"token":"abc","tables":` + string(names) + `}`, jwtdiag.Request{Token: "abc", Tables: twenty}},
		{"names as long as are taken", `{"token":"abc","tables":["` + strings.Repeat("x", 256) + `"]}`, jwtdiag.Request{Token: "abc", Tables: []string{strings.Repeat("x", 256)}}},
		{"symptom as long as is taken", `{"token":"abc","symptom":"` + strings.Repeat("x", 16<<10) + `"}`, jwtdiag.Request{Token: "abc", Symptom: strings.Repeat("x", 16<<10)}},
		{"no JSON web token", `{"token":"\u0000 whsec_abc 🗝"}`, jwtdiag.Request{Token: "\x00 whsec_abc 🗝"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, code, message := endpoint.ParseRequest([]byte(test.body))
			if code != "" {
				t.Fatalf("ParseRequest(%.80q) = %s %q, want none", test.body, code, message)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("ParseRequest(%.80q): -want +got\n%s", test.body, diff)
			}
		})
	}
}

// words are what messages are made of, and quoted are the names in them.
var (
	words  = regexp.MustCompile(`^[A-Za-z0-9 .,:;'"{}_…-]+$`)
	quoted = regexp.MustCompile(`"([^"]*)"`)
	name   = regexp.MustCompile(`^([A-Za-z_]{1,24}|…)$`)
)

// FuzzParseRequest: what is taken keeps the limits and is what encoding/json
// reads where it refuses other fields; what is not is answered in words that
// hold nothing of the body but a short name of letters.
func FuzzParseRequest(f *testing.F) {
	for _, test := range malformed {
		f.Add([]byte(test.body))
	}
	f.Add([]byte(`{"token":"abc","tables":["public.users"],"symptom":"22P02"}`))
	f.Add([]byte(`{"token":"\ud800","tables":null,"symptom":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, code, message := endpoint.ParseRequest(body)
		if code != "" {
			if !words.MatchString(message) || len(message) > 200 {
				t.Errorf("ParseRequest(%q) says %q, which is more than words", body, message)
			}
			for _, quote := range quoted.FindAllStringSubmatch(message, -1) {
				if !name.MatchString(quote[1]) {
					t.Errorf("ParseRequest(%q) repeats %q", body, quote[1])
				}
			}
			return
		}
		if strings.TrimSpace(got.Token) == "" || len(got.Tables) > 20 || len(got.Symptom) > 16<<10 {
			t.Errorf("ParseRequest(%q) = %+v, which is beyond the limits", body, got)
		}
		var want jwtdiag.Request
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&want); err != nil {
			t.Fatalf("ParseRequest(%q) took what encoding/json refuses: %v", body, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("ParseRequest(%q): -encoding/json +got\n%s", body, diff)
		}
	})
}
