package endpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"unicode/utf8"

	"clerksync/shared/httpapi"
	"clerksync/shared/jsonkind"
	"clerksync/shared/jwtdiag"
)

// What a question may hold.
const (
	maxTables    = 20
	maxTableName = 256 // two quoted identifiers of 63 bytes, every one of them doubled
	maxSymptom   = 16 << 10
)

// fieldName is what an unknown field's name must look like to be repeated. No
// token, key or id does: they have digits, dots or more letters.
var fieldName = regexp.MustCompile(`^[A-Za-z_]{1,24}$`)

func malformed(code, format string, values ...any) refusal {
	return httpapi.NewRefusal(http.StatusBadRequest, code, fmt.Sprintf(format, values...))
}

func invalidJSON(format string, values ...any) refusal {
	return malformed("invalid_json", format, values...)
}

func invalidField(format string, values ...any) refusal {
	return malformed("invalid_field", format, values...)
}

// parseRequest reads a question, or returns a refusal that says what is wrong
// with it. It is stricter than encoding/json, which takes fields in any case and
// the last one of several: what was meant is not guessed about a token.
func parseRequest(body []byte) (jwtdiag.Request, refusal) {
	var request jwtdiag.Request
	if refused := checkEncoding(body); refused.Status != 0 {
		return request, refused
	}
	var whole json.RawMessage
	if err := json.Unmarshal(body, &whole); err != nil {
		if looksLikeToken(body) {
			return request, invalidJSON(`The body is the bare token; send it as a JSON object: {"token": "…"}.`)
		}
		syntax, ok := errors.AsType[*json.SyntaxError](err)
		switch {
		case !ok: // nothing else is documented
			return request, invalidJSON("The body is not JSON.")
		case syntax.Error() == "unexpected end of JSON input":
			return request, invalidJSON("The body is not JSON: it ends too early.")
		}
		return request, invalidJSON("The body is not JSON: it goes wrong at byte %d.", syntax.Offset)
	}
	if kind := jsonkind.Of(whole); kind != "an object" {
		return request, invalidJSON(`The body must be a JSON object like {"token": "…"}, and is %s.`, kind)
	}

	// The syntax is right, so that the decoder has nothing left to complain of.
	decoder := json.NewDecoder(bytes.NewReader(whole))
	_, _ = decoder.Token()
	seen := map[string]bool{}
	for decoder.More() {
		key, _ := decoder.Token()
		name, _ := key.(string)
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return request, invalidJSON("The body is not JSON.")
		}
		var refused refusal
		switch name {
		case "token":
			request.Token, refused = parseToken(value)
		case "tables":
			request.Tables, refused = parseTables(value)
		case "symptom":
			request.Symptom, refused = parseSymptom(value)
		default:
			refused = unknownField(name)
		}
		if refused.Status == 0 && seen[name] {
			refused = malformed("duplicate_field", "The field %q comes more than once.", name)
		}
		if refused.Status != 0 {
			return jwtdiag.Request{}, refused
		}
		seen[name] = true
	}
	if strings.TrimSpace(request.Token) == "" {
		if seen["token"] {
			return jwtdiag.Request{}, malformed("missing_token", `The field "token" is empty; it must hold the token.`)
		}
		return jwtdiag.Request{}, malformed("missing_token", `The field "token" is missing; send {"token": "…"}.`)
	}
	return request, refusal{}
}

// checkEncoding tells apart what the JSON decoder would only call invalid.
// Windows shells write UTF-16, and byte order marks.
func checkEncoding(body []byte) refusal {
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return invalidJSON(`The body is empty; send {"token": "…"}.`)
	case bytes.HasPrefix(body, []byte{0xFF, 0xFE}), bytes.HasPrefix(body, []byte{0xFE, 0xFF}), bytes.IndexByte(body[:min(len(body), 4)], 0) >= 0:
		return invalidJSON("The body looks like UTF-16; send UTF-8.")
	case bytes.HasPrefix(body, []byte("\xEF\xBB\xBF")):
		return invalidJSON("The body begins with a byte order mark; send UTF-8 without one.")
	case !utf8.Valid(body):
		return invalidJSON("The body is not UTF-8.")
	}
	return refusal{}
}

// looksLikeToken reports whether a body that is no JSON was meant to be the token.
func looksLikeToken(body []byte) bool {
	text := strings.TrimPrefix(strings.TrimSpace(string(body)), "Bearer ")
	return strings.HasPrefix(text, "ey") && strings.Count(text, ".") >= 2 && !strings.ContainsAny(text, "{}[]:")
}

func unknownField(name string) refusal {
	if fieldName.MatchString(name) {
		return malformed("unknown_field", "There is no field %q; the fields are token, tables and symptom.", name)
	}
	return malformed("unknown_field", "There is a field of another name than token, tables and symptom.")
}

func parseToken(value json.RawMessage) (string, refusal) {
	var token string
	if kind := jsonkind.Of(value); kind != "a string" {
		return "", invalidField(`The field "token" must be a string, and is %s.`, kind)
	}
	_ = json.Unmarshal(value, &token)
	return token, refusal{}
}

func parseTables(value json.RawMessage) ([]string, refusal) {
	var values []json.RawMessage
	switch kind := jsonkind.Of(value); kind {
	case "null":
		return nil, refusal{}
	case "an array":
		_ = json.Unmarshal(value, &values)
	default:
		return nil, invalidField(`The field "tables" must be an array of names, and is %s.`, kind)
	}
	if len(values) > maxTables {
		return nil, invalidField(`The field "tables" names %d tables, and at most %d are looked at; ask in several requests.`, len(values), maxTables)
	}
	tables := make([]string, len(values))
	for i, value := range values {
		if kind := jsonkind.Of(value); kind != "a string" {
			return nil, invalidField(`The field "tables" must be an array of names, and its item %d is %s.`, i+1, kind)
		}
		_ = json.Unmarshal(value, &tables[i])
		if strings.TrimSpace(tables[i]) == "" || len(tables[i]) > maxTableName {
			return nil, invalidField(`The field "tables" has an item %d that is no name of a table: it must have 1 to %d bytes.`, i+1, maxTableName)
		}
	}
	return tables, refusal{}
}

func parseSymptom(value json.RawMessage) (string, refusal) {
	var symptom string
	switch kind := jsonkind.Of(value); kind {
	case "null":
		return "", refusal{}
	case "a string":
		_ = json.Unmarshal(value, &symptom)
	default:
		return "", invalidField(`The field "symptom" must be a string, and is %s; an error's body goes there as text.`, kind)
	}
	if len(symptom) > maxSymptom {
		return "", invalidField(`The field "symptom" has %d bytes, and at most %d are taken; the error's code and message are enough.`, len(symptom), maxSymptom)
	}
	return symptom, refusal{}
}
