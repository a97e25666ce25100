package clerkdouble

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"clerksync/shared/clerk"
)

// apiVersions are those that Clerk publishes, and whether they know
// starting_after (Clerk OpenAPI bapi, 2026-08-12).
var apiVersions = map[string]bool{
	"2021-02-05": true, "2024-10-01": true, "2025-03-12": false, "2025-04-10": true, "2025-11-10": true, "2026-05-12": true,
}

const (
	versionHeader    = "Clerk-API-Version"
	versionParameter = "__clerk_api_version"
	// defaultLimit is a page's length if nothing is said.
	defaultLimit = 10
)

// query is a request's parameters. Those that a route does not know are ignored:
// Clerk does not say what it does with them.
type query struct {
	values url.Values
	path   func(name string) string
	// body are the members of the request's body, which only some have.
	body     map[string]json.RawMessage
	cursor   bool
	maxLimit int
}

func parseQuery(r *http.Request, o APIOptions) (*query, *failure) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, errQuery
	}
	q := &query{values: values, path: r.PathValue, cursor: !o.NoCursor, maxLimit: o.MaxLimit}
	version := r.Header.Get(versionHeader)
	if values.Has(versionParameter) {
		if version != "" {
			return nil, errTwoVersions
		}
		version = values.Get(versionParameter)
	}
	if version != "" {
		cursor, known := apiVersions[version]
		if !known {
			return nil, errVersion
		}
		q.cursor = q.cursor && cursor
	}
	return q, nil
}

// maxRequestBody is enough for whatever can be asked here.
const maxRequestBody = 64 << 10

// readBody reads a JSON object; an empty body is one without members.
func readBody(r *http.Request) (map[string]json.RawMessage, *failure) {
	text, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxRequestBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); err != nil && !large {
		return nil, errBody
	}
	members := map[string]json.RawMessage{}
	if len(text) == 0 {
		return members, nil
	}
	if json.Unmarshal(text, &members) != nil || members == nil {
		return nil, errBody
	}
	return members, nil
}

// text reads a member of the body, "" for none.
func (q *query) text(name string) (string, *failure) {
	var value *string
	if raw, ok := q.body[name]; ok && json.Unmarshal(raw, &value) != nil {
		return "", unprocessable("form_param_type_invalid", "is invalid", name, "must be a string")
	}
	return orEmpty(value), nil
}

// page is the part of a list that is asked for.
type page struct {
	orderBy       string
	descending    bool
	limit, offset int
	// after is the id in starting_after, "" for none.
	after string
}

// page reads order_by, limit and offset.
func (q *query) page(columns ...string) (page, *failure) {
	p := page{orderBy: "created_at", descending: true, limit: defaultLimit}
	// Only the first counts.
	if order := q.values.Get("order_by"); order != "" {
		p.descending = order[0] == '-'
		p.orderBy = strings.TrimPrefix(strings.TrimPrefix(order, "-"), "+")
		if p.descending {
			p.orderBy = order[1:]
		}
		if !slices.Contains(columns, p.orderBy) {
			return page{}, unprocessable("form_param_value_invalid", "is invalid", "order_by", "is not one of "+strings.Join(columns, ", "))
		}
	}
	for _, number := range []struct {
		name    string
		value   *int
		minimum int
	}{{"limit", &p.limit, 1}, {"offset", &p.offset, 0}} {
		given := q.values.Get(number.name)
		if given == "" {
			continue
		}
		n, err := strconv.Atoi(given)
		if err != nil {
			return page{}, unprocessable("form_param_type_invalid", "is invalid", number.name, "must be an integer")
		}
		if n < number.minimum {
			return page{}, unprocessable("form_param_value_invalid", "is invalid", number.name, "is invalid")
		}
		*number.value = n
	}
	if p.limit > q.maxLimit {
		return page{}, unprocessable("form_param_value_too_large", "Value too large", "limit", fmt.Sprintf("can't be greater than %d", q.maxLimit))
	}
	return p, nil
}

// startingAfter reads the cursor, which only GET /users has.
func (q *query) startingAfter(p *page) *failure {
	const name = "starting_after"
	if !q.values.Has(name) {
		return nil
	}
	switch {
	case !q.cursor:
		return unprocessable("form_param_unknown", "is unknown", name, "is not a valid parameter for this request.")
	case p.orderBy != "created_at":
		return unprocessable("form_conditional_param_disallowed", "is not allowed", name, "isn't allowed when order_by is "+p.orderBy)
	case p.offset != 0:
		return unprocessable("form_conditional_param_disallowed", "is not allowed", name, "isn't allowed when offset is present")
	}
	p.after = q.values.Get(name)
	return nil
}

// list reads a parameter that may be repeated.
func (q *query) list(name string) ([]string, *failure) {
	values := q.values[name]
	if len(values) > clerk.MaxIDs {
		return nil, unprocessable("form_param_array_size_exceeded", "exceeds maximum size", name, fmt.Sprintf("should not exceed %d items.", clerk.MaxIDs))
	}
	return values, nil
}

// choice is a list whose values say with a sign whether they are wanted.
type choice struct{ with, without map[string]bool }

func (q *query) choice(name string) (choice, *failure) {
	values, fail := q.list(name)
	var c choice
	for _, value := range values {
		if id, excluded := strings.CutPrefix(value, "-"); excluded {
			c.without = including(c.without, id)
		} else {
			c.with = including(c.with, strings.TrimPrefix(value, "+"))
		}
	}
	return c, fail
}

func including(set map[string]bool, value string) map[string]bool {
	if set == nil {
		set = map[string]bool{}
	}
	set[value] = true
	return set
}

func (c choice) empty() bool { return c.with == nil && c.without == nil }

func (c choice) allows(value string) bool {
	return (c.with == nil || c.with[value]) && !c.without[value]
}

// time reads a moment in milliseconds, nil for none.
func (q *query) time(name string) (*clerk.Millis, *failure) {
	given := q.values.Get(name)
	if given == "" {
		return nil, nil
	}
	ms, err := strconv.ParseInt(given, 10, 64)
	if err != nil {
		return nil, unprocessable("form_param_invalid_date", "is invalid", name, "must be a Unix timestamp in milliseconds.")
	}
	return new(clerk.Millis(ms)), nil
}

// span reads a pair such as created_at_after and created_at_before.
func (q *query) span(name string) (after, until *clerk.Millis, fail *failure) {
	if after, fail = q.time(name + "_after"); fail != nil {
		return nil, nil, fail
	}
	until, fail = q.time(name + "_before")
	return after, until, fail
}

// flag reads a boolean, nil for none.
func (q *query) flag(name string) (*bool, *failure) {
	given := q.values.Get(name)
	if given == "" {
		return nil, nil
	}
	value, err := strconv.ParseBool(given)
	if err != nil {
		return nil, unprocessable("form_param_type_invalid", "is invalid", name, "must be a boolean")
	}
	return &value, nil
}
