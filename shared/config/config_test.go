package config_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/config"
	"clerksync/shared/secret"
)

const (
	password = "Tr0ub4dor-3"
	dsn      = "postgresql://clerksync_sync.abcdefghijklmnopqrst:" + password + "@aws-0-eu-central-1.pooler.supabase.com:6543/postgres"
	signing  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	signing2 = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

// env returns a lookup of a valid minimal environment, changed by pairs of key and value.
func env(pairs ...string) config.Lookup {
	vars := map[string]string{"DATABASE_URL": dsn, "CLERK_WEBHOOK_SIGNING_SECRET": signing}
	for i := 0; i < len(pairs); i += 2 {
		vars[pairs[i]] = pairs[i+1]
	}
	return lookup(vars)
}

func lookup(vars map[string]string) config.Lookup {
	return func(key string) (string, bool) {
		v, ok := vars[key]
		return v, ok
	}
}

// noFetch fails the test when a secret is asked for.
func noFetch(t *testing.T) config.Fetch {
	t.Helper()
	return func(_ context.Context, id string) (string, error) {
		t.Errorf("secret %q was fetched", id)
		return "", errors.New("not expected")
	}
}

func TestIngest_ReadsTheEnvironmentAlone(t *testing.T) {
	t.Parallel()
	ca := certificate(t)
	got, err := config.NewSource(env(
		"CLERK_WEBHOOK_SIGNING_SECRET", " "+signing+" , "+signing2+","+signing+",,\n",
		"CLERK_INSTANCE_ID", "ins_2abcDEF",
		"DATABASE_CA_CERT", strings.ReplaceAll(ca, "\n", `\n`),
		"SUPABASE_PROJECT_REF", "abcdefghijklmnopqrst\n",
		"EVENT_QUEUE_URL", "https://sqs.eu-central-1.amazonaws.com/123456789012/clerksync-events\n",
		"LOG_LEVEL", "WARN",
		"CLERKSYNC_SECRET_ID", "  ",
	), noFetch(t)).Ingest(t.Context())
	if err != nil {
		t.Fatalf("Ingest: %v", err)
	}
	want := config.Ingest{
		Database: config.Database{
			URL: secret.New(dsn), CACert: strings.TrimSpace(ca), ProjectRef: "abcdefghijklmnopqrst",
		},
		SigningSecrets: []secret.Value{secret.New(signing), secret.New(signing2)},
		InstanceID:     "ins_2abcDEF",
		QueueURL:       "https://sqs.eu-central-1.amazonaws.com/123456789012/clerksync-events",
		LogLevel:       slog.LevelWarn,
	}
	got.Database.CACert = strings.TrimSpace(got.Database.CACert)
	if diff := cmp.Diff(want, got, compareSecrets); diff != "" {
		t.Errorf("Ingest (-want +got):\n%s", diff)
	}
}

var compareSecrets = cmp.Comparer(func(a, b secret.Value) bool { return a == b })

func TestIngest_DefaultsWhatMayBeLeftOut(t *testing.T) {
	t.Parallel()
	got, err := config.NewSource(env(
		// What templates put where a value is to come counts as not set.
		"CLERK_INSTANCE_ID", "<instance id>", "LOG_LEVEL", "", "DATABASE_CA_CERT", "REPLACE_ME",
		"EVENT_QUEUE_URL", "<queue url>",
	), noFetch(t)).Ingest(t.Context())
	if err != nil {
		t.Fatalf("Ingest: %v", err)
	}
	if got.LogLevel != slog.LevelInfo || got.InstanceID != "" || got.Database.CACert != "" || got.Database.ProjectRef != "" || got.QueueURL != "" {
		t.Errorf("Ingest = %+v, want level info and nothing else set", got)
	}
}

func TestIngest_NamesEveryProblemAndQuotesNoValue(t *testing.T) {
	t.Parallel()
	ca := certificate(t)
	for _, tt := range []struct {
		name string
		key  string
		in   string
		want []string // parts of the text
	}{
		{"database missing", "DATABASE_URL", "", []string{"DATABASE_URL is not set", "Connect dialog"}},
		{"database placeholder", "DATABASE_URL", "<connection string>", []string{"DATABASE_URL is not set"}},
		{"database quoted", "DATABASE_URL", `"` + dsn + `"`, []string{"DATABASE_URL (environment)", "quotation marks", "remove"}},
		{"database curly quotes", "DATABASE_URL", "“" + dsn + "”", []string{"quotation marks"}},
		{"API URL for the database", "DATABASE_URL", "https://abcdefghijklmnopqrst.supabase.co", []string{"API URL", "SUPABASE_URL", "postgresql://"}},
		{"some URL for the database", "DATABASE_URL", "HTTPS://user:" + password + "@example.com", []string{"web address"}},
		{"key for the database", "DATABASE_URL", "sb_secret_" + password, []string{"Supabase secret key"}},

		{"signing secret missing", "CLERK_WEBHOOK_SIGNING_SECRET", "", []string{"CLERK_WEBHOOK_SIGNING_SECRET is not set", "whsec_"}},
		{"only commas", "CLERK_WEBHOOK_SIGNING_SECRET", " , ,", []string{"is not set"}},
		{"secret key for signing", "CLERK_WEBHOOK_SIGNING_SECRET", "sk_live_" + password, []string{"Clerk secret key", "whsec_"}},
		{"publishable key for signing", "CLERK_WEBHOOK_SIGNING_SECRET", "pk_test_" + password, []string{"Clerk publishable key"}},
		{"prefix missing", "CLERK_WEBHOOK_SIGNING_SECRET", strings.TrimPrefix(signing, "whsec_"), []string{"does not begin with whsec_"}},
		{"prefix in capitals", "CLERK_WEBHOOK_SIGNING_SECRET", strings.Replace(signing, "whsec_", "WHSEC_", 1), []string{"does not begin with whsec_"}},
		{"cut off inside a group", "CLERK_WEBHOOK_SIGNING_SECRET", signing[:len(signing)-1], []string{"not base64"}},
		{"URL-safe alphabet", "CLERK_WEBHOOK_SIGNING_SECRET", strings.Replace(signing2, "+", "-", 1), []string{"not base64"}},
		{"line break inside", "CLERK_WEBHOOK_SIGNING_SECRET", signing[:20] + "\n" + signing[20:], []string{"not base64"}},
		{"cut off at a group", "CLERK_WEBHOOK_SIGNING_SECRET", signing[:len(signing)-4], []string{"21 bytes", "24 to 75"}},
		{"pasted thrice", "CLERK_WEBHOOK_SIGNING_SECRET", "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 76)), []string{"76 bytes"}},
		{"nothing after the prefix", "CLERK_WEBHOOK_SIGNING_SECRET", "whsec_", []string{"0 bytes"}},
		{"one bad of a list", "CLERK_WEBHOOK_SIGNING_SECRET", signing + ",whsec_" + password, []string{"(environment, item 2)", "not base64"}},
		{"items quoted", "CLERK_WEBHOOK_SIGNING_SECRET", signing + `,"` + signing2 + `"`, []string{"item 2", "quotation marks"}},
		{"asymmetric key", "CLERK_WEBHOOK_SIGNING_SECRET", "whsk_" + password, []string{"whsk_"}},

		{"instance id is a key", "CLERK_INSTANCE_ID", "sk_live_" + password, []string{"CLERK_INSTANCE_ID", "Clerk secret key", "ins_"}},
		{"instance id without prefix", "CLERK_INSTANCE_ID", "2abcDEF", []string{"ins_"}},
		{"instance id with a space", "CLERK_INSTANCE_ID", "ins_2abc DEF", []string{"ins_"}},

		{"queue by its ARN", "EVENT_QUEUE_URL", "arn:aws:sqs:eu-central-1:123456789012:events", []string{"EVENT_QUEUE_URL", "is an ARN", "https://sqs."}},
		{"queue by its name", "EVENT_QUEUE_URL", "clerksync-events", []string{"no web address"}},
		{"queue in clear", "EVENT_QUEUE_URL", "http://sqs.eu-central-1.amazonaws.com/123456789012/events", []string{"send the events in clear"}},
		{"service for the queue", "EVENT_QUEUE_URL", "https://sqs.eu-central-1.amazonaws.com/", []string{"names no queue"}},
		{"account for the queue", "EVENT_QUEUE_URL", "https://sqs.eu-central-1.amazonaws.com/123456789012/", []string{"names no queue"}},
		{"more than a queue", "EVENT_QUEUE_URL", "https://sqs.eu-central-1.amazonaws.com/123456789012/events/x", []string{"names no queue"}},
		{"FIFO queue", "EVENT_QUEUE_URL", "https://sqs.eu-central-1.amazonaws.com/123456789012/events.fifo", []string{"FIFO", "standard"}},
		{"key for the queue", "EVENT_QUEUE_URL", "sk_live_" + password, []string{"Clerk secret key"}},

		{"level unknown", "LOG_LEVEL", "verbose", []string{"LOG_LEVEL", "debug, info, warn or error"}},

		{"project ref is a URL", "SUPABASE_PROJECT_REF", "https://abcdefghijklmnopqrst.supabase.co", []string{"SUPABASE_PROJECT_REF", "only the reference"}},
		{"project ref too short", "SUPABASE_PROJECT_REF", "abc", []string{"20 lower-case letters"}},

		{"certificate is a path", "DATABASE_CA_CERT", "./prod-ca-2021.crt", []string{"DATABASE_CA_CERT", "file name"}},
		{"certificate in base64", "DATABASE_CA_CERT", base64.StdEncoding.EncodeToString([]byte(ca)), []string{"encoded once more"}},
		{"certificate on one line", "DATABASE_CA_CERT", strings.ReplaceAll(ca, "\n", " "), []string{"line breaks are lost"}},
		{"certificate cut off", "DATABASE_CA_CERT", ca[:len(ca)/2], []string{"no readable certificate"}},
		{"certificate damaged", "DATABASE_CA_CERT", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})), []string{"certificate 1 cannot be read"}},
		{"private key beside it", "DATABASE_CA_CERT", ca + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})), []string{"no private key"}},
		{"something else", "DATABASE_CA_CERT", "none", []string{"-----BEGIN CERTIFICATE-----"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := config.NewSource(env(tt.key, tt.in), noFetch(t)).Ingest(t.Context())
			if !errors.Is(err, config.ErrInvalid) {
				t.Fatalf("%s=%q: error %v, want ErrInvalid", tt.key, tt.in, err)
			}
			checkText(t, err, tt.want...)
			if n := len(strings.Split(err.Error(), "\n")); n != 2 {
				t.Errorf("%d lines, want a heading and one problem: %v", n, err)
			}
		})
	}
}

