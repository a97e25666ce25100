package setup_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clerksync/shared/setup"
)

func TestEnvFile_KeepsEverythingElse(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), ".env")
	const before = "# mine\nOTHER=1\nexport CLERK_SECRET_KEY=old # why\n\n  DATABASE_URL : older\nCLERK_SECRET_KEY=oldest\nLAST=no newline"
	if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	file := setup.NewEnvFile(path)
	if err := file.Set(map[string]string{"CLERK_SECRET_KEY": "sk_test_1", "DATABASE_URL": "postgresql://u:p$'w@h/d", "NEW": "#1"}); err == nil {
		t.Error("a value that cannot be read back was written")
	}
	if err := file.Set(map[string]string{"CLERK_SECRET_KEY": "sk_test_1", "DATABASE_URL": "postgresql://u:p$w@h/d", "NEW": "#1"}); err != nil {
		t.Fatal(err)
	}
	const want = "# mine\nOTHER=1\nCLERK_SECRET_KEY=sk_test_1\n\nDATABASE_URL='postgresql://u:p$w@h/d'\nLAST=no newline\nNEW='#1'\n"
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("the file is\n%s%v, want\n%s", got, err, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v, want 0600", info.Mode(), err)
	}
}

func TestEnvFile_QuotesNoLineThatItCannotRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(path, []byte("sk_live_hidden\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := setup.NewEnvFile(path).Read(); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("Read = %v, want an error without the line", err)
	}
}

func TestStateFile_RefusesWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.MkdirAll(filepath.Join(folder, ".clerksync"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "{", `{"version":2}`} {
		if err := os.WriteFile(filepath.Join(folder, ".clerksync", "setup.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := setup.NewStateFile(folder).Read(); err == nil {
			t.Errorf("the state %q is taken", text)
		}
	}
}
