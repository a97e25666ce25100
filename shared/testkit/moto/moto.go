// Package moto runs moto's server (PyPI: moto[server]), which answers as AWS
// does, so that tests can use the real SDK against it.
//
//	server := moto.Start(t)
//	client := server.SecretsManager()
//	url := server.NewQueue(t, nil) // of SQS
//	lookup := server.Environment() // what points a program's SDK at it
//
// One server serves all tests of a binary and is ended by [Main]. A test is
// skipped where the server is not installed, and fails there when CI=true. Name
// what you create after the test: nothing is cleared between tests.
package moto

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"clerksync/shared/devstack/process"
	"clerksync/shared/testkit/need"
)

// Region is where everything lies.
const Region = "eu-central-1"

// Any credentials do.
const (
	accessKey = "AKIDEXAMPLE"
	secretKey = "test"
)

// startLimit is how long the server, a Python program, may take to answer.
const startLimit = time.Minute

var shared struct {
	once sync.Once
	url  string
	err  error
	stop func()
}

// Server is the running server.
type Server struct {
	// URL is the endpoint of every service.
	URL string
}

// Main runs the tests and then ends the server:
//
//	func TestMain(m *testing.M) { os.Exit(moto.Main(m)) }
func Main(m *testing.M) int {
	code := m.Run()
	Stop()
	return code
}

// Stop ends the server, if one was started, for a TestMain with more to do.
func Stop() {
	if shared.stop != nil {
		shared.stop()
	}
}

// installed is what runs the server.
var installed = sync.OnceValues(func() ([]string, error) { return find(context.Background()) })

// Need skips t where the server is not installed, or fails it when CI=true, before
// anything else is started for nothing.
func Need(t testing.TB) {
	t.Helper()
	if _, err := installed(); err != nil {
		need.Missing(t, err)
	}
}

// Start returns the server, which the first call starts.
func Start(t testing.TB) *Server {
	t.Helper()
	Need(t)
	program, _ := installed() // Need has looked
	shared.once.Do(func() { shared.url, shared.err = launch(program) })
	if shared.err != nil {
		t.Fatalf("starting %s: %v", program[0], shared.err)
	}
	return &Server{URL: shared.url}
}

// SecretsManager is a client of the server.
func (s *Server) SecretsManager() *secretsmanager.Client {
	return secretsmanager.New(secretsmanager.Options{
		Region: Region, BaseEndpoint: &s.URL,
		Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
	})
}

// SQS is a client of the server.
func (s *Server) SQS() *sqs.Client {
	return sqs.New(sqs.Options{
		Region: Region, BaseEndpoint: &s.URL,
		Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
	})
}

// queues counts the queues, whose names must differ.
var queues atomic.Int64

var unsafeName = regexp.MustCompile(`[^A-Za-z0-9]+`)

// NewQueue makes a standard SQS queue for t, with attributes such as
// VisibilityTimeout, and returns its URL.
func (s *Server) NewQueue(t testing.TB, attributes map[string]string) string {
	t.Helper()
	name := fmt.Sprintf("%.60s-%d", unsafeName.ReplaceAllString(t.Name(), "-"), queues.Add(1)) // of 80 characters at most
	out, err := s.SQS().CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		t.Fatalf("making the queue %s: %v", name, err)
	}
	return *out.QueueUrl
}

// Environment is what points the SDK of a program at the server. The caller
// owns the map.
func (s *Server) Environment() map[string]string {
	return map[string]string{
		"AWS_REGION": Region, "AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey,
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": s.URL, "AWS_ENDPOINT_URL_SQS": s.URL, "AWS_ENDPOINT_URL_CLOUDFORMATION": s.URL,
		"AWS_ENDPOINT_URL_SCHEDULER": s.URL, "AWS_ENDPOINT_URL_CLOUDWATCH": s.URL, "AWS_ENDPOINT_URL_LAMBDA": s.URL,
	}
}

func find(ctx context.Context) ([]string, error) {
	if path, err := exec.LookPath("moto_server"); err == nil {
		return []string{path}, nil
	}
	if path := os.Getenv("CLERKSYNC_MOTO"); path != "" {
		return []string{path}, nil
	}
	if python, err := exec.LookPath("python3"); err == nil && exec.CommandContext(ctx, python, "-c", "import moto.server, flask").Run() == nil {
		return []string{python, "-m", "moto.server"}, nil
	}
	return nil, errors.New("moto's server is not installed: pip install 'moto[server]', or name it in CLERKSYNC_MOTO")
}

// launch starts the server on a free port and waits until it answers.
func launch(program []string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return "", err
	}
	if err := l.Close(); err != nil {
		return "", err
	}

	cmd := exec.CommandContext(context.Background(), program[0], append(program[1:], "-H", "127.0.0.1", "-p", port)...)
	child, err := process.Start(cmd, process.Identity{}, syscall.SIGKILL)
	if err != nil {
		return "", err
	}
	ended := child.Done()
	shared.stop = child.Kill

	url := "http://127.0.0.1:" + port
	client := &http.Client{Timeout: time.Second}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/moto-api/data.json", http.NoBody)
		if err != nil {
			return "", err
		}
		if res, err := client.Do(req); err == nil {
			return url, res.Body.Close()
		}
		select {
		case <-tick.C:
		case <-ended:
			return "", fmt.Errorf("it ended: %v", cmd.ProcessState)
		case <-ctx.Done():
			return "", fmt.Errorf("it did not answer within %v", startLimit)
		}
	}
}