func TestIngest_ReportsAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := config.NewSource(lookup(map[string]string{
		"CLERK_WEBHOOK_SIGNING_SECRET": "sk_test_" + password + ",whsec_" + password,
		"CLERK_INSTANCE_ID":            "x", "LOG_LEVEL": "loud", "SUPABASE_PROJECT_REF": "ref", "DATABASE_CA_CERT": "ca.pem",
	}), noFetch(t)).Ingest(t.Context())
	checkText(t, err, "DATABASE_URL", "item 1", "item 2", "CLERK_INSTANCE_ID", "LOG_LEVEL", "SUPABASE_PROJECT_REF", "DATABASE_CA_CERT")
}

func TestIngest_TakesKeysOfEverySizeSvixTakes(t *testing.T) {
	t.Parallel()
	for _, size := range []int{24, 25, 26, 32, 64, 75} {
		s := "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, size))
		got, err := config.NewSource(env("CLERK_WEBHOOK_SIGNING_SECRET", s), noFetch(t)).Ingest(t.Context())
		if err != nil {
			t.Errorf("a key of %d bytes: %v", size, err)
		} else if got.SigningSecrets[0].Reveal() != s {
			t.Errorf("a key of %d bytes was changed", size)
		}
	}
}

func TestIngest_SecretWinsOverTheEnvironment(t *testing.T) {
	t.Parallel()
	text := mustJSON(t, map[string]string{
		"CLERK_WEBHOOK_SIGNING_SECRET": signing2,
		// Left empty in the secret: the environment's counts.
		"DATABASE_URL": "", "LOG_LEVEL": "REPLACE_ME",
	})
	got, err := config.NewSource(env("CLERKSYNC_SECRET_ID", "clerksync/prod", "LOG_LEVEL", "debug"), fixed(text)).Ingest(t.Context())
	if err != nil {
		t.Fatalf("Ingest: %v", err)
	}
	if got.SigningSecrets[0].Reveal() != signing2 {
		t.Error("the environment's signing secret won over the secret's")
	}
	if got.Database.URL.Reveal() != dsn || got.LogLevel != slog.LevelDebug {
		t.Errorf("Ingest = %+v, want database and level of the environment", got)
	}
}

