//go:build linux || darwin

package supabase

import (
	"crypto/tls"
	"errors"
	"net"
	"syscall"
)

// quiet reports whether an idle connection has received nothing, not even its end. It asks the kernel and costs no
// round trip: a server or pooler that hung up is noticed before a query is sent, when nothing can have happened twice.
// Where it cannot tell, it says yes.
func quiet(conn net.Conn) bool {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	s, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	var peekErr error
	// Control and not Read, which waits for other readers: pgx may have one in the background, waiting for data that a
	// slow write once made it expect.
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, peekErr = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return err == nil && errors.Is(peekErr, syscall.EAGAIN)
}
