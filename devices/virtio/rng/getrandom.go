package rng

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// getrandom fills p from the kernel's generator, which is as good after a host's
// early boot as it ever gets; a hypervisor is not started before that.
func getrandom(p []byte) error {
	for len(p) > 0 {
		n, err := unix.Getrandom(p, unix.GRND_NONBLOCK)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("getrandom: %w", err)
		}
		p = p[max(n, 0):]
	}
	return nil
}