func TestIngest_ExplainsAnUnusableSecret(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		text string
		want []string
	}{
		{"empty", " \n", []string{"is empty", "JSON object"}},
		{"bare value", signing, []string{"bare webhook signing secret"}},
		{"bare connection string", dsn, []string{"bare database connection string"}},
		{"key-value text", "DATABASE_URL=" + dsn, []string{"is not JSON"}},
		{"array", `["` + password + `"]`, []string{"not an object"}},
		{"string", `"` + password + `"`, []string{"not an object"}},
		{"null", `null`, []string{"not an object"}},
		{"comma missing", `{"DATABASE_URL": "` + dsn + `" "LOG_LEVEL": "info"}`, []string{"is not JSON after byte"}},
		{"line break in a value", "{\"DATABASE_URL\": \"" + password + "\n\"}", []string{"is not JSON after byte"}},
		{"closing brace missing", `{"LOG_LEVEL": "info"`, []string{"is not JSON after byte"}},
		{"more behind it", `{"LOG_LEVEL": "info"} {"DATABASE_URL": "` + password + `"}`, []string{"goes on after"}},
		{"number", `{"SYNC_RATE_SHARE": 0.5}`, []string{"SYNC_RATE_SHARE is a number", "string"}},
		{"boolean", `{"LOG_LEVEL": true}`, []string{"LOG_LEVEL is a boolean"}},
		{"null value", `{"LOG_LEVEL": null}`, []string{"LOG_LEVEL is null"}},
		{"list of secrets", `{"CLERK_WEBHOOK_SIGNING_SECRET": ["` + signing + `"]}`, []string{"CLERK_WEBHOOK_SIGNING_SECRET is an array"}},
		{"nested", `{"DATABASE_URL": {"password": "` + password + `"}}`, []string{"DATABASE_URL is an object"}},
		{"misspelt", `{"DATABSE_URL": "` + dsn + `"}`, []string{`"DATABSE_URL"`, "did you mean DATABASE_URL?"}},
		{"lower case", `{"database_url": "` + dsn + `"}`, []string{"did you mean DATABASE_URL?"}},
		{"usual other name", `{"CLERK_WEBHOOK_SECRET": "` + signing + `"}`, []string{"did you mean CLERK_WEBHOOK_SIGNING_SECRET?"}},
		// A database secret as RDS writes it.
		{"like nothing", `{"dbInstanceIdentifier": "x"}`, []string{`"dbInstanceIdentifier" is unknown`}},
		{"value for a key", `{"` + signing + `": "CLERK_WEBHOOK_SIGNING_SECRET"}`, []string{"not shown"}},
		{"password for a key", `{"` + password + `": "x"}`, []string{"not shown"}},
		{"twice", `{"LOG_LEVEL": "info", "LOG_LEVEL": "debug"}`, []string{"LOG_LEVEL is there twice"}},
		{"several", `{"X_Y": "1", "LOG_LEVEL": 2, "DATABASE_CA": "z"}`, []string{"X_Y", "LOG_LEVEL is a number", "did you mean DATABASE_CA_CERT?"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := config.NewSource(env("CLERKSYNC_SECRET_ID", "clerksync/prod"), fixed(tt.text)).Ingest(t.Context())
			if !errors.Is(err, config.ErrInvalid) {
				t.Fatalf("secret %q: error %v, want ErrInvalid", tt.text, err)
			}
			checkText(t, err, append(tt.want, `secret "clerksync/prod"`)...)
		})
	}
}

