package doctor

import (
	"fmt"
	"strconv"

	"github.com/ferryvmm/ferry/vcpu"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// Peer says whether the host at address, which offers this, can take guests of a host whose CPU is own, and each of those that run there. If
// it could not be asked, err says why.
func Peer(address string, offer []byte, err error, own vcpu.Model, guests []api.Machine) []Finding {
	f := Finding{Check: "peer", Level: Bad}
	if err != nil {
		known := api.AsError(err)
		f.Text, f.Remedy = "the peer cannot be asked: "+printable(known.Message), printable(known.Remedy)
		return []Finding{f}
	}
	o, cpu, err := DecodeOffer(offer)
	if err != nil {
		f.Text, f.Remedy = "what the peer says makes no sense: "+printable(err.Error()), "use vmm of the same version on both hosts"
		return []Finding{f}
	}
	f.Level, f.Text = OK, fmt.Sprintf("%s listens, with vmm %s and %d MiB for guests", address, printable(o.Program), o.FreeBytes>>20)
	if o.Busy {
		f.Level, f.Text, f.Remedy = Bad, address+" is taking in a guest, or has one already", "start another there: vmm receive --listen tcp:HOST:PORT"
	}
	all := []Finding{f, peerCPU(cpu, own), peerPull(o.NoPull)}
	for _, g := range guests {
		if g.MemoryBytes > 0 {
			all = append(all, peerRoom(g, o))
		}
	}
	return all
}

// peerCPU compares the CPUs of both hosts.
func peerCPU(there, own vcpu.Model) Finding {
	f := Finding{Check: "peer_cpu", Level: OK, Text: "the peer's CPU can do all that guests have here"}
	if own.CPUID == nil {
		return Finding{Check: "peer_cpu", Level: Bad, Text: "this host's CPU is not known, so that the peer's cannot be compared with it", Remedy: "see kvm and cpu above"}
	}
	err := there.Check(own)
	if err == nil {
		return f
	}
	if there.Check(own.Baseline()) == nil {
		f.Level, f.Text = Note, "the peer can take guests with --cpu baseline, but not those with --cpu host: "+printable(err.Error())
		f.Remedy = "vmm cpu > HOST.json on both hosts, vmm cpu *.json > both.json, then run guests with --cpu both.json"
		return f
	}
	f.Level, f.Text, f.Remedy = Bad, "the peer can take no guest of this host: "+printable(err.Error()), "make groups of hosts among which guests can move: vmm cpu"
	return f
}

// peerPull says whether the peer can pull pages.
func peerPull(why string) Finding {
	if why != "" {
		return Finding{Check: "peer_pull", Level: Note, Text: "the peer can only be sent guests by precopy and stopcopy: " + printable(why), Remedy: "run vmm doctor there"}
	}
	return Finding{Check: "peer_pull", Level: OK, Text: "the peer can be sent guests in every mode"}
}

// peerRoom says whether a guest that runs here fits.
func peerRoom(g api.Machine, o Offer) Finding {
	f := Finding{Check: "peer_room", Level: OK, Text: fmt.Sprintf("%s, with %d MiB, fits", g.Name, g.MemoryBytes>>20)}
	if o.FreeBytes > 0 && g.MemoryBytes > o.FreeBytes {
		f.Level, f.Text = Bad, fmt.Sprintf("%s does not fit: it has %d MiB, the peer %d", g.Name, g.MemoryBytes>>20, o.FreeBytes>>20)
		f.Remedy = "free some memory there, or choose another host"
	}
	return f
}

// printable keeps what a peer says from being obeyed by a terminal.
func printable(s string) string {
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}
