package confine

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rights of landlock by the version of its ABI that has them first, <linux/landlock.h>.
var fileRights = []struct {
	abi   int
	right uint64
}{
	{1, unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_SYM},
	{2, unix.LANDLOCK_ACCESS_FS_REFER},
	{3, unix.LANDLOCK_ACCESS_FS_TRUNCATE},
	{5, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV},
}

// Versions from which on landlock knows TCP, and signals and abstract sockets.
const (
	abiTCP    = 4
	abiScopes = 6
)

// landlockABI is the version that this kernel has.
func landlockABI() (int, error) {
	r, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0, fmt.Errorf("landlock: %w", errno)
	}
	return int(r), nil
}

// denyAll is what a thread gives up under an ABI: every right to files, to connect and listen by TCP, to signal and to reach abstract
// sockets outside. What is open already is not affected.
func denyAll(abi int) unix.LandlockRulesetAttr {
	var a unix.LandlockRulesetAttr
	for _, f := range fileRights {
		if abi >= f.abi {
			a.Handled_access_fs |= f.right
		}
	}
	if abi >= abiTCP {
		a.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if abi >= abiScopes {
		a.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	return a
}

// attrSize is the size of the attribute that an ABI knows: a longer one is refused.
func attrSize(abi int) uintptr {
	var a unix.LandlockRulesetAttr
	switch {
	case abi >= abiScopes:
		return unsafe.Offsetof(a.Quiet_access_fs)
	case abi >= abiTCP:
		return unsafe.Offsetof(a.Scoped)
	}
	return unsafe.Offsetof(a.Handled_access_net)
}

// landlock confines the calling thread, and what it starts, to running one program. It needs no_new_privs. The answer
// is the version of the ABI.
func landlock(program *os.File) (int, error) {
	abi, err := landlockABI()
	if err != nil {
		return 0, err
	}
	attr := denyAll(abi)
	// SAFETY: attr is what the call reads, as much of it as the size says, and stays in place for it.
	ruleset, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), attrSize(abi), 0)
	if errno != 0 {
		return 0, fmt.Errorf("landlock: a ruleset: %w", errno)
	}
	defer unix.Close(int(ruleset))
	rule := unix.LandlockPathBeneathAttr{Allowed_access: unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE, Parent_fd: int32(program.Fd())}
	// SAFETY: rule is what the call reads, and stays in place for it.
	if _, _, errno := unix.RawSyscall6(unix.SYS_LANDLOCK_ADD_RULE, ruleset, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0); errno != 0 {
		return 0, fmt.Errorf("landlock: a rule: %w", errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0, 0); errno != 0 {
		return 0, fmt.Errorf("landlock: %w", errno)
	}
	return abi, nil
}