func TestIngest_SaysWhichSourceABadValueCameFrom(t *testing.T) {
	t.Parallel()
	_, err := config.NewSource(env("CLERKSYNC_SECRET_ID", "clerksync/prod", "CLERK_INSTANCE_ID", "nope"),
		fixed(`{"LOG_LEVEL": "loud"}`)).Ingest(t.Context())
	checkText(t, err, `LOG_LEVEL (secret "clerksync/prod")`, "CLERK_INSTANCE_ID (environment)")
}

func TestKeys_NameEverySetting(t *testing.T) {
	t.Parallel()
	want := []string{
		"CLERK_SECRET_KEY", "CLERK_WEBHOOK_SIGNING_SECRET", "CLERK_PUBLISHABLE_KEY", "CLERK_API_URL", "CLERK_JWKS_URL", "CLERK_JWT_KEY",
		"CLERK_ISSUER", "CLERK_INSTANCE_ID", "CLERK_AUTHORIZED_PARTIES", "DATABASE_URL", "DATABASE_CA_CERT", "DIAGNOSTICS_DATABASE_URL",
		"DIAGNOSTICS_PAGE", "SUPABASE_PROJECT_REF", "SUPABASE_ACCESS_TOKEN", "SUPABASE_URL", "SUPABASE_API_URL", "SYNC_RATE_SHARE",
		"EVENT_QUEUE_URL", "LOG_LEVEL",
	}
	secrets := map[string]bool{
		"CLERK_SECRET_KEY": true, "CLERK_WEBHOOK_SIGNING_SECRET": true, "DATABASE_URL": true, "DIAGNOSTICS_DATABASE_URL": true,
		"SUPABASE_ACCESS_TOKEN": true,
	}
	var got []string
	all := map[string]string{}
	for _, k := range config.Keys() {
		got = append(got, k.Name)
		all[k.Name] = ""
		if k.Secret != secrets[k.Name] {
			t.Errorf("%s: Secret = %t, want %t", k.Name, k.Secret, secrets[k.Name])
		}
		if k.Description == "" || !strings.HasSuffix(k.Description, ".") {
			t.Errorf("%s: description %q is no sentence", k.Name, k.Description)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Keys (-want +got):\n%s", diff)
	}
	// Every one of them may stand in the secret.
	if _, err := config.NewSource(env("CLERKSYNC_SECRET_ID", "s"), fixed(mustJSON(t, all))).Ingest(t.Context()); err != nil {
		t.Errorf("a secret with all keys, left empty: %v", err)
	}
}

// checkText fails unless the error has all parts, and in any case when it quotes a value.
func checkText(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	text := err.Error()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("error lacks %q:\n%s", p, text)
		}
	}
	for _, v := range []string{password, signing[6:20], signing2[6:20], "pooler.supabase.com"} {
		if strings.Contains(text, v) {
			t.Errorf("error quotes the value %q:\n%s", v, text)
		}
	}
}

