package setup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
)

var (
	tableHeader  = regexp.MustCompile(`^\s*\[`)
	clerkHeader  = regexp.MustCompile(`^\s*\[\s*auth\s*\.\s*third_party\s*\.\s*clerk\s*\]\s*(#.*)?$`)
	trustHeader  = regexp.MustCompile(`^\s*\[\s*auth\s*\.\s*third_party\s*\.\s*([A-Za-z0-9_-]+)\s*\]\s*(#.*)?$`)
	commentLine  = regexp.MustCompile(`^\s*(#|$)`)
	enabledLine  = regexp.MustCompile(`^(\s*enabled\s*=\s*)(true|false)(\s*(?:#.*)?)$`)
	domainLine   = regexp.MustCompile(`^(\s*domain\s*=\s*)("[^"\\]*"|'[^']*')(\s*(?:#.*)?)$`)
	assigns      = regexp.MustCompile(`^\s*(enabled|domain)\s*=`)
	localDomains = regexp.MustCompile(`^(clerk([.][a-z0-9-]+){2,}|([a-z0-9-]+[.])+clerk[.]accounts[.]dev)$`)
)

// trustLocally is a supabase/config.toml in which a local project trusts the Clerk instance of a domain. Comments, order and
// everything else stay as they are. What it does not understand it leaves to a person.
func trustLocally(text, domain string) (string, error) {
	if strings.Contains(text, `"""`) || strings.Contains(text, "'''") {
		return "", errors.New("it has texts of several lines")
	}
	value := `"` + domain + `"`
	var lines []string
	if text != "" {
		lines = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
	// at is the line of the header, and table what the lines below a header belong to.
	at, table, enabled, named := -1, "", false, false
	for i, text := range lines {
		text, carriage := strings.CutSuffix(text, "\r")
		trust := trustHeader.FindStringSubmatch(text)
		switch {
		case commentLine.MatchString(text):
			continue
		case clerkHeader.MatchString(text):
			if at >= 0 {
				return "", errors.New("it has [auth.third_party.clerk] twice")
			}
			at, table = i, "clerk"
		case trust != nil:
			table = trust[1]
		case strings.Contains(text, "third_party"):
			return "", errors.New("it has third_party in another form than a table of its own")
		case tableHeader.MatchString(text):
			table = ""
		case table == "clerk":
			if match := enabledLine.FindStringSubmatch(text); match != nil {
				text, enabled = match[1]+"true"+match[3], true
			} else if match := domainLine.FindStringSubmatch(text); match != nil {
				text, named = match[1]+value+match[3], true
			} else if assigns.MatchString(text) {
				return "", errors.New("its [auth.third_party.clerk] has values of another form")
			}
			if carriage {
				text += "\r"
			}
			lines[i] = text
		case table != "":
			if match := enabledLine.FindStringSubmatch(text); match != nil && match[2] == "true" {
				return "", fmt.Errorf("it trusts %s, and a local project trusts one provider alone", table)
			}
		}
	}
	if at < 0 {
		if len(lines) > 0 && lines[len(lines)-1] != "" {
			lines = append(lines, "")
		}
		lines = append(lines, "[auth.third_party.clerk]")
		at = len(lines) - 1
	}
	var missing []string
	if !enabled {
		missing = append(missing, "enabled = true")
	}
	if !named {
		missing = append(missing, "domain = "+value)
	}
	lines = append(lines[:at+1:at+1], append(missing, lines[at+1:]...)...)
	return strings.Join(lines, "\n") + "\n", nil
}

// distrustLocally is a supabase/config.toml in which a local project trusts the Clerk instance of a domain no more: what
// [trustLocally] has enabled is disabled. ok is false where it does not trust that one.
func distrustLocally(text, domain string) (without string, ok bool) {
	var lines []string
	at, inside, named := -1, false, false
	for line := range strings.Lines(text) {
		bare := strings.TrimRight(line, "\r\n")
		switch match := enabledLine.FindStringSubmatch(bare); {
		case commentLine.MatchString(bare):
		case tableHeader.MatchString(bare):
			inside = clerkHeader.MatchString(bare)
		case inside && match != nil && match[2] == "true":
			at, line = len(lines), match[1]+"false"+match[3]+strings.TrimPrefix(line, bare)
		case inside:
			match := domainLine.FindStringSubmatch(bare)
			named = named || match != nil && strings.Trim(match[2], `"'`) == domain
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, ""), named && at >= 0
}

const localName = "supabase/config.toml"

// lookLocal has the project that the Supabase CLI runs on this machine trust the instance, too.
func (s *Setup) lookLocal(context.Context) (view, error) {
	domain := strings.TrimPrefix(s.issuer, "https://")
	if !localDomains.MatchString(domain) {
		return view{detail: "a local project cannot trust " + s.issuer + ": it takes Clerk's own domains, and those that begin with clerk."}, nil
	}
	info, err := os.Stat(s.LocalConfig)
	if err != nil {
		return view{}, fmt.Errorf("reading %s: %w", localName, withoutPath(err))
	}
	text, err := os.ReadFile(s.LocalConfig)
	if err != nil {
		return view{}, fmt.Errorf("reading %s: %w", localName, withoutPath(err))
	}
	if len(text) > maxFile {
		return view{}, fmt.Errorf("reading %s: it has more than %d KiB", localName, maxFile>>10)
	}
	wanted, err := trustLocally(string(text), domain)
	if err != nil {
		return view{detail: fmt.Sprintf("%s is left as it is, since %v; by hand: [auth.third_party.clerk] with enabled = true and domain = %q", localName, err, domain)}, nil
	}
	v := view{detail: localName + " has a local project trust " + domain}
	if wanted != string(text) && wanted != string(text)+"\n" {
		v.detail = "a local project does not trust " + domain
		v.writes = []write{{
			"enable [auth.third_party.clerk] for " + domain + " in " + localName,
			func(context.Context) error {
				return s.effect(func() error {
					if err := s.State.change(func(state *State) { state.Local = domain }); err != nil {
						return err
					}
					s.Warn("a local project reads " + localName + " when it starts: supabase stop, then supabase start")
					return writeBeside(s.LocalConfig, wanted, info.Mode().Perm())
				})
			},
		}}
	}
	return v, nil
}
