package devstack

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/resource"
)

// DB is what [Diff] reads the tables through: the login must be allowed to.
type DB interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Difference is one field of one row in which the copy is not what Clerk says.
type Difference struct {
	Table string `json:"table"`
	ID    string `json:"id"`
	// Field is a column, or "row" where a whole row is there or deleted on one
	// side only.
	Field string `json:"field"`
	// Clerk and Copy are the two values as text.
	Clerk string `json:"clerk"`
	Copy  string `json:"copy"`
}

func (d Difference) String() string {
	return fmt.Sprintf("%s %s: %s is %s in Clerk and %s in the copy", d.Table, d.ID, d.Field, d.Clerk, d.Copy)
}

// Diff compares every row of the copy with a double's state: each column, the
// primary addresses, metadata as JSON with exact numbers, times to the
// microsecond; tombstones must be there and hold nothing but their id and time;
// and nothing may be there that the double never had, unless it is such a
// tombstone, or foreign (which may be nil) says of its id that it is not the
// double's. It returns the differences
// by table and id, none if there are none.
func Diff(ctx context.Context, db DB, want clerkinstance.Snapshot, foreign func(id string) bool) ([]Difference, error) {
	if foreign == nil {
		foreign = func(string) bool { return false }
	}
	tables, err := copyTables(ctx, db)
	if err != nil {
		return nil, err
	}
	var differences []Difference
	// ended are the tombstones of the tables so far: users stand before users_public, whose
	// rows do not say.
	ended := map[string]bool{}
	for _, table := range tables {
		got, err := table.read(ctx, db)
		if err != nil {
			return nil, err
		}
		for id, row := range got {
			ended[id] = ended[id] || !live(row)
		}
		differences = append(differences, table.diff(table.expect(want, table.columns), got, want.Deleted, ended, foreign)...)
	}
	return differences, nil
}

// readIDs lists the ids of all rows.
func readIDs(ctx context.Context, db DB) (map[string]bool, error) {
	tables, err := copyTables(ctx, db)
	if err != nil {
		return nil, err
	}
	ids := map[string]bool{}
	for _, table := range tables {
		rows, err := db.Query(ctx, "select "+table.key+" from "+table.name)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", table.title, err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", table.title, err)
		}
		for _, id := range found {
			ids[id] = true
		}
	}
	return ids, nil
}

// fields are a row's columns as text: nil is "null", times are in UTC, JSON is
// in one canonical form.
type fields map[string]string

// table is one table of the copy and what it should hold.
type table struct {
	// name is qualified and quoted, title is for people.
	name, title string
	key         string
	// columns by name, those of type jsonb apart: all that the database has, but for
	// the key and what is the copy's own.
	columns []string
	jsonb   []string
	// prefix begins the ids of the objects that leave a tombstone here.
	prefix string
	// emptied are the columns of a tombstone that are not null.
	emptied fields
	expect  func(s clerkinstance.Snapshot, columns []string) map[string]fields
}

