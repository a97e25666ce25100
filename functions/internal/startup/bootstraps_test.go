package startup_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"clerksync/shared/testkit/lambdatest"
	"clerksync/shared/testkit/moto"
)

func TestMain(m *testing.M) { os.Exit(moto.Main(m)) }

// function is one that is deployed.
type function struct {
	name string
	// setting takes its connection string.
	setting string
	// needs are the other settings that it does not work without.
	needs map[string]string
	// refusal are parts of what it answers when it cannot work.
	refusal []string
}

// hidden stands in every secret value, and may stand nowhere else.
const hidden = "NobodyMaySeeThis"

var functions = []function{
	{"webhook-ingest", "DATABASE_URL", map[string]string{"CLERK_WEBHOOK_SIGNING_SECRET": "whsec_" + hidden + hidden}, []string{`"statusCode":503`, `not_configured`}},
	{"event-consumer", "DATABASE_URL", nil, []string{`"errorType":"not_configured"`}},
	{"full-sync", "DATABASE_URL", map[string]string{"CLERK_SECRET_KEY": "sk_live_" + hidden}, []string{`"errorType":"not_configured"`}},
	// It is told from a database that is away by its log.
	{"jwt-diagnostics", "DIAGNOSTICS_DATABASE_URL", nil, []string{`"statusCode":503`, `not_configured`}},
}

// eachFunction runs a test with the built bootstrap of every function.
func eachFunction(t *testing.T, test func(t *testing.T, f function, binary string)) {
	t.Helper()
	for _, f := range functions {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			test(t, f, lambdatest.Build(t, "clerksync/functions/"+f.name))
		})
	}
}

