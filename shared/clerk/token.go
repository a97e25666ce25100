package clerk

import (
	"regexp"
	"slices"
	"strings"
)

// Classes of tokens that Clerk signs with an instance's key, as the header
// parameter cat tells them apart since mid-2026 (Clerk JavaScript,
// backend/src/tokens/jwtCategories.ts). Clerk calls them internal, and older
// tokens carry none: a hint, never the only ground.
const (
	SessionCategory  = "cl_B7d4PD111AAA"
	TemplateCategory = "cl_B7d4PD222AAA"
	MachineCategory  = "cl_B7d4PD333AAA"
)

// How session tokens are made (Clerk's documentation of session tokens).
const (
	// SessionTokenLifetime is that of a session token, in seconds.
	SessionTokenLifetime = 60
	// ClockSkew is what Clerk's verifiers forgive a clock by default, in seconds
	// (Clerk JavaScript, backend/src/jwt/verifyJwt.ts).
	ClockSkew = 5
)

// developmentHost is the Frontend API of a development instance.
var developmentHost = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)*\.clerk\.accounts\.dev$`)

// IssuerKind tells from an issuer's address what kind of instance it is of: the
// Frontend API of a development instance is below clerk.accounts.dev, that of a
// production instance mostly at clerk.<domain>. It is "" where the address says
// nothing, as behind a proxy of one's own.
func IssuerKind(issuer string) InstanceKind {
	host, ok := strings.CutPrefix(issuer, "https://")
	host = strings.TrimSuffix(host, "/")
	switch {
	case !ok:
		return ""
	case developmentHost.MatchString(host):
		return TestInstance
	case strings.HasPrefix(host, "clerk.") && hostPattern.MatchString(host):
		return LiveInstance
	default:
		return ""
	}
}

// Permissions are what a version 2 session token grants in its active
// organization. Clerk's own libraries read the same token differently in some
// cases, so they are told apart.
type Permissions struct {
	// Agreed are those that Clerk's Go and JavaScript libraries both grant, such
	// as "org:invoices:manage", in the order of the token.
	Agreed []string
	// Disputed are those that only one of them grants.
	Disputed []string
	// Problems say, one sentence each, what is wrong with the claims or where the
	// readings part.
	Problems []string
}

const (
	// maxMask is how many digits of a mask are read; 300 hold 996 permissions.
	maxMask = 300
	// maxPermissions and maxPermissionText, in bytes, bound what is written out: a
	// token of some kilobytes can stand for many times its size.
	maxPermissions    = 2000
	maxPermissionText = 64 << 10
)

// DecodePermissions reads the claims fea, o.per and o.fpm. fea lists features
// with their scope ("o:dashboard,u:x"), per the names of permissions, fpm one
// decimal number a feature, whose bits stand for the names, the lowest first.
//
// The Go library counts a feature's number by its place among all features, the
// JavaScript library among those of the organization; and for a number with bits
// that per does not name, Go grants nothing and JavaScript the rest. The function
// clerk.org_permissions() in the database grants what is in Agreed.
//
// Sources: clerk-sdk-go v2.6.0, jwt/jwt.go; Clerk JavaScript,
// shared/src/jwtPayloadParser.ts.
func DecodePermissions(fea, per, fpm string) Permissions {
	var p Permissions
	if fea == "" || per == "" || fpm == "" {
		return p
	}
	names := strings.Split(per, ",")
	texts := strings.Split(fpm, ",")
	masks := make([]mask, len(texts))
	for i, text := range texts {
		masks[i] = readMask(text)
		if !masks[i].valid {
			p.problem("fpm holds something that is no decimal number, which grants nothing")
		}
	}
	at := func(i int) mask {
		if i < len(masks) {
			return masks[i]
		}
		return mask{}
	}

	entries := strings.Split(fea, ",")
	ofOrganization, shifted, written := 0, false, 0
	for entry, text := range entries {
		scope, feature, _ := strings.Cut(text, ":")
		feature, _, _ = strings.Cut(feature, ":")
		if !strings.Contains(scope, "o") || feature == "" {
			continue
		}
		goMask, jsMask := at(entry), at(ofOrganization)
		shifted = shifted || entry != ofOrganization
		ofOrganization++
		tooLong := goMask.bits() > len(names)
		if tooLong {
			p.problem("a number in fpm has bits that per does not name: Clerk's Go library grants nothing for that feature, the JavaScript library the bits that are named")
		}
		for bit, name := range names[:min(len(names), max(goMask.bits(), jsMask.bits()))] {
			byGo, byJS := goMask.has(bit) && !tooLong, jsMask.has(bit)
			if name == "" || !byGo && !byJS {
				continue
			}
			permission := "org:" + feature + ":" + name
			written += len(permission)
			if len(p.Agreed)+len(p.Disputed) == maxPermissions || written > maxPermissionText {
				p.problem("the token grants more permissions than are written out here")
				return p
			}
			if byGo && byJS {
				p.Agreed = append(p.Agreed, permission)
			} else {
				p.Disputed = append(p.Disputed, permission)
			}
		}
	}
	if shifted {
		p.problem("a feature of the user stands before one of the organization: Clerk's Go library counts the numbers in fpm over all features, the JavaScript library over those of the organization")
	}
	if len(masks) > len(entries) {
		p.problem("fpm has more numbers than fea has features")
	}
	return p
}

// problem adds a problem, once.
func (p *Permissions) problem(text string) {
	if !slices.Contains(p.Problems, text) {
		p.Problems = append(p.Problems, text)
	}
}
