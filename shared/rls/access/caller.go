package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"clerksync/sql/platform"
)

// caller is whose access is looked at.
type caller struct {
	role string
	// claims is the JSON that the Data API would set.
	claims string
	// own are the texts in it.
	own map[string]bool
}

// maxClaims is more than a request's header can carry.
const maxClaims = 1 << 20

func readCaller(o Options) (caller, error) {
	c := caller{role: o.Role, own: map[string]bool{}}
	var problems []error
	switch c.role {
	case "":
		c.role = platform.Anon
	case platform.Anon, platform.Authenticated:
	default: // service_role sees everything, and a role of one's own needs a login that may become it
		problems = append(problems, fmt.Errorf("%w: role %q; only anon and authenticated can be looked at", ErrOptions, c.role))
	}
	members := map[string]json.RawMessage{}
	switch {
	case len(o.Claims) > maxClaims:
		problems = append(problems, fmt.Errorf("%w: claims of %d bytes; the limit is %d", ErrOptions, len(o.Claims), maxClaims))
	case len(o.Claims) > 0:
		// The decoder's error would quote the claims.
		if err := json.Unmarshal(o.Claims, &members); err != nil || members == nil {
			problems = append(problems, fmt.Errorf("%w: the claims are not a JSON object", ErrOptions))
		}
	}
	if len(problems) > 0 {
		return caller{}, errors.Join(problems...)
	}
	// As PostgREST does with the role that it settled on (its docs, Transactions).
	members["role"] = json.RawMessage(`"` + c.role + `"`)
	text, err := json.Marshal(members)
	if err != nil {
		return caller{}, fmt.Errorf("%w: the claims cannot be written as JSON", ErrOptions)
	}
	c.claims = strings.ToValidUTF8(string(text), "\ufffd")
	var values any
	decoder := json.NewDecoder(strings.NewReader(c.claims))
	decoder.UseNumber() // Postgres judges their size
	if err := decoder.Decode(&values); err != nil {
		return caller{}, fmt.Errorf("%w: the claims cannot be read again", ErrOptions)
	}
	c.collect(values)
	// The helper org_role() adds the prefix that tokens of version 2 leave out.
	var organization struct {
		Role string `json:"rol"`
	}
	if json.Unmarshal(members["o"], &organization) == nil && organization.Role != "" {
		c.own["org:"+organization.Role] = true
	}
	return c, nil
}

func (c caller) collect(value any) {
	switch v := value.(type) {
	case string:
		c.own[v] = true
	case []any:
		for _, e := range v {
			c.collect(e)
		}
	case map[string]any:
		for _, e := range v {
			c.collect(e)
		}
	}
}
