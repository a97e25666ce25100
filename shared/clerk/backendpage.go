package clerk

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Page is a part of a list. It shares no memory with others.
type Page struct {
	// RequestedAt is just before the request was sent that brought the page: what
	// changed in Clerk after it may be missing here, what changed before is not.
	RequestedAt time.Time
	// Resources is the JSON array in Clerk's own bytes, in a form that a jsonb
	// column accepts (see ParseEvent); "[]" when empty.
	Resources json.RawMessage
	// Items has the same order and length.
	Items []Item
	// Total is total_count, which counts the whole list, or -1 where Clerk did
	// not say: it sends users as a bare array.
	Total int64
}

// Item is what a reader must know of a resource before the database looks into
// it.
type Item struct {
	// ID is never empty.
	ID string
	// CreatedAt and UpdatedAt are zero where they are absent or unusable.
	CreatedAt, UpdatedAt Millis
	// OrganizationID and UserID are those of memberships, and empty for the rest.
	OrganizationID, UserID string
}

// readList reads a bare array or {"data":[…],"total_count":…}. The body must be
// valid JSON.
func readList(body []byte, memberships bool) (Page, error) {
	page := Page{Total: -1}
	array := json.RawMessage(body)
	if data := json.RawMessage(nil); members(body, func(name []byte, value json.RawMessage) {
		switch string(name) {
		case "data":
			data = value
		case "total_count":
			page.Total = total(value)
		}
	}) {
		switch array = data; string(data) {
		case "":
			return Page{}, errors.New(`an object without "data" where a list was expected`)
		case "null":
			array = json.RawMessage("[]")
		}
	}
	page.Resources = owned(bytes.Trim(array, " \t\r\n"))
	var err error
	if !elements(page.Resources, func(element json.RawMessage) {
		item, ok := readItem(element, memberships)
		if !ok && err == nil {
			err = fmt.Errorf("a list whose element %d has no id", len(page.Items))
		}
		page.Items = append(page.Items, item)
	}) {
		return Page{}, errors.New("no list where one was expected")
	}
	if err != nil {
		return Page{}, err
	}
	return page, nil
}

// readOne reads an object as a list of one. The body must be valid JSON.
func readOne(body []byte) (Page, error) {
	object := bytes.Trim(body, " \t\r\n")
	array := make([]byte, 0, len(object)+len("[]"))
	array = append(append(append(array, '['), object...), ']')
	page, err := readList(array, false)
	if err != nil {
		return Page{}, errors.New("no object with an id where one was expected")
	}
	page.Total = 1
	return page, nil
}

// readCount reads {"total_count":…}. The body must be valid JSON.
func readCount(body []byte) (int64, error) {
	count := int64(-1)
	members(body, func(name []byte, value json.RawMessage) {
		if string(name) == "total_count" {
			count = total(value)
		}
	})
	if count < 0 {
		return 0, errors.New(`no "total_count" where one was expected`)
	}
	return count, nil
}

// readInstance reads what GET /instance answers. The body must be valid JSON.
func readInstance(body []byte) (Instance, error) {
	var instance Instance
	members(body, func(name []byte, value json.RawMessage) {
		switch string(name) {
		case "id":
			instance.ID = shortText(value)
		case "environment_type":
			instance.EnvironmentType = shortText(value)
		}
	})
	if instance.ID == "" {
		return Instance{}, errors.New("no instance with an id where one was expected")
	}
	return instance, nil
}

// readSessions reads a bare array or {"data":[…]}. The body must be valid JSON.
func readSessions(body []byte) ([]Session, error) {
	array := body
	members(body, func(name []byte, value json.RawMessage) {
		if string(name) == "data" {
			array = value
		}
	})
	var sessions []Session
	var err error
	if !elements(array, func(element json.RawMessage) {
		s, problem := readSession(element)
		err = cmp.Or(err, problem)
		sessions = append(sessions, s)
	}) {
		return nil, errors.New("no list where one was expected")
	}
	return sessions, err
}

// readSession reads one session. The body must be valid JSON.
func readSession(body []byte) (Session, error) {
	var s Session
	members(body, func(name []byte, value json.RawMessage) {
		switch string(name) {
		case "id":
			s.ID = shortText(value)
		case "status":
			s.Status = shortText(value)
		case "created_at":
			s.CreatedAt, _ = parseMillis(value)
		}
	})
	if s.ID == "" || s.Status == "" {
		return Session{}, errors.New("no session with an id and a status where one was expected")
	}
	return s, nil
}

// readItem reads an element of a list, and reports whether it has an id.
func readItem(element json.RawMessage, membership bool) (Item, bool) {
	var item Item
	members(element, func(name []byte, value json.RawMessage) {
		switch string(name) {
		case "id":
			item.ID = shortText(value)
		case "created_at":
			item.CreatedAt, _ = parseMillis(value)
		case "updated_at":
			item.UpdatedAt, _ = parseMillis(value)
		case "organization":
			if membership {
				item.OrganizationID = memberText(value, "id")
			}
		case "public_user_data":
			if membership {
				item.UserID = memberText(value, "user_id")
			}
		}
	})
	return item, item.ID != ""
}

// memberText returns a string member of an object, or "".
func memberText(object json.RawMessage, member string) string {
	var found string
	members(object, func(name []byte, value json.RawMessage) {
		if string(name) == member {
			found = shortText(value)
		}
	})
	return found
}

// shortText is text for the strings that nearly always are ids: without an
// escape they need no decoder. It shares no memory with value.
func shortText(value json.RawMessage) string {
	if len(value) < len(`""`) || value[0] != '"' || bytes.IndexByte(value, '\\') >= 0 {
		return text(value)
	}
	return string(value[1 : len(value)-1])
}

// total reads a count, and gives -1 for what is none.
func total(value json.RawMessage) int64 {
	count, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || count < 0 {
		return -1
	}
	return count
}

// owned returns the storable form of valid JSON in memory of its own.
func owned(value []byte) json.RawMessage {
	fixed := storable(value)
	if len(fixed) > 0 && &fixed[0] == &value[0] {
		fixed = bytes.Clone(value)
	}
	return fixed
}

// elements calls visit for every element of a JSON array, in order. It returns
// false, having called nothing, if value is no array. value must be valid JSON,
// or nothing.
func elements(value []byte, visit func(element json.RawMessage)) bool {
	i := skipSpace(value, 0)
	if i == len(value) || value[i] != '[' {
		return false
	}
	for i = skipSpace(value, i+1); value[i] != ']'; {
		end := skipValue(value, i)
		visit(json.RawMessage(value[i:end:end]))
		if i = skipSpace(value, end); value[i] == ',' {
			i = skipSpace(value, i+1)
		}
	}
	return true
}
