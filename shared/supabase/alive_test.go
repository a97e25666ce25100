//go:build linux || darwin

package supabase

import (
	"net"
	"testing"
	"time"
)

func TestQuiet_NoticesWhatArrived(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		act  func(t *testing.T, server net.Conn)
		want bool
	}{
		{"nothing", func(*testing.T, net.Conn) {}, true},
		{"data", func(t *testing.T, server net.Conn) {
			t.Helper()
			if _, err := server.Write([]byte("x")); err != nil {
				t.Error(err)
			}
		}, false},
		{"end", func(_ *testing.T, server net.Conn) { server.Close() }, false},
		{"reset", func(t *testing.T, server net.Conn) {
			t.Helper()
			if err := server.(*net.TCPConn).SetLinger(0); err != nil {
				t.Error(err)
			}
			server.Close()
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client, server := connected(t)
			tt.act(t, server)
			// What was sent takes a moment to arrive, also on one machine.
			deadline := time.Now().Add(10 * time.Second)
			for quiet(client) != tt.want && time.Now().Before(deadline) {
			}
			if got := quiet(client); got != tt.want {
				t.Errorf("quiet = %t, want %t", got, tt.want)
			}
		})
	}
}

// pgx reads in the background at times. Asking must not wait for that reader, nor take anything from it.
func TestQuiet_LeavesAReaderAlone(t *testing.T) {
	t.Parallel()
	client, server := connected(t)
	read := make(chan string)
	go func() {
		b := make([]byte, 8)
		n, _ := client.Read(b)
		read <- string(b[:n])
	}()
	for range 1000 {
		if !quiet(client) {
			t.Fatal("not quiet, though nothing was sent")
		}
	}
	if _, err := server.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if got := <-read; got != "hello" {
		t.Errorf("the reader got %q, want hello", got)
	}
}

func TestQuiet_TrustsWhatItCannotAsk(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	if !quiet(client) {
		t.Error("a connection without a socket is called broken")
	}
}

// connected returns the two ends of a TCP connection.
func connected(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return client, server
}