// refuses has a function answer its sample event, and checks the answer: what
// callers are told does not tell what is wrong.
func (f function) refuses(t *testing.T, running *lambdatest.Function) {
	t.Helper()
	event, err := os.ReadFile(filepath.Join("..", "..", "..", "infra", "events", f.name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := running.Invoke(t.Context(), event)
	if failure, ok := errors.AsType[*lambdatest.FunctionError](err); ok {
		answer = failure.Payload
	} else if err != nil {
		t.Fatalf("%v\n%s", err, running.Logs())
	}
	for _, part := range f.refusal {
		if !bytes.Contains(answer, []byte(part)) {
			t.Errorf("answer = %s, want %s\n%s", answer, part, running.Logs())
		}
	}
	for _, detail := range []string{f.setting, "clerksync/", hidden} {
		if bytes.Contains(answer, []byte(detail)) {
			t.Errorf("the answer holds %q: %s", detail, answer)
		}
	}
}

// checkLine looks for the one line about what is wrong since a number of bytes of
// the log, and returns the log's length.
func checkLine(t *testing.T, running *lambdatest.Function, since int, parts ...string) int {
	t.Helper()
	logs := running.Logs()
	var wrong []string
	for line := range strings.Lines(logs[since:]) {
		if strings.Contains(line, `"level":"ERROR"`) {
			wrong = append(wrong, line)
		}
	}
	if len(wrong) != 1 {
		t.Fatalf("%d lines say what is wrong, want one:\n%s", len(wrong), logs[since:])
	}
	for _, part := range parts {
		if !strings.Contains(wrong[0], part) {
			t.Errorf("the line lacks %q:\n%s", part, wrong[0])
		}
	}
	if strings.Contains(logs, hidden) {
		t.Errorf("the logs hold a secret:\n%s", logs)
	}
	return len(logs)
}

const (
	project      = "abcdefghijklmnopqrst"
	pooler       = "aws-0-eu-central-1.pooler.supabase.com"
	transactions = "postgresql://clerksync_login." + project + ":" + hidden + "@" + pooler + ":6543/postgres"
)

// connectionMistakes are connection strings that cannot be used, with the
// settings around them, and what names the mistake and the way to mend it.
var connectionMistakes = []struct {
	name, dsn string
	settings  map[string]string
	says      []string
}{
	{"session mode", strings.Replace(transactions, "6543", "5432", 1), nil, []string{"session mode", "write port 6543"}},
	{"another project", transactions, map[string]string{"SUPABASE_PROJECT_REF": "tsrqponmlkjihgfedcba"}, []string{"SUPABASE_PROJECT_REF is tsrqponmlkjihgfedcba", "correct the one"}},
	{"no project in the user", strings.Replace(transactions, "."+project, "", 1), nil, []string{"write clerksync_login."}},
	{"the pooler's suffix without the pooler", "postgresql://clerksync_login." + project + ":" + hidden + "@db." + project + ".supabase.co:6543/postgres", nil, []string{"write clerksync_login for"}},
	{"the placeholder", strings.Replace(transactions, hidden, "[YOUR-PASSWORD]", 1), nil, []string{"placeholder"}},
	{"the API's address", "https://" + project + ".supabase.co", nil, []string{"SUPABASE_URL", "postgresql://"}},
	{"the API's host", "postgresql://clerksync_login:" + hidden + "@" + project + ".supabase.co:5432/postgres", nil, []string{"serves no Postgres", "Connect dialog"}},
	{"an unencoded password", strings.Replace(transactions, hidden, hidden+"@#", 1), nil, []string{"percent-encode"}},
	{"no encryption", transactions + "?sslmode=disable", nil, []string{"verify-full with DATABASE_CA_CERT"}},
	{"a mode that needs a session", transactions + "?default_query_exec_mode=cache_statement", nil, []string{"leave it out"}},
	{"a certificate in one line", transactions, map[string]string{"DATABASE_CA_CERT": "-----BEGIN CERTIFICATE----- MIIB -----END CERTIFICATE-----"}, []string{"DATABASE_CA_CERT", "line break"}},
	{"a certificate's file name", transactions, map[string]string{"DATABASE_CA_CERT": "prod-ca-2021.crt"}, []string{"DATABASE_CA_CERT", "give the file's text"}},
}

func TestBootstraps_NameAConnectionThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	eachFunction(t, func(t *testing.T, f function, binary string) {
		t.Helper()
		for _, mistake := range connectionMistakes {
			t.Run(mistake.name, func(t *testing.T) {
				t.Parallel()
				environment := map[string]string{f.setting: mistake.dsn}
				maps.Copy(environment, f.needs)
				maps.Copy(environment, mistake.settings)
				says := mistake.says
				if mistake.settings == nil {
					says = append([]string{f.setting}, says...)
				}
				running := lambdatest.Start(t, binary, environment)
				started := checkLine(t, running, 0, says...)
				f.refuses(t, running)
				checkLine(t, running, started, says...)
			})
		}
	})
}

func TestBootstraps_NameASecretThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	server := moto.Start(t)
	// refusing answers as AWS does when it refuses; moto knows no roles, keys or clocks.
	refusing := func(code, message string) func(*testing.T, map[string]string) {
		return func(t *testing.T, environment map[string]string) {
			t.Helper()
			aws := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Date"] = nil
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, fmt.Sprintf(`{"__type": %q, "message": %q}`, code, message))
			}))
			t.Cleanup(aws.Close)
			environment["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = aws.URL
		}
	}
	storing := func(text string) func(*testing.T, map[string]string) {
		return func(t *testing.T, environment map[string]string) {
			t.Helper()
			in := secretsmanager.CreateSecretInput{Name: new(environment["CLERKSYNC_SECRET_ID"])}
			if text != "" {
				in.SecretString = &text
			}
			if _, err := server.SecretsManager().CreateSecret(t.Context(), &in); err != nil {
				t.Fatal(err)
			}
		}
	}
	mistakes := []struct {
		name  string
		setUp func(*testing.T, map[string]string)
		says  []string
	}{
		{"missing", func(*testing.T, map[string]string) {}, []string{"no such secret", "CLERKSYNC_SECRET_ID"}},
		{"without a value", storing(""), []string{"no value yet", "put-secret-value"}},
		{"no permission", refusing("AccessDeniedException", "User is not authorized to perform: secretsmanager:GetSecretValue"), []string{"allow the role secretsmanager:GetSecretValue"}},
		{"no permission on its key", refusing("AccessDeniedException", "Access to KMS is not allowed"), []string{"kms:Decrypt"}},
		{"a wrong clock", refusing("InvalidSignatureException", "Signature expired: 20261123T190000Z is now earlier than 20261123T195500Z (20261123T200000Z - 5 min.)"), []string{"clock is wrong", "NTP"}},
		{"not JSON", storing(`{"LOG_LEVEL": "` + hidden), []string{"is not JSON"}},
		{"a bare value", storing("postgresql://u:" + hidden + "@h/db"), []string{"bare database connection string", "JSON object"}},
		{"an unknown key", storing(`{"DATABSE_URL": "` + hidden + `"}`), []string{"DATABSE_URL", "did you mean DATABASE_URL?"}},
		{"a value in a name's place", storing(`{"sk_live_` + hidden + `": "x"}`), []string{"not shown"}},
		{"no string", storing(`{"DATABASE_URL": ["` + hidden + `"]}`), []string{"DATABASE_URL is an array: write it as a string"}},
	}
	eachFunction(t, func(t *testing.T, f function, binary string) {
		t.Helper()
		for _, mistake := range mistakes {
			t.Run(mistake.name, func(t *testing.T) {
				t.Parallel()
				environment := server.Environment()
				environment["CLERKSYNC_SECRET_ID"] = "clerksync/" + t.Name() + "/" + rand.Text()
				mistake.setUp(t, environment)
				for {
					running := lambdatest.Start(t, binary, environment)
					// Nothing is called before the first event.
					if logs := running.Logs(); strings.Contains(logs, `"level":"ERROR"`) {
						t.Errorf("something is wrong before the first event:\n%s", logs)
					}
					started := len(running.Logs())
					f.refuses(t, running)
					if strings.Contains(running.Logs()[started:], "no answer in time") {
						continue // moto takes longer than a function waits where others take its cores
					}
					checkLine(t, running, started, append(mistake.says, environment["CLERKSYNC_SECRET_ID"])...)
					break
				}
			})
		}
	})
}
