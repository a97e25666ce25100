package backendapi

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
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/resource"
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
	// failure is the first thing that is wrong; nothing that is read later counts.
	failure *resource.Failure
}

// refuse answers with a failure, unless there is one already.
func (q *query) refuse(f *resource.Failure) []byte {
	if q.failure == nil {
		q.failure = f
	}
	return nil
}

func parseQuery(r *http.Request, o Options) (*query, *resource.Failure) {
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
func readBody(r *http.Request) (map[string]json.RawMessage, *resource.Failure) {
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
func (q *query) text(name string) string {
	var value *string
	if raw, ok := q.body[name]; ok && json.Unmarshal(raw, &value) != nil {
		q.refuse(unprocessable("form_param_type_invalid", "is invalid", name, "must be a string"))
	}
	return orEmpty(value)
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
func (q *query) page(columns ...string) page {
	p := page{orderBy: "created_at", descending: true, limit: defaultLimit}
	// Only the first counts.
	if order := q.values.Get("order_by"); order != "" {
		p.descending = order[0] == '-'
		p.orderBy = strings.TrimPrefix(strings.TrimPrefix(order, "-"), "+")
		if p.descending {
			p.orderBy = order[1:]
		}
		if !slices.Contains(columns, p.orderBy) {
			q.refuse(unprocessable("form_param_value_invalid", "is invalid", "order_by", "is not one of "+strings.Join(columns, ", ")))
			p.orderBy = "created_at"
		}
	}
	p.limit, p.offset = q.number("limit", defaultLimit, 1), q.number("offset", 0, 0)
	if p.limit > q.maxLimit {
		q.refuse(unprocessable("form_param_value_too_large", "Value too large", "limit", fmt.Sprintf("can't be greater than %d", q.maxLimit)))
		p.limit = 0
	}
	return p
}

func (q *query) number(name string, otherwise, minimum int) int {
	given := q.values.Get(name)
	if given == "" {
		return otherwise
	}
	n, err := strconv.Atoi(given)
	switch {
	case err != nil:
		q.refuse(unprocessable("form_param_type_invalid", "is invalid", name, "must be an integer"))
	case n < minimum:
		q.refuse(unprocessable("form_param_value_invalid", "is invalid", name, "is invalid"))
	default:
		return n
	}
	return otherwise
}

// startingAfter reads the cursor, which only GET /users has.
func (q *query) startingAfter(p *page) {
	const name = "starting_after"
	if !q.values.Has(name) {
		return
	}
	switch {
	case !q.cursor:
		q.refuse(unprocessable("form_param_unknown", "is unknown", name, "is not a valid parameter for this request."))
	case p.orderBy != "created_at":
		q.refuse(unprocessable("form_conditional_param_disallowed", "is not allowed", name, "isn't allowed when order_by is "+p.orderBy))
	case p.offset != 0:
		q.refuse(unprocessable("form_conditional_param_disallowed", "is not allowed", name, "isn't allowed when offset is present"))
	}
	p.after = q.values.Get(name)
}

// list reads a parameter that may be repeated.
func (q *query) list(name string) []string {
	values := q.values[name]
	if len(values) > clerk.MaxIDs {
		q.refuse(unprocessable("form_param_array_size_exceeded", "exceeds maximum size", name, fmt.Sprintf("should not exceed %d items.", clerk.MaxIDs)))
	}
	return values
}

// choice is a list whose values say with a sign whether they are wanted.
type choice struct{ with, without map[string]bool }

func (q *query) choice(name string) choice {
	var c choice
	for _, value := range q.list(name) {
		if id, excluded := strings.CutPrefix(value, "-"); excluded {
			c.without = including(c.without, id)
		} else {
			c.with = including(c.with, strings.TrimPrefix(value, "+"))
		}
	}
	return c
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
func (q *query) time(name string) *clerk.Millis {
	given := q.values.Get(name)
	if given == "" {
		return nil
	}
	ms, err := strconv.ParseInt(given, 10, 64)
	if err != nil {
		q.refuse(unprocessable("form_param_invalid_date", "is invalid", name, "must be a Unix timestamp in milliseconds."))
	}
	return new(clerk.Millis(ms))
}

// span reads a pair such as created_at_after and created_at_before.
func (q *query) span(name string) (after, until *clerk.Millis) {
	return q.time(name + "_after"), q.time(name + "_before")
}

// flag reads a boolean, nil for none.
func (q *query) flag(name string) *bool {
	given := q.values.Get(name)
	if given == "" {
		return nil
	}
	value, err := strconv.ParseBool(given)
	if err != nil {
		q.refuse(unprocessable("form_param_type_invalid", "is invalid", name, "must be a boolean"))
	}
	return &value
}

// The shortest and the longest life of a token that may be asked for, in seconds
// (Clerk OpenAPI bapi, expires_in_seconds).
const minExpiresIn, maxExpiresIn = 30, 315360000

// expiresIn reads expires_in_seconds of the body, 0 for none.
func (q *query) expiresIn() time.Duration {
	const name = "expires_in_seconds"
	raw, ok := q.body[name]
	if !ok {
		return 0
	}
	var seconds *int64
	switch {
	case json.Unmarshal(raw, &seconds) != nil:
		q.refuse(unprocessable("form_param_type_invalid", "is invalid", name, "must be an integer"))
	case seconds == nil:
	case *seconds < minExpiresIn:
		q.refuse(unprocessable("form_param_value_invalid", "is invalid", name, fmt.Sprintf("can't be less than %d", minExpiresIn)))
	case *seconds > maxExpiresIn:
		q.refuse(unprocessable("form_param_value_too_large", "Value too large", name, fmt.Sprintf("can't be greater than %d", maxExpiresIn)))
	default:
		return time.Duration(*seconds) * time.Second
	}
	return 0
}
