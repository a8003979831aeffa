package main

import (
	"github.com/spf13/pflag"

	"github.com/ferryvmm/ferry/vmm"
)

// trackingFlag adds --dirty-tracking and returns what tells its value.
func trackingFlag(f *pflag.FlagSet) func() vmm.Tracking {
	c := &choice{word: string(vmm.TrackAuto), among: []string{string(vmm.TrackAuto), string(vmm.TrackBitmap), string(vmm.TrackRing)}}
	f.Var(c, "dirty-tracking", "how this host logs what the guest writes while it is moved")
	return func() vmm.Tracking { return vmm.Tracking(c.word) }
}
