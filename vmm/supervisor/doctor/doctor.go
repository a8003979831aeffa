// Package doctor looks at a host and says in plain words what it can do for guests, what it lacks, and what to type about that. It changes
// nothing. A check is a function of what it looks at, so that a test can make each of them fail; [Examine] gives them the host.
package doctor

import (
	"os"
	"runtime"

	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/internal/uffd"
	"github.com/ferryvmm/ferry/internal/uring"
	"github.com/ferryvmm/ferry/vcpu"
)

// Level is how much a finding matters.
type Level string

// The levels.
const (
	OK   Level = "ok"   // as it should be
	Note Level = "note" // guests run, but something is not to be had, or slow
	Bad  Level = "bad"  // guests cannot run here, or the peer cannot take them
)

// Finding is what one check found.
type Finding struct {
	Check  string `json:"check"` // its name, a word
	Level  Level  `json:"level"`
	Text   string `json:"text"`             // what is so
	Remedy string `json:"remedy,omitempty"` // what to do or type about it
}

// Report is what was found.
type Report struct {
	Findings []Finding `json:"findings"`
}

// OK says whether guests can run here and, if one was asked, the peer can take them.
func (r Report) OK() bool {
	for _, f := range r.Findings {
		if f.Level == Bad {
			return false
		}
	}
	return true
}

// Examine looks at this host. dir is the state folder. With its findings comes the CPU that guests can have here, for [Peer]; the zero
// Model if KVM cannot be asked.
func Examine(dir string) (Report, vcpu.Model) {
	var r Report
	var model vcpu.Model
	add := func(f ...Finding) { r.Findings = append(r.Findings, f...) }
	sys, err := kvm.Open()
	add(kvmDevice(err, read("/proc/cpuinfo")))
	if err == nil {
		defer sys.Close()
		add(kind(sys.Pace()))
		add(capabilities(func(c kvm.Cap) (kvm.Support, int) { return sys.Probe(c) }))
		var cpuErr error
		model, cpuErr = vcpu.HostModel(sys, 1)
		add(cpu(model, cpuErr))
		add(clock(read("/sys/devices/system/clocksource/clocksource0/current_clocksource"), func(c kvm.Cap) (kvm.Support, int) { return sys.Probe(c) }))
	}
	add(userfault(openUserfault()))
	add(iouring(tryRing()))
	add(memlock(memlockLimit()))
	add(tap(openTun(), netAdmin()))
	add(hugePages(read("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"), read("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")))
	add(threads(runtime.NumCPU()))
	add(stateFolder(dir, tryFolder(dir)))
	return r, model
}

// read is the content of a small file of the kernel; empty if there is none.
func read(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(b)
}

func openUserfault() error {
	f, err := uffd.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	u, err := uffd.New(f, false)
	if err != nil {
		return err
	}
	return u.Close()
}

func tryRing() error {
	r, err := uring.New(8)
	if err != nil {
		return err
	}
	return r.Close()
}