// copyTables are the tables of the copy in the schema that was chosen for it.
func copyTables(ctx context.Context, db DB) ([]table, error) {
	var schema, helpers string
	if err := db.QueryRow(ctx, `select exposed_schema, helpers_schema from clerk_sync.settings`).Scan(&schema, &helpers); err != nil {
		return nil, fmt.Errorf("reading which schemas the copy is in: %w", err)
	}
	helper := func(name string) string { return pgx.Identifier{helpers, name}.Sanitize() }
	exposed := func(name string) string { return pgx.Identifier{schema, name}.Sanitize() }
	tables := []table{
		{
			name: exposed("users"), title: "users", key: "clerk_id", prefix: "user",
			emptied: fields{"metadata": "{}", "unsafe_metadata": "{}", "is_placeholder": "false"},
			expect:  rowsOf(func(s clerkinstance.Snapshot) map[string]resource.User { return s.Users }, userFields),
		},
		{
			name: exposed("users_public"), title: "users_public", key: "clerk_id", prefix: "user",
			expect: rowsOf(func(s clerkinstance.Snapshot) map[string]resource.User { return s.Users }, publicFields),
		},
		{
			name: exposed("organizations"), title: "organizations", key: "clerk_org_id", prefix: "org",
			emptied: fields{"metadata": "{}", "is_placeholder": "false"},
			expect:  rowsOf(func(s clerkinstance.Snapshot) map[string]resource.Organization { return s.Organizations }, organizationFields),
		},
		{
			name: exposed("organization_memberships"), title: "organization_memberships", key: "clerk_membership_id", prefix: "orgmem",
			emptied: fields{"metadata": "{}", "permissions": "{}"},
			expect:  rowsOf(func(s clerkinstance.Snapshot) map[string]resource.OrganizationMembership { return s.Memberships }, membershipFields),
		},
		{
			name: helper("organization_roles"), title: helpers + ".organization_roles", key: "clerk_role_id", prefix: "role",
			emptied: fields{"permission_ids": "{}"},
			expect:  rowsOf(func(s clerkinstance.Snapshot) map[string]resource.Role { return s.Roles }, roleFields),
		},
		{
			name: helper("organization_permissions"), title: helpers + ".organization_permissions", key: "clerk_permission_id", prefix: "perm",
			expect: rowsOf(func(s clerkinstance.Snapshot) map[string]resource.Permission { return s.Permissions }, permissionFields),
		},
	}
	// The database is asked, so that no column can be forgotten here.
	for i := range tables {
		t := &tables[i]
		err := db.QueryRow(ctx, `
			select array_agg(a.attname::text) filter (where a.atttypid <> 'jsonb'::regtype), array_agg(a.attname::text) filter (where a.atttypid = 'jsonb'::regtype)
			from pg_attribute as a
			where a.attrelid = $1::text::regclass and a.attnum > 0 and not a.attisdropped and a.attname not in ($2, 'synced_at', 'sync_version')`,
			t.name, t.key).Scan(&t.columns, &t.jsonb)
		if err != nil {
			return nil, fmt.Errorf("reading the columns of %s: %w", t.title, err)
		}
	}
	return tables, nil
}

// rowsOf converts objects to rows: what convert leaves out is what Clerk has under the
// column's name.
func rowsOf[T any](objects func(clerkinstance.Snapshot) map[string]T, convert func(T) fields) func(clerkinstance.Snapshot, []string) map[string]fields {
	members := reflect.VisibleFields(reflect.TypeFor[T]())
	return func(s clerkinstance.Snapshot, columns []string) map[string]fields {
		converted := map[string]fields{}
		for id, object := range objects(s) {
			row := convert(object)
			for _, member := range members {
				if name, _, _ := strings.Cut(member.Tag.Get("json"), ","); row[name] == "" && slices.Contains(columns, name) {
					row[name] = memberOf(reflect.ValueOf(object).FieldByIndex(member.Index).Interface())
				}
			}
			converted[id] = row
		}
		return converted
	}
}

// memberOf is a member of Clerk's; "" if it is of a type that no column has as it is.
func memberOf(value any) string {
	switch v := value.(type) {
	case *string:
		return textOf(v)
	case clerk.Millis:
		return momentOf(v)
	case string, bool, int64:
		text, _ := valueOf(v)
		return text
	}
	return ""
}

func userFields(u resource.User) fields {
	f := fields{
		"email": "null", "email_verified": "null", "phone": "null", "phone_verified": "null",
		"metadata": metadataOf(u.PublicMetadata), "unsafe_metadata": metadataOf(u.UnsafeMetadata),
		"deleted_at": "null", "is_placeholder": "false",
	}
	maps.Copy(f, publicFields(u))
	if email, ok := u.PrimaryEmail(); ok {
		f["email"], f["email_verified"] = strconv.Quote(email.EmailAddress), boolOf(isVerified(email.Verification))
	}
	for _, phone := range u.PhoneNumbers {
		if u.PrimaryPhoneNumberID != nil && phone.ID == *u.PrimaryPhoneNumberID {
			f["phone"], f["phone_verified"] = strconv.Quote(phone.PhoneNumber), boolOf(isVerified(phone.Verification))
		}
	}
	return f
}

