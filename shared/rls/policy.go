package rls

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
	"clerksync/sql/platform"
)

// public is the role that everyone has.
const public = "public"

// callers are the roles by which the Data API's callers come to a table.
var callers = []string{public, platform.Anon, platform.Authenticated}

// shippedReaders is the policy that migrations make on users_public.
const shippedReaders = "users_public_read_fellows"

// shippedFellows is its condition. A table of the application has a list of fellows
// instead; the copy has as many rows as the instance has users.
const shippedFellows = `clerk_id >= {{helpers}}.by_key((select {{helpers}}.first_fellow()))
  and (clerk_id between coalesce((select {{helpers}}.crowd_from()), (select {{helpers}}.crowd_to() || 'z')) and (select {{helpers}}.crowd_to())
      and case (select {{helpers}}.fellows_by())
        when 'row' then (select true from {{helpers}}.fellows_by_user as f where f.clerk_user_id = clerk_id limit 1)
        else exists (select from {{helpers}}.fellows as f where f.clerk_user_id = clerk_id)
      end
    or clerk_id = any ((select {{helpers}}.near_fellow_ids())::text[])
    or ((select false) and clerk_id >= {{helpers}}.crowd_from()))`

// anonRule is what remains of a rule for callers without a token. What is published
// they see only if that is asked for: it may be published to members.
func (b *builder) anonRule(rule Rule) Rule {
	return rule.reduce(func(word string) bool {
		return word == wordEveryone || word == wordPublished && b.spec.Anon
	})
}

// policies are those that are to be there, with expressions as we write them. An
// update has its condition twice: using for the row as it was, and with check for
// the row as it becomes, or an owner could give a row away and a member move it.
func (b *builder) policies() []catalog.Policy {
	var wanted []catalog.Policy
	add := func(name string, command catalog.Command, rule Rule, roles ...string) {
		if rule.IsNobody() {
			return
		}
		condition := rule.sql(b.binding)
		if b.spec.Bucket != "" {
			if rule.join != "" || strings.Contains(condition, " or ") {
				condition = "(" + condition + ")"
			}
			bucket := "bucket_id = " + catalog.QuoteLiteral(b.spec.Bucket)
			condition = strings.TrimSuffix(bucket+" and "+condition, " and true") // the rule everyone
		}
		p := catalog.Policy{Name: b.policyName(name), Command: command, Permissive: true, Roles: roles, Comment: mark + rule.String()}
		if command != catalog.Insert {
			p.Using = condition
		}
		if command == catalog.Insert || command == catalog.Update {
			p.Check = condition
		}
		wanted = append(wanted, p)
	}
	for _, command := range catalog.Commands() {
		rule := b.rules[command]
		if command != catalog.Select {
			add(string(command), command, rule, platform.Authenticated)
			continue
		}
		open := b.anonRule(rule)
		switch {
		case b.isCopy() && rule.word == wordFellow:
			// As the migrations made it.
			wanted = append(wanted, catalog.Policy{
				Name: shippedReaders, Command: command, Permissive: true, Roles: []string{platform.Authenticated}, Using: b.db.Helpers.Fill(shippedFellows),
			})
		case open.String() == rule.String():
			add("select", command, rule, platform.Anon, platform.Authenticated)
		default:
			add("anon_select", command, open, platform.Anon)
			add("select", command, rule, platform.Authenticated)
		}
	}
	for _, r := range b.spec.Require {
		wanted = append(wanted, b.restrictive(r)...)
	}
	return wanted
}

// restrictive are the policies of a restriction. They are for signed-in users alone:
// without a token there is no session that could be pending, or lack a factor.
func (b *builder) restrictive(r Restriction) []catalog.Policy {
	name := "require_" + strings.ReplaceAll(r.Name, "-", "_")
	if r.Name == notImpersonate {
		name = "forbid_impersonation"
	}
	condition := r.sql(b.db.Helpers)
	if b.spec.Bucket != "" {
		// A restriction speaks about every row, so it lets other buckets pass.
		condition = "bucket_id <> " + catalog.QuoteLiteral(b.spec.Bucket) + " or " + condition
	}
	p := catalog.Policy{Roles: []string{platform.Authenticated}, Comment: mark + r.String()}
	if !r.WritesOnly {
		p.Name, p.Command, p.Using, p.Check = b.policyName(name), catalog.All, condition, condition
		return []catalog.Policy{p}
	}
	var policies []catalog.Policy
	for _, command := range catalog.Writes() {
		p.Name, p.Command, p.Using, p.Check = b.policyName(name+"_"+string(command)), command, condition, condition
		if command == catalog.Insert {
			p.Using = ""
		}
		if command == catalog.Delete {
			p.Check = ""
		}
		policies = append(policies, p)
	}
	return policies
}

