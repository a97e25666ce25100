package connect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/joho/godotenv"

	"clerksync/cmd/clerksync/internal/console"
)

// ClerkCLI is Clerk's own program, "" where it is not installed.
func ClerkCLI(c console.Console) string {
	path, _ := c.Lookup("PATH")
	for _, folder := range filepath.SplitList(path) {
		if program, err := exec.LookPath(filepath.Join(folder, "clerk")); err == nil {
			return program
		}
	}
	return ""
}

const (
	// pullLimit is how long Clerk's CLI may take to fetch keys.
	pullLimit = 20 * time.Second
	// mostPulled is many times what keys take.
	mostPulled = 64 << 10
)

// PullClerkKeys has Clerk's CLI write the keys of the application that folder is linked to, and returns them by the names
// that the application's framework gives them; nothing where the CLI is not installed. It works where a person has logged in
// there and linked the folder.
func PullClerkKeys(ctx context.Context, c console.Console, folder string) (map[string]string, error) {
	program := ClerkCLI(c)
	if program == "" {
		return map[string]string{}, nil
	}
	private, err := os.MkdirTemp("", "clerksync-*") // for its owner alone
	if err != nil {
		return nil, fmt.Errorf("making a folder for keys: %w", err)
	}
	defer func() { _ = os.RemoveAll(private) }()
	file := filepath.Join(private, "keys")
	ctx, cancel := context.WithTimeoutCause(ctx, pullLimit, fmt.Errorf("the CLI of Clerk took longer than %s", pullLimit))
	defer cancel()
	pull := exec.CommandContext(ctx, program, "env", "pull", "--file", file) //nolint:gosec // the person's own program
	pull.Dir = folder
	pull.Env = append(pull.Environ(), "CLERK_TELEMETRY_DISABLED=1", "CI=1")
	pull.WaitDelay = time.Second
	// What it says may hold anything, and without stdin it asks nothing.
	if err := pull.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, errors.New("the CLI of Clerk has no keys of this folder: is it logged in, and the folder linked?")
	}
	info, err := os.Stat(file)
	if err != nil || info.Size() > mostPulled {
		return nil, errors.New("the CLI of Clerk has written no file of keys")
	}
	values, err := godotenv.Read(file)
	if err != nil {
		// The parser's error quotes what it cannot read.
		return nil, errors.New("the CLI of Clerk has written a file that is none of KEY=VALUE lines")
	}
	return values, nil
}
