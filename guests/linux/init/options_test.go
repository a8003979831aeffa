package main

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// values lets cmp look into what has no exported fields.
var values = cmp.Options{
	cmp.AllowUnexported(options{}, address{}, diskOption{}, memoryOption{}),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
}

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		cmdline string
		want    options
	}{
		{"", options{login: true}},
		{"console=ttyS0 panic=-1 virtio_mmio.device=4K@0xfea00000:5\n", options{login: true}},
		{"ferry.ip=10.0.0.2/24", options{login: true, addresses: []address{{prefix: netip.MustParsePrefix("10.0.0.2/24")}}}},
		{"ferry.ip=10.0.0.2/24,10.0.0.1 ferry.ip=fd00::2/64,fd00::1", options{login: true, addresses: []address{
			{netip.MustParsePrefix("10.0.0.2/24"), netip.MustParseAddr("10.0.0.1")},
			{netip.MustParsePrefix("fd00::2/64"), netip.MustParseAddr("fd00::1")},
		}}},
		{"ferry.disk=vda", options{disks: []diskOption{{"vda", 256, 1}}}},
		{"ferry.disk=vda,8 ferry.disk=vdb,16,4", options{disks: []diskOption{{"vda", 8, 1}, {"vdb", 16, 4}}}},
		{"ferry.mem=8", options{memory: memoryOption{8, 16}}},
		{"ferry.mem=8,0", options{memory: memoryOption{8, 0}}},
		{"ferry.heartbeat=20", options{heartbeat: 20 * time.Millisecond}},
		{"ferry.heartbeat=20 ferry.login=yes", options{heartbeat: 20 * time.Millisecond, login: true}},
		{"ferry.vsock=7", options{login: true, vsock: 7}},
		{"ferry.login=no", options{}},
	} {
		got, err := parseOptions(tt.cmdline)
		if diff := cmp.Diff(tt.want, got, values); diff != "" || err != nil {
			t.Errorf("%q: got error %v and (-want +got):\n%s", tt.cmdline, err, diff)
		}
	}
}

func TestWordsNotUnderstoodHaveNoEffectButAnError(t *testing.T) {
	for _, word := range []string{
		"ferry.", "ferry.ip", "ferry.ip=", "ferry.ip=10.0.0.2", "ferry.ip=10.0.0.2/33", "ferry.ip=10.0.0.2/24,",
		"ferry.ip=10.0.0.2/24,fd00::1", "ferry.ip=fd00::2/64,fe80::1%eth0",
		"ferry.disk=", "ferry.disk=../mem", "ferry.disk=vda,", "ferry.disk=vda,0", "ferry.disk=vda,65537", "ferry.disk=vda,1,17",
		"ferry.disk=vda,1,1,1", "ferry.disk=vda,-1",
		"ferry.mem=0", "ferry.mem=-1", "ferry.mem=8,", "ferry.mem=8,x", "ferry.heartbeat=0", "ferry.heartbeat=99999999",
		"ferry.vsock=", "ferry.vsock=0", "ferry.vsock=4294967295",
		"ferry.login", "ferry.login=maybe", "ferry.unknown=1",
	} {
		got, err := parseOptions(word)
		if !errors.Is(err, errOption) {
			t.Errorf("%q: got %v; want errOption", word, err)
		}
		if diff := cmp.Diff(options{login: true}, got, values); diff != "" {
			t.Errorf("%q: got an effect (-none +got):\n%s", word, diff)
		}
	}
	got, err := parseOptions("ferry.mem=x ferry.disk=vda ferry.nothing")
	if diff := cmp.Diff(options{disks: []diskOption{{"vda", 256, 1}}}, got, values); diff != "" || !errors.Is(err, errOption) {
		t.Errorf("one word right of three: got error %v and (-want +got):\n%s", err, diff)
	}
}

func FuzzOptions(f *testing.F) {
	f.Add("ferry.ip=10.0.0.2/24,10.0.0.1 ferry.disk=vda,8,2 ferry.mem=8,1 ferry.heartbeat=20 ferry.login=no")
	f.Fuzz(func(t *testing.T, cmdline string) {
		o, _ := parseOptions(cmdline)
		for _, d := range o.disks {
			if d.slots < 1 || d.slots > maxSlots || d.writers < 1 || d.writers > maxWriters {
				t.Errorf("got %+v beyond the limits", d)
			}
		}
		for _, a := range o.addresses {
			if !a.prefix.IsValid() {
				t.Errorf("got %+v; want a valid prefix", a)
			}
		}
		if o.memory.mib < 0 || o.memory.mib > maxMiB || o.heartbeat < 0 {
			t.Errorf("got %+v beyond the limits", o)
		}
	})
}
