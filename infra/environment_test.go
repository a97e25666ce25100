package infra_test

import (
	"context"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/config"
)

// readers is what the table of settings calls each function.
var readers = map[string]config.Reader{
	"EventConsumerFunction": config.ReaderConsumer, "FullSyncFunction": config.ReaderSync,
	"JWTDiagnosticsFunction": config.ReaderDiagnostics, "WebhookIngestFunction": config.ReaderIngest,
}

// reads is how each function reads its configuration.
var reads = map[string]func(context.Context, *config.Source) error{
	"EventConsumerFunction": func(ctx context.Context, s *config.Source) error {
		_, err := s.Consumer(ctx)
		return err
	},
	"FullSyncFunction": func(ctx context.Context, s *config.Source) error {
		_, err := s.Sync(ctx)
		return err
	},
	"JWTDiagnosticsFunction": func(ctx context.Context, s *config.Source) error {
		_, err := s.Diagnostics(ctx)
		return err
	},
	"WebhookIngestFunction": func(ctx context.Context, s *config.Source) error {
		_, err := s.Ingest(ctx)
		return err
	},
}

// variables is the environment that a function is given.
func variables(t *testing.T, f resource) map[string]string {
	t.Helper()
	given := map[string]string{}
	declared, _ := f.at("Environment", "Variables").(object)
	for name, value := range declared {
		given[name] = value.(string)
	}
	return given
}

// `sam local` hands over only what a template declares, and what no function
// reads would be there for nothing.
func TestEnvironment_IsWhatTheFunctionReads(t *testing.T) {
	t.Parallel()
	functions := inMode(t, queued).of(serverlessFunction)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(functions)), slices.Sorted(maps.Keys(reads))); diff != "" {
		t.Fatalf("functions (-template +this test):\n%s", diff)
	}
	sample := sampleEnvironment(t)
	for id, read := range reads {
		asked := map[string]bool{}
		// Some settings are looked at only where another one is there. That all are missing, or wrong, is no matter here.
		for _, value := range []string{"", "something"} {
			source := config.NewSource(func(key string) (string, bool) {
				asked[key] = true
				return value, value != "" && key != config.SecretIDKey
			}, func(context.Context, string) (string, error) { return "{}", nil })
			if err := read(t.Context(), source); err != nil && !errors.Is(err, config.ErrInvalid) {
				t.Errorf("%s: %v", id, err)
			}
		}
		want := slices.Sorted(maps.Keys(asked))
		needed := []string{config.SecretIDKey}
		for _, key := range config.Keys() {
			if key.Needs[readers[id]] != config.Unused {
				needed = append(needed, key.Name)
			}
		}
		if diff := cmp.Diff(want, slices.Sorted(slices.Values(needed))); diff != "" {
			t.Errorf("%s (-read +needed, says the table):\n%s", id, diff)
		}
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(variables(t, functions[id])))); diff != "" {
			t.Errorf("%s (-read +declared):\n%s", id, diff)
		}
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(sample[id]))); diff != "" {
			t.Errorf("%s in infra/env.json (-read +there):\n%s", id, diff)
		}
	}
}

func TestEnvironment_HoldsEverySetting(t *testing.T) {
	t.Parallel()
	declared := map[string]bool{}
	for _, f := range inMode(t, queued).of(serverlessFunction) {
		for name := range variables(t, f) {
			declared[name] = true
		}
	}
	known := map[string]bool{config.SecretIDKey: true}
	for _, key := range config.Keys() {
		known[key.Name] = true
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(known)), slices.Sorted(maps.Keys(declared))); diff != "" {
		t.Errorf("settings (-known +declared by some function):\n%s", diff)
	}
}

// A secret that stood in the template would be readable for everybody who may
// look at the stack or at the function.
func TestEnvironment_HoldsNoSecret(t *testing.T) {
	t.Parallel()
	for id, f := range inMode(t, queued).of(serverlessFunction) {
		given := variables(t, f)
		for _, key := range config.Keys() {
			if key.Secret && given[key.Name] != "" {
				t.Errorf("%s is given %s, which belongs into the secret", id, key.Name)
			}
		}
		if given[config.SecretIDKey] != "ClerksyncSecret" {
			t.Errorf("%s reads the secret %q", id, given[config.SecretIDKey])
		}
	}
	for secretID, want := range map[string]string{"mine": "mine", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:mine-a1B2c3": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:mine-a1B2c3"} {
		s := deploy(t, stackTemplate, map[string]string{"SecretId": secretID})
		if got := variables(t, s.Resources["FullSyncFunction"])[config.SecretIDKey]; got != want {
			t.Errorf("with SecretId %q the functions read %q", secretID, got)
		}
		if _, made := s.Resources["ClerksyncSecret"]; made {
			t.Errorf("with SecretId %q a secret is made as well", secretID)
		}
	}
}