func isVerified(v *resource.Verification) bool { return v != nil && v.Status == "verified" }

func publicFields(u resource.User) fields {
	return fields{
		"username": textOf(u.Username), "first_name": textOf(u.FirstName), "last_name": textOf(u.LastName),
		"avatar_url": strconv.Quote(u.ImageURL),
	}
}

func organizationFields(o resource.Organization) fields {
	return fields{
		"name": strconv.Quote(o.Name), "slug": textOf(o.Slug), "logo_url": textOf(o.ImageURL),
		"metadata": metadataOf(o.PublicMetadata), "created_by": textOf(o.CreatedBy),
		"max_allowed_memberships": strconv.FormatInt(o.MaxAllowedMemberships, 10),
		"admin_delete_enabled":    boolOf(o.AdminDeleteEnabled), "created_at": momentOf(o.CreatedAt),
		"updated_at": momentOf(o.UpdatedAt), "deleted_at": "null", "is_placeholder": "false",
	}
}

func membershipFields(m resource.OrganizationMembership) fields {
	return fields{
		"clerk_org_id": strconv.Quote(m.Organization.ID), "clerk_user_id": strconv.Quote(m.PublicUserData.UserID),
		"role": strconv.Quote(m.Role), "permissions": listOf(m.Permissions), "metadata": metadataOf(m.PublicMetadata),
		"created_at": momentOf(m.CreatedAt), "updated_at": momentOf(m.UpdatedAt), "deleted_at": "null",
	}
}

func roleFields(r resource.Role) fields {
	ids := make([]string, len(r.Permissions))
	for i, p := range r.Permissions {
		ids[i] = p.ID
	}
	return fields{
		"key": strconv.Quote(r.Key), "name": strconv.Quote(r.Name), "description": textOf(r.Description),
		"is_creator_eligible": boolOf(r.IsCreatorEligible), "permission_ids": listOf(ids),
		"created_at": momentOf(r.CreatedAt), "updated_at": momentOf(r.UpdatedAt), "deleted_at": "null",
	}
}

func permissionFields(p resource.Permission) fields {
	return fields{
		"key": strconv.Quote(p.Key), "name": strconv.Quote(p.Name), "description": strconv.Quote(p.Description),
		"type": strconv.Quote(p.Type), "created_at": momentOf(p.CreatedAt), "updated_at": momentOf(p.UpdatedAt), "deleted_at": "null",
	}
}

// read returns the rows by id.
func (t table) read(ctx context.Context, db DB) (map[string]fields, error) {
	names := append([]string{t.key}, t.columns...)
	for _, name := range t.jsonb {
		names = append(names, name+"::text as "+name)
	}
	rows, err := db.Query(ctx, "select "+strings.Join(names, ", ")+" from "+t.name)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", t.title, err)
	}
	defer rows.Close()
	found := map[string]fields{}
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", t.title, err)
		}
		row := fields{}
		var id string
		for i, column := range rows.FieldDescriptions() {
			switch {
			case column.Name == t.key:
				id, _ = values[i].(string)
			case slices.Contains(t.jsonb, column.Name):
				text, _ := values[i].(string)
				row[column.Name] = canonicalJSON([]byte(text))
			default:
				if row[column.Name], err = valueOf(values[i]); err != nil {
					return nil, fmt.Errorf("reading %s.%s: %w", t.title, column.Name, err)
				}
			}
		}
		found[id] = row
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", t.title, err)
	}
	return found, nil
}

