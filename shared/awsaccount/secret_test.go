package awsaccount_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"clerksync/shared/awsaccount"
	"clerksync/shared/testkit/moto"
)

// held is the text of a secret, and its version.
func held(t *testing.T, server *moto.Server, name string) (text, version string) {
	t.Helper()
	out, err := server.SecretsManager().GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &name})
	if err != nil {
		t.Fatal(err)
	}
	return *out.SecretString, *out.VersionId
}

func secretAt(server *moto.Server, name, endpoint string) awsaccount.Secret {
	environment := server.Environment()
	if endpoint != "" {
		environment["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = endpoint
	}
	return awsaccount.NewSecret(func(key string) (string, bool) { value, ok := environment[key]; return value, ok }, name)
}

func TestMerge_KeepsWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	server := moto.Start(t)
	name := t.Name()
	text := `{"TEAM_KEY":"theirs","number":12345678901234567890,"nested":{"a":[1]},"DATABASE_URL":"old"}`
	if _, err := server.SecretsManager().CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &text}); err != nil {
		t.Fatal(err)
	}
	secret := secretAt(server, name, "")
	values := map[string]string{"DATABASE_URL": "postgresql://a:b&c<@d/e", "CLERK_SECRET_KEY": "key"}
	if err := secret.Merge(t.Context(), values); err != nil {
		t.Fatal(err)
	}
	after, version := held(t, server, name)
	for _, part := range []string{`"TEAM_KEY": "theirs"`, `12345678901234567890`, `"postgresql://a:b&c<@d/e"`, `"CLERK_SECRET_KEY": "key"`} {
		if !strings.Contains(after, part) {
			t.Errorf("it holds %s, want %s in it", after, part)
		}
	}
	if err := secret.Merge(t.Context(), values); err != nil {
		t.Fatal(err)
	}
	if _, again := held(t, server, name); again != version {
		t.Error("merging what is there has written a version")
	}
	got, err := secret.Read(t.Context())
	if want := map[string]string{"TEAM_KEY": "theirs", "DATABASE_URL": values["DATABASE_URL"], "CLERK_SECRET_KEY": "key"}; err != nil || !maps.Equal(got, want) {
		t.Errorf("Read = %v, %v, want %v", got, err, want)
	}
}

func TestMerge_MakesWhatIsNotThere(t *testing.T) {
	t.Parallel()
	server := moto.Start(t)
	missing, empty := t.Name()+"/missing", t.Name()+"/empty"
	if _, err := server.SecretsManager().CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &empty}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{missing, empty} {
		secret := secretAt(server, name, "")
		if got, err := secret.Read(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("%s: Read = %v, %v, want nothing", name, got, err)
		}
		if err := secret.Merge(t.Context(), map[string]string{"A": "b"}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if text, _ := held(t, server, name); !strings.Contains(text, `"A": "b"`) {
			t.Errorf("%s holds %s", name, text)
		}
	}
}

func TestMerge_WritesNothingItCannotKeep(t *testing.T) {
	t.Parallel()
	server := moto.Start(t)
	large, err := json.Marshal(map[string]string{"TEAM_KEY": strings.Repeat("x", 65000)})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		text string
		want error
	}{
		"a password alone": {"correct horse", awsaccount.ErrSecretForeign},
		"a list":           {`["a"]`, awsaccount.ErrSecretForeign},
		"full":             {string(large), awsaccount.ErrSecretTooLarge},
	} {
		id := strings.ReplaceAll(t.Name()+"/"+name, " ", "-")
		if _, err := server.SecretsManager().CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &id, SecretString: &test.text}); err != nil {
			t.Fatal(err)
		}
		err := secretAt(server, id, "").Merge(t.Context(), map[string]string{"DATABASE_URL": strings.Repeat("y", 1000)})
		if after, _ := held(t, server, id); !errors.Is(err, test.want) || after != test.text {
			t.Errorf("%s: %v, want %v and nothing written", name, err, test.want)
		}
		if err != nil && (strings.Contains(err.Error(), "horse") || strings.Contains(err.Error(), "yyy")) {
			t.Errorf("%s: the error quotes a value: %v", name, err)
		}
	}
}

// Two people at once: between the look and the write of one, the other writes.
func TestMerge_LosesNothingOfAnotherWriter(t *testing.T) {
	t.Parallel()
	server := moto.Start(t)
	name := t.Name()
	text := `{"OLD":"1"}`
	if _, err := server.SecretsManager().CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &text}); err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	var once sync.Once
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".PutSecretValue") {
			once.Do(func() {
				theirs := `{"OLD":"1","THEIRS":"2"}`
				if _, err := server.SecretsManager().PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: &theirs}); err != nil {
					t.Error(err)
				}
			})
		}
		proxy.ServeHTTP(w, r)
	}))
	defer between.Close()
	if err := secretAt(server, name, between.URL).Merge(t.Context(), map[string]string{"OURS": "3"}); err != nil {
		t.Fatal(err)
	}
	after, _ := held(t, server, name)
	var got map[string]string
	if want := map[string]string{"OLD": "1", "THEIRS": "2", "OURS": "3"}; json.Unmarshal([]byte(after), &got) != nil || !maps.Equal(got, want) {
		t.Errorf("it holds %s, want %v", after, want)
	}
}

func TestRemove_TakesWhatIsUnchangedAndKeepsTheRest(t *testing.T) {
	t.Parallel()
	server := moto.Start(t)
	name := t.Name()
	text := `{"TEAM_KEY":"theirs","OURS":"1","CHANGED":"new","number":12345678901234567890}`
	if _, err := server.SecretsManager().CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &text}); err != nil {
		t.Fatal(err)
	}
	secret := secretAt(server, name, "")
	version := ""
	for range 2 {
		if err := secret.Remove(t.Context(), map[string]string{"OURS": "1", "CHANGED": "old", "number": "1", "ABSENT": "x"}); err != nil {
			t.Fatal(err)
		}
		after, now := held(t, server, name)
		var got map[string]json.RawMessage
		if json.Unmarshal([]byte(after), &got) != nil || len(got) != 3 || string(got["number"]) != "12345678901234567890" || got["OURS"] != nil {
			t.Errorf("it holds %s, want all but OURS", after)
		}
		if version != "" && now != version {
			t.Error("removing what is not there has written a version")
		}
		version = now
	}
	if err := secretAt(server, t.Name()+"/absent", "").Remove(t.Context(), map[string]string{"OURS": "1"}); err != nil {
		t.Errorf("Remove from a secret that is not there = %v, want nothing done", err)
	}
}
