package config_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// Moto's server (PyPI: moto[server]) answers as AWS Secrets Manager does. One serves all tests of the package; each
// test names its secret after itself.
var (
	motoOnce sync.Once
	motoURL  string
	errMoto  error
	motoStop = func() {}
)

func TestMain(m *testing.M) {
	code := m.Run()
	motoStop()
	os.Exit(code)
}

// moto is Secrets Manager for one test.
type moto struct {
	client *secretsmanager.Client
	id     string            // name of the test's secret
	vars   map[string]string // what a lookup gives
}

// startMoto skips the test where the server is not installed, unless CI is set.
func startMoto(t *testing.T) *moto {
	t.Helper()
	program, err := findMoto()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	motoOnce.Do(func() { motoURL, errMoto = launchMoto(program) })
	if errMoto != nil {
		t.Fatalf("starting %s: %v", program[0], errMoto)
	}

	id := "clerksync/" + t.Name()
	return &moto{
		client: secretsmanager.New(secretsmanager.Options{
			Region: "eu-central-1", BaseEndpoint: &motoURL,
			Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "test", ""),
		}),
		id: id,
		vars: map[string]string{
			"CLERKSYNC_SECRET_ID": id, "DATABASE_URL": dsn, "CLERK_WEBHOOK_SIGNING_SECRET": signing,
			"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "test",
			"AWS_ENDPOINT_URL_SECRETS_MANAGER": motoURL,
		},
	}
}

// create stores the test's secret. With neither text nor binary it has no value yet.
func (m *moto) create(t *testing.T, in secretsmanager.CreateSecretInput) (arn string) {
	t.Helper()
	in.Name = &m.id
	out, err := m.client.CreateSecret(t.Context(), &in)
	if err != nil {
		t.Fatalf("creating secret %s: %v", m.id, err)
	}
	return aws.ToString(out.ARN)
}

func (m *moto) put(t *testing.T, text string) {
	t.Helper()
	_, err := m.client.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &m.id, SecretString: &text})
	if err != nil {
		t.Fatalf("changing secret %s: %v", m.id, err)
	}
}

// text is the input of create for a secret with this text.
func text(s string) secretsmanager.CreateSecretInput {
	return secretsmanager.CreateSecretInput{SecretString: &s}
}

func findMoto() ([]string, error) {
	if path, err := exec.LookPath("moto_server"); err == nil {
		return []string{path}, nil
	}
	if path := os.Getenv("CLERKSYNC_MOTO"); path != "" {
		return []string{path}, nil
	}
	if python, err := exec.LookPath("python3"); err == nil && exec.Command(python, "-c", "import moto.server, flask").Run() == nil {
		return []string{python, "-m", "moto.server"}, nil
	}
	return nil, errors.New("moto's server is not installed: pip install 'moto[server]', or name it in CLERKSYNC_MOTO")
}

// launchMoto starts the server on a free port and waits until it answers.
func launchMoto(program []string) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()

	cmd := exec.Command(program[0], append(program[1:], "-H", "127.0.0.1", "-p", port)...)
	if err := cmd.Start(); err != nil {
		return "", err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	motoStop = func() {
		cmd.Process.Kill()
		<-ended
	}

	url := "http://127.0.0.1:" + port
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/moto-api/data.json", http.NoBody)
		if err != nil {
			return "", err
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			res.Body.Close()
			return url, nil
		}
		select {
		case <-tick.C:
		case err := <-ended:
			ended <- err
			return "", fmt.Errorf("it ended: %w", err)
		case <-ctx.Done():
			return "", errors.New("it did not answer within a minute")
		}
	}
}
