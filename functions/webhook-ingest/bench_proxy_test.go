package main_test

import (
	"bufio"
	wire "encoding/binary" // package scope has a function binary
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy stands between a client and the database and counts what passes. It
// reads the messages of PostgreSQL's protocol (documentation, "Frontend/Backend
// Protocol"), so it knows what was sent and not what somebody meant to send.
type proxy struct {
	listener net.Listener
	target   string
	// distance is what each flight of the client's messages takes longer; with it
	// the proxy stands for a network.
	distance time.Duration

	// trips counts the server's ReadyForQuery: the client waited for each.
	trips atomic.Int64
	// statements counts the client's Execute and simple Query messages.
	statements atomic.Int64
}

// startProxy returns a proxy to the host and port of a connection string.
func startProxy(b *testing.B, connString string, distance time.Duration) *proxy {
	b.Helper()
	u, err := url.Parse(connString)
	if err != nil {
		b.Fatal("reading the connection string: it is no URL")
	}
	listener, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	p := &proxy{listener: listener, target: u.Host, distance: distance}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { p.serve(client) })
		}
	})
	b.Cleanup(func() {
		// Clients have hung up: their cleanups run before this one.
		listener.Close()
		serving.Wait()
	})
	return p
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		client.Close()
		return
	}
	var answering sync.WaitGroup
	answering.Go(func() {
		relay(client, server, 0, func(kind byte) {
			if kind == 'Z' {
				p.trips.Add(1)
			}
		})
		client.Close()
	})
	// The first message of a client has a length and no type.
	if relayStartup(server, client) == nil {
		relay(server, client, p.distance, func(kind byte) {
			if kind == 'E' || kind == 'Q' {
				p.statements.Add(1)
			}
		})
	}
	server.Close()
	answering.Wait()
}

func relayStartup(to io.Writer, from io.Reader) error {
	var length [4]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return err
	}
	if _, err := to.Write(length[:]); err != nil {
		return err
	}
	_, err := io.CopyN(to, from, int64(wire.BigEndian.Uint32(length[:]))-int64(len(length)))
	return err
}

// relay copies messages until either side ends, each flight of them a while later.
func relay(to io.Writer, from io.Reader, later time.Duration, seen func(kind byte)) {
	reader, writer := bufio.NewReader(from), bufio.NewWriter(to)
	for {
		header, err := reader.Peek(5)
		if err != nil {
			return
		}
		seen(header[0])
		// The length counts itself and not the type. Copied to the plain writer:
		// a bufio.Writer that is empty would pass the message on at once.
		if _, err := io.CopyN(struct{ io.Writer }{writer}, reader, 1+int64(wire.BigEndian.Uint32(header[1:]))); err != nil {
			return
		}
		if reader.Buffered() > 0 {
			continue
		}
		time.Sleep(later) //nolint:forbidigo // the delay is what is simulated
		if writer.Flush() != nil {
			return
		}
	}
}
