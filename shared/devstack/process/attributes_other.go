//go:build !linux

package process

import "syscall"

// attributes knows no namespaces and no parent's death: nil answers a wish for
// the former, and the latter is left to [watch].
func attributes(id Identity, _ syscall.Signal) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	switch id.mode {
	case Namespace:
		return nil
	case OtherUser:
		attr.Credential = &syscall.Credential{Uid: uint32(id.uid), Gid: uint32(id.gid)}
	case Auto:
	}
	return attr
}