func fixed(text string) config.Fetch {
	return func(context.Context, string) (string, error) { return text, nil }
}

func mustJSON(t *testing.T, values map[string]string) string {
	t.Helper()
	text, err := json.Marshal(values)
	if err != nil {
		t.Fatalf("encoding %v: %v", maps.Keys(values), err)
	}
	return string(text)
}

// certificate returns a self-signed certificate as PEM text.
func certificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(fmt.Errorf("generating a key: %w", err))
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{SerialNumber: big.NewInt(1)}, key.Public(), key)
	if err != nil {
		t.Fatal(fmt.Errorf("creating a certificate: %w", err))
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestDatabase_NeedsNothingButTheDatabase(t *testing.T) {
	t.Parallel()
	got, err := config.NewSource(lookup(map[string]string{"DATABASE_URL": "postgresql://u:p@db.example.com/app"}), noFetch(t)).Database(t.Context())
	if err != nil || got.URL.Reveal() != "postgresql://u:p@db.example.com/app" {
		t.Errorf("Database() = %v, %v, want the URL", got, err)
	}
	_, err = config.NewSource(lookup(map[string]string{"DATABASE_CA_CERT": "not PEM"}), noFetch(t)).Database(t.Context())
	for _, key := range []string{"DATABASE_URL", "DATABASE_CA_CERT"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("Database() with two problems: %v, want %s named", err, key)
		}
	}
}
