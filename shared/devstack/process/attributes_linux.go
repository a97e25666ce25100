package process

import "syscall"

// attributes asks the kernel for the identity and for the signal that ends the
// child when its parent dies. The child gets a process group of its own, so
// that an interrupt typed at a terminal reaches the parent only, which then
// stops its servers in the right order.
func attributes(id Identity, parentDeath syscall.Signal) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: parentDeath}
	switch id.mode {
	case Namespace:
		attr.Cloneflags = syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: id.innerID, HostID: id.uid, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: id.innerID, HostID: id.gid, Size: 1}}
	case OtherUser:
		attr.Credential = &syscall.Credential{Uid: uint32(id.uid), Gid: uint32(id.gid)}
	case Auto:
	}
	return attr
}
