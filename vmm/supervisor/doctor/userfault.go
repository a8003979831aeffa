package doctor

import (
	"errors"
	"os"
)

// userfault looks at userfaultfd: err is what making one gave.
func userfault(err error) Finding {
	f := Finding{Check: "userfaultfd", Level: Note}
	switch {
	case err == nil:
		f.Level, f.Text = OK, "userfaultfd works: guests can be received while their memory is still at the source (postcopy, hybrid)"
	case errors.Is(err, os.ErrPermission):
		f.Text = "/dev/userfaultfd may not be opened by this user: guests are received by precopy and stopcopy only"
		f.Remedy = "chgrp kvm /dev/userfaultfd && chmod 660 /dev/userfaultfd, by a udev rule for it to last"
	case errors.Is(err, os.ErrNotExist):
		f.Text = "this kernel has no /dev/userfaultfd: guests are received by precopy and stopcopy only"
		f.Remedy = "use Linux 6.1 or later with CONFIG_USERFAULTFD"
	default:
		f.Text, f.Remedy = "guests are received by precopy and stopcopy only: "+err.Error(), "use Linux 6.1 or later with CONFIG_USERFAULTFD"
	}
	return f
}
