package process

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// ErrPortTaken is returned by what starts servers when somebody else listens on
// the port that was asked for.
var ErrPortTaken = errors.New("the port is in use")

// FreePort is a port on 127.0.0.1 that nobody listens on at the moment. Nobody
// can reserve it for a child: be ready for [ErrPortTaken] and ask again. It lies
// below the range from which systems take the ports of outgoing connections, so
// that a server can come back to it.
func FreePort() (int, error) {
	const first, last = 15000, 32000
	var err error
	for range 50 {
		port := first + rand.IntN(last-first)
		var listener net.Listener
		if listener, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("looking for a free port between %d and %d: %w", first, last, err)
}
