package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// component is a part of the house: a folder and what is below it, except
// what is a component of its own.
type component struct {
	path  string
	layer int  // imports go to a lower layer only, or stay inside
	later bool // not built yet
}

// house is the order of ARCHITECTURE.md, lowest first.
var house = []component{
	{path: "internal", layer: 0},
	{path: "guestmem", layer: 1},
	{path: "guests", layer: 2},
	{path: "vcpu", layer: 2},
	{path: "devices", layer: 2},
	{path: "migration", layer: 2},
	{path: "netmig", layer: 3}, // data: what a network device is, and where it is connected
	{path: "vmm", layer: 4},
	{path: "netmig/link", layer: 4}, // the half with netlink, for the supervisor only
	{path: "vmm/supervisor", layer: 5},
	{path: "client", layer: 6}, // for other programs
	{path: "cmd", layer: 6},
	{path: "tests", layer: 7},
}

// never are imports that stay forbidden through any number of steps.
var never = []struct{ from, to, reason string }{
	{"migration", module + "/devices", "a move knows machines only through small interfaces"},
	{"migration", module + "/vcpu", "a move knows machines only through small interfaces"},
	{"migration", module + "/vmm", "a move knows machines only through small interfaces"},
	{"netmig", "github.com/vishvananda", "the machine imports it, and netlink is the supervisor's"},
	{"devices", module + "/migration", "a device only saves and restores itself"},
	{"vmm", module + "/internal/lab", "the machine is confined: no laboratory in it"},
	{"vmm", "github.com/spf13/cobra", "the machine has no command line"},
	{"vmm", "github.com/spf13/pflag", "the machine has no command line"},
	{"vmm", "github.com/schollz/progressbar", "the machine has no command line"},
	{"vmm", "github.com/prometheus", "the machine has no metrics"},
	{"vmm", "gonum.org", "the machine has no plots"},
	{"vmm", "github.com/vishvananda", "netlink is the supervisor's"},
	{"vmm", "net/http", "the API is the supervisor's"},
	{"vmm", "crypto/tls", "keys and certificates are the supervisor's: the machine has those of its connections"},
	{"cmd", "html/template", "it keeps every method of the program in the binary, which is every machine's: internal/markup writes pages"},
	{"client", "golang.org/x", "who imports it gets nothing else along"},
	{"client", "github.com/vishvananda", "who imports it gets nothing else along"},
	{"client", module + "/internal", "who imports it gets nothing else along"},
	{"client", module + "/migration", "who imports it gets nothing else along"},
}

// componentOf returns the component that an import path of ours belongs to.
func componentOf(path string) (component, bool) {
	rel, ours := strings.CutPrefix(path, module+"/")
	if !ours {
		return component{}, false
	}
	best := component{layer: -1}
	for _, c := range house {
		if under(rel, c.path) && len(c.path) > len(best.path) {
			best = c
		}
	}
	return best, true
}

// under says whether path is dir or below it.
func under(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, dir+"/")
}

// violations lists what is wrong with the imports of some packages.
func violations(pkgs []listed) []string {
	var bad []string
	for _, p := range pkgs {
		from, ours := componentOf(p.ImportPath)
		if !ours {
			continue
		}
		if from.layer < 0 {
			bad = append(bad, fmt.Sprintf("%s is in no part of the house", p.ImportPath))
			continue
		}
		for _, imp := range p.Imports {
			to, ours := componentOf(imp)
			if ours && to.path != from.path && to.layer >= from.layer {
				bad = append(bad, fmt.Sprintf("%s imports %s: imports point from %s down, never to %s", p.ImportPath, imp, from.path, to.path))
			}
		}
		for _, rule := range never {
			if from.path != rule.from {
				continue
			}
			for _, dep := range p.Deps {
				if under(dep, rule.to) {
					bad = append(bad, fmt.Sprintf("%s reaches %s: %s", p.ImportPath, dep, rule.reason))
				}
			}
		}
	}
	slices.Sort(bad)
	return bad
}

func TestImportsPointDown(t *testing.T) {
	pkgs := list(t, "./...")
	for _, bad := range violations(pkgs) {
		t.Error(bad)
	}
	for _, c := range house {
		exists := slices.ContainsFunc(pkgs, func(p listed) bool {
			of, _ := componentOf(p.ImportPath)
			return of.path == c.path
		})
		if exists == c.later {
			t.Errorf("%s: got it there %v; want %v (is the table right?)", c.path, exists, !c.later)
		}
	}
}

func TestViolations(t *testing.T) {
	pkg := func(path string, imports ...string) listed {
		p := listed{ImportPath: module + "/" + path}
		for _, i := range imports {
			if !strings.Contains(i, ".") && i != "net/http" {
				i = module + "/" + i
			}
			p.Imports = append(p.Imports, i)
		}
		p.Deps = p.Imports
		return p
	}
	tests := []struct {
		name string
		pkg  listed
		want []string
	}{
		{"down", pkg("vmm", "migration", "devices/serial", "guestmem", "internal/kvm"), nil},
		{"inside", pkg("devices/serial", "devices"), nil},
		{"up", pkg("guestmem", "vcpu"), []string{module + "/guestmem imports " + module + "/vcpu: imports point from guestmem down, never to vcpu"}},
		{"beside", pkg("vcpu", "devices"), []string{module + "/vcpu imports " + module + "/devices: imports point from vcpu down, never to devices"}},
		{"to the supervisor", pkg("vmm", "vmm/supervisor/api"), []string{module + "/vmm imports " + module + "/vmm/supervisor/api: imports point from vmm down, never to vmm/supervisor"}},
		{"foreign", pkg("vmm/boot", "github.com/spf13/cobra"), []string{module + "/vmm/boot reaches github.com/spf13/cobra: the machine has no command line"}},
		{"the supervisor may", pkg("vmm/supervisor", "net/http", "vmm", "netmig/link"), nil},
		{"network data", pkg("vmm", "netmig"), nil},
		{"network links", pkg("vmm", "netmig/link"), []string{module + "/vmm imports " + module + "/netmig/link: imports point from vmm down, never to netmig/link"}},
		{"homeless", pkg("util"), []string{module + "/util is in no part of the house"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, violations([]listed{tt.pkg})); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

// TestGokvmStaysInside keeps gokvm's KVM package, of which only the constants
// and some structs are sound, behind internal/kvm.
func TestGokvmStaysInside(t *testing.T) {
	for _, s := range sources(t) {
		for _, imp := range s.file.Imports {
			if strings.Contains(imp.Path.Value, "bobuhiro11/gokvm") && !under(s.path, "internal/kvm") {
				t.Errorf("%s imports %s; want it in internal/kvm only", s.path, imp.Path.Value)
			}
		}
	}
}