// Variables that are not configuration are Lambda's own, or the SAM CLI's.
func TestEnvironment_IsReadThroughTheConfiguration(t *testing.T) {
	t.Parallel()
	found := 0
	err := filepath.WalkDir(filepath.Join(root, "functions"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "lambdatest") || strings.Contains(path, "testdata") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			var name string
			switch called := call.Fun.(type) {
			case *ast.Ident:
				name = called.Name
			case *ast.SelectorExpr:
				name = called.Sel.Name
			}
			literal, ok := call.Args[0].(*ast.BasicLit)
			if !ok || !slices.Contains([]string{"lookup", "Lookup", "LookupEnv", "Getenv"}, name) {
				return true
			}
			found++
			if key, err := strconv.Unquote(literal.Value); err != nil || !strings.HasPrefix(key, "AWS_") {
				t.Errorf("%s reads %s past shared/config", path, literal.Value)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found == 0 {
		t.Error("no variable is read at all: this test looks for the wrong calls")
	}
}

// secretShape is infra/secret.json.
func secretShape(t *testing.T) map[string]string {
	t.Helper()
	var shape map[string]string
	if err := json.Unmarshal([]byte(read(t, "infra/secret.json")), &shape); err != nil {
		t.Fatal(err)
	}
	return shape
}

// In the secret is what the template leaves empty.
func TestSecret_HasAPlaceForWhatTheTemplateLeavesEmpty(t *testing.T) {
	t.Parallel()
	empty := map[string]bool{}
	for _, f := range inMode(t, queued).of(serverlessFunction) {
		for name, value := range variables(t, f) {
			if value == "" {
				empty[name] = true
			}
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(empty)), slices.Sorted(maps.Keys(secretShape(t)))); diff != "" {
		t.Errorf("settings (-empty in the template +in infra/secret.json):\n%s", diff)
	}
	for _, key := range config.Keys() {
		if _, there := secretShape(t)[key.Name]; key.Secret && !there {
			t.Errorf("infra/secret.json has no place for %s, which is secret", key.Name)
		}
		if key.Stack == empty[key.Name] {
			t.Errorf("%s is empty in the template: %t, and the table says that the stack gives it: %t", key.Name, empty[key.Name], key.Stack)
		}
	}
}

// Stored as it is, the shape is as good as nothing, and a function says at once
// everything that it lacks.
func TestSecret_StoredWithPlaceholdersNamesAllThatIsMissing(t *testing.T) {
	t.Parallel()
	lacks := map[string][]string{
		"EventConsumerFunction":  {"DATABASE_URL"},
		"FullSyncFunction":       {"CLERK_SECRET_KEY", "DATABASE_URL"},
		"JWTDiagnosticsFunction": nil,
		"WebhookIngestFunction":  {"CLERK_WEBHOOK_SIGNING_SECRET", "DATABASE_URL"},
	}
	text := read(t, "infra/secret.json")
	for id, f := range inMode(t, queued).of(serverlessFunction) {
		given := variables(t, f)
		// What CloudFormation puts there.
		given["LOG_LEVEL"] = "info"
		if given["EVENT_QUEUE_URL"] != "" {
			given["EVENT_QUEUE_URL"] = "https://sqs.eu-central-1.amazonaws.com/123456789012/events"
		}
		lookup := func(key string) (string, bool) {
			value, ok := given[key]
			return value, ok
		}
		source := config.NewSource(lookup, func(context.Context, string) (string, error) { return text, nil })
		err := reads[id](t.Context(), source)
		var missing []string
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if name, _, ok := strings.Cut(line, " is not set:"); ok {
					missing = append(missing, name)
				} else if line != config.ErrInvalid.Error()+":" {
					t.Errorf("%s: %s", id, line)
				}
			}
		}
		slices.Sort(missing)
		if diff := cmp.Diff(lacks[id], missing); diff != "" {
			t.Errorf("%s (-required +named):\n%s", id, diff)
		}
	}
}
