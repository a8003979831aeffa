package doctor

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vcpu"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// model is a CPU whose only features are these bits of leaf 7, EBX.
func model(features uint32) vcpu.Model {
	return vcpu.Model{CPUID: []kvm.CPUIDEntry{
		{Function: 0, EAX: 7, EBX: 0x756e6547, ECX: 0x6c65746e, EDX: 0x49656e69},
		{Function: 1, EAX: 0x60fb1, EDX: 1},
		{Function: 7, Flags: 1, EBX: features},
	}}
}

func offered(t testing.TB, cpu vcpu.Model, change func(*Offer)) []byte {
	t.Helper()
	o := Offer{Program: "v1", FreeBytes: 1 << 30}
	var err error
	if o.CPU, err = cpu.Encode(); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&o)
	}
	b, err := o.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPeer(t *testing.T) {
	own := model(3)
	small := []api.Machine{{Name: "alpha", MemoryBytes: 512 << 20}, {Name: "receive-1"}}
	for name, tc := range map[string]struct {
		offer  []byte
		err    error
		own    vcpu.Model
		guests []api.Machine
		ok     bool
		says   string
	}{
		"all well":    {offered(t, own, nil), nil, own, small, true, "alpha, with 512 MiB, fits"},
		"unreachable": {nil, api.Errorf(api.CodeUnreachable, "start one", "nobody \x1b[2J there"), own, nil, false, `nobody \x1b[2J there`},
		"nonsense":    {[]byte("{"), nil, own, nil, false, "makes no sense"},
		"no CPU":      {[]byte(`{"cpu":{}}`), nil, own, nil, false, "makes no sense"},
		"busy":        {offered(t, own, func(o *Offer) { o.Busy = true }), nil, own, nil, false, "vmm receive"},
		"no pull":     {offered(t, own, func(o *Offer) { o.NoPull = "none\n" }), nil, own, nil, true, `none\n`},
		"full":        {offered(t, own, func(o *Offer) { o.FreeBytes = 1 << 20 }), nil, own, small, false, "alpha does not fit"},
		"lesser CPU":  {offered(t, model(1), nil), nil, own, nil, true, "--cpu both.json"},
		"unknown CPU": {offered(t, own, nil), nil, vcpu.Model{}, nil, false, "not known"},
	} {
		r := Report{Findings: Peer("tcp:h:1", tc.offer, tc.err, tc.own, tc.guests)}
		if r.OK() != tc.ok {
			t.Errorf("%s: got %v; want %v: %+v", name, r.OK(), tc.ok, r.Findings)
		}
		var said strings.Builder
		for _, f := range r.Findings {
			said.WriteString(f.Text + "\n" + f.Remedy + "\n")
		}
		if !strings.Contains(said.String(), tc.says) {
			t.Errorf("%s: got no %q in\n%s", name, tc.says, &said)
		}
	}
	other := model(3)
	other.CPUID[0].EBX = 0x68747541 // another vendor's
	if r := (Report{Findings: Peer("tcp:h:1", offered(t, other, nil), nil, own, nil)}); r.OK() {
		t.Errorf("got %+v of another vendor's CPU; want it refused", r.Findings)
	}
}

func TestOfferOfANewerPeer(t *testing.T) {
	b := offered(t, model(1), nil)
	var all map[string]any
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	all["later"] = 7
	b, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if o, _, err := DecodeOffer(b); err != nil || o.Program != "v1" {
		t.Errorf("got %+v, %v; want what is known of it", o, err)
	}
	if _, err := (Offer{CPU: []byte("{}"), NoPull: strings.Repeat("x", migration.MaxOffer)}).Encode(); err == nil {
		t.Error("got an offer beyond the limit; want an error")
	}
}

func FuzzOffer(f *testing.F) {
	f.Add(offered(f, model(3), nil))
	f.Add([]byte(`{"cpu":{"format":1},"free_bytes":-1}`))
	own := model(1)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, finding := range Peer("tcp:h:1", b, nil, own, []api.Machine{{Name: "a", MemoryBytes: 1}}) {
			if finding.Text == "" || strings.ContainsFunc(finding.Text, func(r rune) bool { return r < ' ' }) {
				t.Errorf("got %+v; want words that a terminal prints", finding)
			}
		}
	})
}
