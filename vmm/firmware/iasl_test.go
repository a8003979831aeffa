package firmware_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCompilerReadsThem gives the tables to ACPICA's compiler, whose parser is
// the one in Linux: it must take them apart and, of the DSDT, put what it read
// together again.
func TestCompilerReadsThem(t *testing.T) {
	if _, err := exec.LookPath("iasl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("iasl is required here: tests/install-deps")
		}
		t.Skip("needs iasl, of Debian's acpica-tools")
	}
	dir := t.TempDir()
	iasl := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("iasl", args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("iasl %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	for name, table := range tables(t, write(t, example())) {
		file := strings.ToLower(name) + ".dat"
		if err := os.WriteFile(filepath.Join(dir, file), table, 0o644); err != nil {
			t.Fatal(err)
		}
		out := iasl("-d", file)
		for _, bad := range []string{"Error", "Warning", "Invalid", "Could not"} {
			if strings.Contains(out, bad) {
				t.Errorf("%s: got %q from the disassembler\n%s", name, bad, out)
			}
		}
	}
	source, err := os.ReadFile(filepath.Join(dir, "dsdt.dsl"))
	if err != nil {
		t.Fatal(err)
	}
	if out := iasl("-tc", "dsdt.dsl"); !strings.Contains(out, "0 Errors, 0 Warnings") {
		t.Errorf("the compiler says\n%s\nof\n%s", out, source)
	}
	text := string(source)
	for _, want := range []string{
		`EisaId ("PNP0501")`, `EisaId ("PNP0B00")`, `EisaId ("PNP0C0C")`, `"ACPI0013"`, `Notify (\_SB.PWRB, 0x80)`,
		"OperationRegion (EVTR, SystemIO, 0x0604, 0x04)", "Field (EVTR, DWordAcc, NoLock, Preserve)", "Local0 = EVTS",
		"Method (_EVT, 1, Serialized)", "If ((Local0 & One))", "Name (_S5, Package (0x04)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the DSDT lacks %s", want)
		}
	}
	for i, d := range example().Devices {
		for _, want := range []string{fmt.Sprintf("Device (VR%02X)", i), fmt.Sprintf("0x%08X,         // Address Base", d.Base), fmt.Sprintf("0x%08X,\n", d.GSI)} {
			if !strings.Contains(text, want) {
				t.Errorf("device %d: the DSDT lacks %q", i, want)
			}
		}
	}
}
