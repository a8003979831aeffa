package main

import (
	"strings"
	"testing"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
	"github.com/ferryvmm/ferry/vmm/supervisor/doctor"
)

func TestDoctor(t *testing.T) {
	good := doctor.Finding{Check: "kvm", Level: doctor.OK, Text: "it works"}
	note := doctor.Finding{Check: "tap", Level: doctor.Note, Text: "no network", Remedy: "modprobe tun"}
	bad := doctor.Finding{Check: "cpu", Level: doctor.Bad, Text: "none", Remedy: "another host"}
	for _, tc := range []struct {
		found []doctor.Finding
		code  int
		says  []string
	}{
		{[]doctor.Finding{good, note}, 0, []string{"ok    kvm           it works\n", "note  tap           no network\n", "try: modprobe tun\n", "Guests can run here."}},
		{[]doctor.Finding{good, bad}, 1, []string{"BAD   cpu           none\n", "Something stands in the way"}},
	} {
		h := newHarness(t)
		h.found.Findings = tc.found
		if got := h.run("doctor"); got != tc.code {
			t.Errorf("%+v: got exit %d; want %d", tc.found, got, tc.code)
		}
		for _, want := range tc.says {
			if !strings.Contains(h.stdout.String(), want) {
				t.Errorf("got no %q in\n%s", want, h.stdout)
			}
		}
		h = newHarness(t)
		h.found.Findings = tc.found
		if got := h.run("doctor", "--json"); got != tc.code {
			t.Errorf("%+v: got exit %d with --json; want %d", tc.found, got, tc.code)
		}
		if all := h.objects(); len(all) != 1 || all[0]["ok"] != (tc.code == 0) || len(all[0]["findings"].([]any)) != len(tc.found) {
			t.Errorf("got %v; want one object with the findings", all)
		}
	}
}

func TestDoctorPeer(t *testing.T) {
	h := newHarness(t)
	h.failure = api.Errorf(api.CodeUnreachable, "start one there", "no receiver")
	if got := h.run("doctor", "--peer", "tcp:127.0.0.1:4444"); got != 1 || !strings.Contains(h.stdout.String(), "no receiver") {
		t.Errorf("got exit %d; want 1, and why\n%s", got, h.stdout)
	}
	if len(h.calls) != 1 || h.calls[0] != "tcp:127.0.0.1:4444" {
		t.Errorf("got %v asked; want the peer", h.calls)
	}
	for _, args := range [][]string{{"--peer", "tcp:192.0.2.1:4"}, {"--peer", "unix:/x", "--insecure"}, {"--peer", "x"}, {"--peer", "tcp::0", "--insecure"}, {"alpha"}} {
		h := newHarness(t)
		if got := h.run(append([]string{"doctor"}, args...)...); got != 2 || h.calls != nil {
			t.Errorf("%v: got exit %d, %v asked; want 2 and nobody", args, got, h.calls)
		}
	}
}
