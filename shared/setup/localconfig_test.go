package setup_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clerksync/shared/setup"
)

const localDomain = "example-1.clerk.accounts.dev"

func TestTrustLocally_KeepsCommentsAndOrder(t *testing.T) {
	t.Parallel()
	const section = "[auth.third_party.clerk]\nenabled = true\ndomain = \"example-1.clerk.accounts.dev\"\n"
	for name, tt := range map[string]struct{ before, after string }{
		"nothing":    {"", section},
		"no section": {"project_id = \"x\"\n[api]\nenabled = false", "project_id = \"x\"\n[api]\nenabled = false\n\n" + section},
		"as the CLI writes it": {
			"[auth.third_party.auth0]\nenabled = false\n# tenant = \"x\"\n\n# Use Clerk.\n[auth.third_party.clerk] # here\nenabled = false # why\n# Obtain from https://clerk.com/setup/supabase\n# domain = \"example.clerk.accounts.dev\"\n\n[edge_runtime]\nenabled = true\n",
			"[auth.third_party.auth0]\nenabled = false\n# tenant = \"x\"\n\n# Use Clerk.\n[auth.third_party.clerk] # here\ndomain = \"example-1.clerk.accounts.dev\"\nenabled = true # why\n# Obtain from https://clerk.com/setup/supabase\n# domain = \"example.clerk.accounts.dev\"\n\n[edge_runtime]\nenabled = true\n",
		},
		"another domain":  {"[auth.third_party.clerk]\r\nenabled=true\r\ndomain = 'old.clerk.accounts.dev' # old\r\n", "[auth.third_party.clerk]\r\nenabled=true\r\ndomain = \"example-1.clerk.accounts.dev\" # old\r\n"},
		"as it should be": {section, section},
	} {
		got, err := setup.TrustLocally(tt.before, localDomain)
		if err != nil || got != tt.after {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, tt.after)
		}
		if again, err := setup.TrustLocally(got, localDomain); err != nil || again != got {
			t.Errorf("%s, again: %v\n%s", name, err, again)
		}
	}
}

func TestTrustLocally_LeavesWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"[auth.third_party.firebase]\nenabled = true\n":        "it trusts firebase",
		"[auth]\nthird_party.clerk.enabled = true\n":           "another form",
		"[auth.third_party]\nclerk = { enabled = true }\n":     "another form",
		"[auth.third_party.clerk]\nenabled = \"env(X)\"\n":     "another form",
		"[auth.third_party.clerk]\n[auth.third_party.clerk]\n": "twice",
		"[x]\ny = \"\"\"\n[auth.third_party.clerk]\n\"\"\"\n":  "several lines",
	} {
		if got, err := setup.TrustLocally(text, localDomain); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q = %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestSetup_HasALocalProjectTrustTheInstance(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := filepath.Join(w.folder, "config.toml")
	if err := os.WriteFile(path, []byte("# mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// A local project does not take the double's issuer.
	s := w.setup(t, func(o *setup.Options) { o.LocalConfig = path })
	plan := mustRun(t, s)
	if text, err := os.ReadFile(path); err != nil || string(text) != "# mine\n" || !strings.Contains(plan[5].Detail, "cannot trust") {
		t.Errorf("the file is %q, %v, and the plan %+v", text, err, plan[5])
	}
	setup.SetIssuer(s, "https://"+localDomain)
	var local []setup.Step
	for _, step := range s.Steps() {
		if step.ID == "local" {
			local = append(local, step)
		}
	}
	for _, writes := range []int{1, 0} {
		plan, err := setup.Look(t.Context(), local)
		if err != nil || plan.Writes() != writes {
			t.Fatalf("Look = %+v, %v, want %d writes", plan, err, writes)
		}
		if err := setup.Carry(t.Context(), local, plan, setup.Carrying{}); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("the file's mode is %v, %v, want it kept", info.Mode(), err)
	}
}

// What was enabled is disabled, and a file that trusts another instance by now is left alone.
func TestDistrustLocally_UndoesWhatTrustHasDone(t *testing.T) {
	t.Parallel()
	for _, before := range []string{"", "project_id = \"x\"\n", "[auth.third_party.clerk] # here\r\nenabled = false # why\r\n[edge_runtime]\r\nenabled = true\r\n"} {
		trusting, err := setup.TrustLocally(before, localDomain)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := setup.DistrustLocally(trusting, localDomain)
		if want := strings.Replace(trusting, "enabled = true", "enabled = false", 1); !ok || got != want {
			t.Errorf("%t, %q, want %q", ok, got, want)
		}
		if _, again := setup.DistrustLocally(got, localDomain); again {
			t.Error("what is disabled is disabled again")
		}
		if _, ok := setup.DistrustLocally(trusting, "other.clerk.accounts.dev"); ok {
			t.Error("trust in another instance would be ended")
		}
	}
}
