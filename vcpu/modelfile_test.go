package vcpu

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/internal/kvm"
)

// file is a model's, with these further leaves and MSRs.
func file(leaves, msrs string) string {
	return `{"format":1,"cpuid":[
		{"leaf":"0x0","eax":"0x7","ebx":"0x756e6547","ecx":"0x6c65746e","edx":"0x49656e69"},
		{"leaf":"0x1","eax":"0x6fb","ebx":"0x0","ecx":"0x0","edx":"0x1"},
		{"leaf":"0x7","subleaf":"0x0","eax":"0x0","ebx":"0x0","ecx":"0x0","edx":"0x20000000"}` + leaves + `],
		"msrs":[` + msrs + `]}`
}

func leaf(n, subleaf string) string {
	if subleaf != "" {
		subleaf = fmt.Sprintf(`"subleaf":%q,`, subleaf)
	}
	return fmt.Sprintf(`,{"leaf":%q,%s"eax":"0x1","ebx":"0x0","ecx":"0x0","edx":"0x0"}`, n, subleaf)
}

func TestDecodeModel(t *testing.T) {
	got, err := DecodeModel([]byte(file(leaf("0x80000001", ""), `{"index":"0x10a","value":"0x8000000000000001"}`)))
	must(t, err)
	want := Model{
		CPUID: []kvm.CPUIDEntry{
			{Function: 0, EAX: 7, EBX: intelEBX, ECX: 0x6c65746e, EDX: 0x49656e69},
			{Function: 1, EAX: 0x6fb, EDX: 1},
			{Function: 7, Flags: kvm.CPUIDSignificantIndex, EDX: 1 << 29},
			{Function: 0x80000001, EAX: 1},
		},
		MSRs: []kvm.MSREntry{{Index: 0x10a, Data: 1<<63 | 1}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b, err := got.Encode()
	must(t, err)
	again, err := DecodeModel(b)
	must(t, err)
	if diff := cmp.Diff(got, again); diff != "" {
		t.Errorf("encoded and decoded (-want +got):\n%s", diff)
	}
	if !strings.Contains(string(b), "\n  {\"leaf\":\"0x1\",\"eax\":\"0x6fb\",\"ebx\":\"0x0\",\"ecx\":\"0x0\",\"edx\":\"0x1\"},\n") {
		t.Errorf("got\n%s\nwant a line a leaf", b)
	}
}

func TestDecodeModelRefuses(t *testing.T) {
	var many strings.Builder
	for i := range maxModelLeaves {
		many.WriteString(leaf(fmt.Sprintf("%#x", 0x80000000+i), ""))
	}
	for name, text := range map[string]string{
		"empty":              "",
		"no JSON":            "CPUID",
		"a list":             "[]",
		"no leaves":          `{"format":1,"cpuid":[],"msrs":[]}`,
		"other format":       strings.Replace(file("", ""), `"format":1`, `"format":2`, 1),
		"no format":          strings.Replace(file("", ""), `"format":1,`, "", 1),
		"unknown field":      strings.Replace(file("", ""), `"format":1`, `"format":1,"name":"x"`, 1),
		"something follows":  file("", "") + "{}",
		"cut":                file("", "")[:100],
		"a number":           strings.Replace(file("", ""), `"0x6fb"`, "1787", 1),
		"a decimal":          strings.Replace(file("", ""), `"0x6fb"`, `"1787"`, 1),
		"negative":           strings.Replace(file("", ""), `"0x6fb"`, `"-0x1"`, 1),
		"33 bits":            strings.Replace(file("", ""), `"0x6fb"`, `"0x100000000"`, 1),
		"twice":              file(leaf("0x1", ""), ""),
		"no such leaf":       file(leaf("0x20000000", ""), ""),
		"hidden":             file(leaf("0x14", "0x0"), ""),
		"subleaf missing":    file(leaf("0xd", ""), ""),
		"subleaf too many":   file(leaf("0x6", "0x0"), ""),
		"subleaf too large":  file(leaf("0xd", "0x100"), ""),
		"too many leaves":    file(many.String(), ""),
		"too large":          file("", "") + strings.Repeat(" ", MaxModelFile),
		"MSR unknown":        file("", `{"index":"0x1a0","value":"0x1"}`),
		"MSR twice":          file("", `{"index":"0x8b","value":"0x1"},{"index":"0x8b","value":"0x1"}`),
		"MSR of a feature":   file("", `{"index":"0xcf","value":"0x1"}`),
		"MSR of a vendor":    file("", `{"index":"0xc0011029","value":"0x2"}`),
		"MSR without number": file("", `{"index":"0x8b","value":""}`),
	} {
		_, err := DecodeModel([]byte(text))
		if !errors.Is(err, ErrModel) {
			t.Errorf("%s: got %v; want %v", name, err, ErrModel)
		}
	}
}

// FuzzModel wants every model that is taken to be encoded, intersected, checked and chosen without harm.
func FuzzModel(f *testing.F) {
	f.Add([]byte(file("", "")))
	f.Add([]byte(file(leaf("0xd", "0x0")+leaf("0xd", "0x3f")+leaf("0x80000008", ""), `{"index":"0x10a","value":"0x1"}`)))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeModel(b)
		if err != nil {
			if !errors.Is(err, ErrModel) {
				t.Fatalf("got an unknown error: %v", err)
			}
			return
		}
		again, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeModel(again)
		if err != nil {
			t.Fatalf("%v\n%s", err, again)
		}
		if diff := cmp.Diff(m, back); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		if err := m.Check(m); err != nil {
			t.Fatalf("it cannot offer itself: %v", err)
		}
		common, err := Intersect(m, m, m.Baseline())
		if err == nil {
			err = m.Check(common)
		}
		if err != nil && !errors.Is(err, ErrModel) {
			t.Fatalf("with its own baseline: %v", err)
		}
		if _, err := m.Choose("file", b, 3); err != nil {
			t.Fatal(err)
		}
	})
}