func (t table) diff(want, got map[string]fields, deleted map[string]time.Time, ended map[string]bool, foreign func(id string) bool) []Difference {
	var differences []Difference
	add := func(id, field, clerkSays, copySays string) {
		differences = append(differences, Difference{Table: t.title, ID: id, Field: field, Clerk: clerkSays, Copy: copySays})
	}
	for id, at := range deleted {
		if prefix, _, _ := strings.Cut(id, "_"); prefix != t.prefix {
			continue
		}
		row, ok := got[id]
		if !ok {
			add(id, "row", "deleted", "absent")
			continue
		}
		want[id] = t.tombstone(row, timeText(at))
	}
	// Of an id that Clerk does not have, as a full sync leaves it.
	for id, row := range got {
		if _, known := want[id]; !known && ended[id] && !foreign(id) {
			want[id] = t.tombstone(row, row["deleted_at"])
		}
	}
	for id, wanted := range want {
		row, ok := got[id]
		if !ok {
			add(id, "row", "live", "absent")
			continue
		}
		if isLive, shouldLive := live(row), live(wanted); isLive != shouldLive {
			add(id, "row", state(shouldLive), state(isLive))
			continue
		}
		for name, value := range row {
			if says := cmp.Or(wanted[name], "unknown"); says != value {
				add(id, name, says, value)
			}
		}
	}
	for id, row := range got {
		if _, known := want[id]; !known && !foreign(id) {
			add(id, "row", "absent", state(live(row)))
		}
	}
	slices.SortFunc(differences, func(a, b Difference) int {
		return strings.Compare(a.ID+" "+a.Field, b.ID+" "+b.Field)
	})
	return differences
}

// live holds for users_public too, whose rows do not say.
func live(f fields) bool { return f["deleted_at"] == "null" || f["deleted_at"] == "" }

func state(live bool) string {
	if live {
		return "live"
	}
	return "deleted"
}

// tombstone is what a deleted object's row should hold: nothing but ids and the
// moment of its end.
func (t table) tombstone(row fields, at string) fields {
	wanted := fields{}
	for name := range row {
		wanted[name] = "null"
	}
	maps.Copy(wanted, t.emptied)
	if _, ok := row["deleted_at"]; ok {
		wanted["deleted_at"] = at
	}
	// Ids are not personal data, and say whose tombstone it is.
	for _, name := range []string{"clerk_org_id", "clerk_user_id"} {
		wanted[name] = row[name]
	}
	return wanted
}

func textOf(s *string) string {
	if s == nil {
		return "null"
	}
	return strconv.Quote(*s)
}

func boolOf(b bool) string { return strconv.FormatBool(b) }

func momentOf(m clerk.Millis) string {
	if m == 0 {
		return "null"
	}
	return timeText(m.Time())
}

func timeText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// listOf ignores the order: a set of permissions has none.
func listOf(list []string) string {
	return "{" + strings.Join(slices.Sorted(slices.Values(list)), ",") + "}"
}

func valueOf(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "null", nil
	case string:
		return strconv.Quote(v), nil
	case bool:
		return boolOf(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case time.Time:
		return timeText(v), nil
	case []any:
		list := make([]string, len(v))
		for i, element := range v {
			text, ok := element.(string)
			if !ok {
				return "", fmt.Errorf("a list holds a %T", element)
			}
			list[i] = text
		}
		return listOf(list), nil
	default:
		return "", fmt.Errorf("a value is a %T", value)
	}
}

// metadataOf is Clerk's metadata as the copy has it: never null.
func metadataOf(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return "{}"
	}
	return canonicalJSON(raw)
}

// canonicalJSON writes JSON with sorted names and every number as the fraction
// that it is exactly, so that equal texts mean equal values. What is no JSON is
// returned as it is.
func canonicalJSON(raw []byte) string {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil || !errors.Is(decoder.Decode(new(any)), io.EOF) {
		return string(raw)
	}
	var b strings.Builder
	writeCanonical(&b, value)
	return b.String()
}

func writeCanonical(b *strings.Builder, value any) {
	switch v := value.(type) {
	case map[string]any:
		b.WriteByte('{')
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strconv.Quote(name) + ":")
			writeCanonical(b, v[name])
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, element := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			writeCanonical(b, element)
		}
		b.WriteByte(']')
	case json.Number:
		if exact, ok := new(big.Rat).SetString(v.String()); ok {
			b.WriteString(exact.RatString())
			return
		}
		b.WriteString(v.String())
	case string:
		b.WriteString(strconv.Quote(v))
	default:
		fmt.Fprint(b, v)
	}
}