// policyName is the name of a policy of ours; on storage.objects, which all
// buckets share, the bucket is in it.
func (b *builder) policyName(what string) string {
	if b.spec.Bucket == "" {
		return "clerksync_" + what
	}
	return shorten("clerksync_" + b.spec.Bucket + "_" + what)
}

// shorten fits a name into what Postgres keeps, telling apart what it cuts.
func shorten(name string) string {
	const most, kept = 63, 54 // 54, "_" and eight digits
	if len(name) <= most {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return strings.ToValidUTF8(name[:kept], "") + "_" + hex.EncodeToString(sum[:4])
}

// written returns the policies with their expressions as the database writes
// them, which is how those that are there read. It makes them on an empty table
// of the same columns and takes that back: the table itself is not touched.
func (b *builder) written(policies []catalog.Policy) ([]catalog.Policy, error) {
	const twin = "clerksync_written"
	savepoint, err := b.tx.Begin(b.ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = savepoint.Rollback(b.ctx) }()
	if _, err := savepoint.Exec(b.ctx, "create temporary table "+twin+" (like "+b.spec.Table.SQL()+")"); err != nil {
		return nil, fmt.Errorf("making a twin of the table: %w", err)
	}
	for _, p := range policies {
		if _, err := savepoint.Exec(b.ctx, createPolicy(p, "pg_temp."+twin)); err != nil {
			pgErr, ok := errors.AsType[*pgconn.PgError](err)
			if !ok {
				return nil, err
			}
			b.find(finding.Finding{
				ID: "rls.policy.invalid", Status: finding.Fail, Title: "The database refuses the condition",
				Detail: fmt.Sprintf("%s (SQLSTATE %s), in: %s", pgErr.Message, pgErr.Code, cmp.Or(p.Using, p.Check)),
				Remedy: "Name other columns, or another value with --published column=value.",
			})
			return nil, nil
		}
	}
	expressions, err := catalog.Collect(b.ctx, savepoint, pgx.RowToStructByPos[struct{ Name, Using, Check string }], `
		select polname, coalesce(pg_get_expr(polqual, polrelid), ''), coalesce(pg_get_expr(polwithcheck, polrelid), '')
		from pg_catalog.pg_policy where polrelid = 'pg_temp.`+twin+`'::regclass`)
	if err != nil {
		return nil, err
	}
	written := slices.Clone(policies)
	for i := range written {
		for _, e := range expressions {
			if e.Name == written[i].Name {
				// A sub-select names the table whose column it compares with.
				own := strings.NewReplacer(twin+".", catalog.QuoteIdentifier(b.spec.Table.Table)+".")
				written[i].Using, written[i].Check = own.Replace(e.Using), own.Replace(e.Check)
			}
		}
	}
	return written, savepoint.Rollback(b.ctx)
}

// createPolicy is the statement that makes a policy.
func createPolicy(p catalog.Policy, table string) string {
	var s strings.Builder
	fmt.Fprintf(&s, "create policy %s on %s\n", catalog.QuoteIdentifier(p.Name), table)
	if !p.Permissive {
		s.WriteString("  as restrictive\n")
	}
	fmt.Fprintf(&s, "  for %s to %s", p.Command, strings.Join(p.Roles, ", "))
	if p.Using != "" {
		fmt.Fprintf(&s, "\n  using (%s)", p.Using)
	}
	if p.Check != "" {
		fmt.Fprintf(&s, "\n  with check (%s)", p.Check)
	}
	return s.String()
}

// isOurs reports whether a policy was made here; on storage.objects, for the
// bucket at hand.
func (b *builder) isOurs(p catalog.Policy) bool {
	if b.isCopy() && p.Name == shippedReaders {
		return true
	}
	return strings.HasPrefix(p.Name, "clerksync_") && strings.HasPrefix(p.Comment, mark) &&
		(b.spec.Bucket == "" || slices.Contains(buckets(p), b.spec.Bucket))
}

// shipped reports whether a policy belongs to what the migrations made, and stays.
func (b *builder) shipped(p catalog.Policy) bool {
	return b.isCopy() && strings.HasPrefix(p.Name, b.spec.Table.Table+"_") && p.Name != shippedReaders
}

// replacePolicies makes the policies that are missing, and removes what is ours
// and not asked for, and on request what others made.
func (b *builder) replacePolicies(wanted, written []catalog.Policy) {
	onlyRestrictions := len(b.rules) == 0
	kept := map[string]bool{}
	for _, have := range b.table.Policies {
		i := slices.IndexFunc(written, func(p catalog.Policy) bool { return p.Name == have.Name })
		switch {
		case !b.isOurs(have) && i >= 0:
			b.find(finding.Finding{
				ID: "rls.policy.collision", Status: finding.Fail, Object: have.Name, Title: "Somebody else's policy has the name of one of ours",
				Detail: "It has no comment that begins with \"clerksync:\", so it is not touched.",
				Remedy: fmt.Sprintf("alter policy %s on %s rename to %s;", catalog.QuoteIdentifier(have.Name), b.spec.Table, catalog.QuoteIdentifier(shorten("own_"+have.Name))),
			})
		case i >= 0 && same(have, written[i]):
			kept[have.Name] = true
		case b.isOurs(have) && (!onlyRestrictions || b.supersedes(have)):
			b.dropPolicy(have)
		}
	}
	if !onlyRestrictions {
		b.checkOthers()
	}
	for _, p := range wanted {
		if kept[p.Name] {
			continue
		}
		b.add("%s", createPolicy(p, b.spec.Table.String()))
		if p.Comment != "" {
			b.add("comment on policy %s on %s is %s", catalog.QuoteIdentifier(p.Name), b.spec.Table, catalog.QuoteLiteral(p.Comment))
		}
	}
}

// supersedes reports whether a policy belongs to a restriction that is asked for
// in another form.
func (b *builder) supersedes(p catalog.Policy) bool {
	had, err := ParseRestriction(strings.TrimPrefix(p.Comment, mark))
	return err == nil && !p.Permissive &&
		slices.ContainsFunc(b.spec.Require, func(r Restriction) bool { return r.Name == had.Name })
}

func (b *builder) dropPolicy(p catalog.Policy) {
	b.remove("drop policy %s on %s", catalog.QuoteIdentifier(p.Name), b.spec.Table)
}

// same compares what a policy does, and what it says of itself.
func same(a, b catalog.Policy) bool {
	return a.Command == b.Command && a.Permissive == b.Permissive && a.Using == b.Using && a.Check == b.Check && a.Comment == b.Comment &&
		slices.Equal(slices.Sorted(slices.Values(a.Roles)), slices.Sorted(slices.Values(b.Roles)))
}

// checkOthers finds permissive policies that would open what ours close: one of
// them is enough to let a row through.
func (b *builder) checkOthers() {
	for _, p := range b.table.Policies {
		api := slices.ContainsFunc(p.Roles, func(role string) bool { return slices.Contains(callers, role) })
		if !p.Permissive || !api || b.isOurs(p) || b.shipped(p) {
			continue
		}
		if b.spec.Bucket != "" {
			named := buckets(p)
			if len(named) > 0 && !slices.Contains(named, b.spec.Bucket) {
				continue
			}
			if len(named) == 0 {
				b.find(finding.Finding{
					ID: "rls.policy.others", Status: finding.Warn, Object: p.Name, Title: "A policy does not say which bucket it is for",
					Detail: fmt.Sprintf("It holds for bucket %s too, and lets through whatever it lets through: using %s check %s", b.spec.Bucket, cmp.Or(p.Using, "-"), cmp.Or(p.Check, "-")),
					Remedy: "Add bucket_id = '…' to its conditions.",
				})
				continue
			}
		}
		if b.spec.Replace {
			b.dropPolicy(p)
			continue
		}
		b.find(finding.Finding{
			ID: "rls.policy.others", Status: finding.Fail, Object: p.Name, Title: "Another policy lets rows through",
			Detail: fmt.Sprintf("Permissive policies add up, so for %s to %s it opens what the new ones close: using %s check %s",
				p.Command, strings.Join(p.Roles, ", "), cmp.Or(p.Using, "-"), cmp.Or(p.Check, "-")),
			Remedy: fmt.Sprintf("Remove such policies in the same step with --replace, or yourself: drop policy %s on %s;", catalog.QuoteIdentifier(p.Name), b.spec.Table),
		})
	}
}

var bucketTest = regexp.MustCompile(`bucket_id (?:=|<>) '((?:[^']|'')*)'`)

// buckets are those that a policy names.
func buckets(p catalog.Policy) []string {
	var names []string
	for _, match := range bucketTest.FindAllStringSubmatch(p.Using+" "+p.Check, -1) {
		names = append(names, strings.ReplaceAll(match[1], "''", "'"))
	}
	return names
}
