package rules

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// permissive are sentences by which a license that we can link is known.
var permissive = []string{
	"Apache License",
	"Permission is hereby granted, free of charge",                    // MIT
	"Permission to use, copy, modify, and/or distribute",              // ISC
	"Redistribution and use in source and binary forms, with or with", // BSD
}

// binding are those that would bind us.
var binding = []string{"Business Source License", "GNU GENERAL PUBLIC LICENSE", "GNU AFFERO", "GNU LESSER", "Server Side Public License"}

func TestOurLicense(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Apache License", "Version 2.0, January 2004", "END OF TERMS AND CONDITIONS"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("LICENSE: got no %q", want)
		}
	}
}

// TestLicensesOfWhatWeLink looks at every module that is part of the command.
func TestLicensesOfWhatWeLink(t *testing.T) {
	seen := make(map[string]bool)
	for _, p := range list(t, "-deps", "./cmd/...") {
		if p.Standard || p.Module == nil || p.Module.Path == module || seen[p.Module.Path] {
			continue
		}
		seen[p.Module.Path] = true
		if fault := licenseFault(p.Module.Dir); fault != "" {
			t.Errorf("%s: %s", p.Module.Path, fault)
		}
	}
	if len(seen) == 0 {
		t.Error("got no module linked into cmd; want at least the command-line library")
	}
}

func licenseFault(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err.Error()
	}
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		if e.IsDir() || !strings.HasPrefix(name, "LICEN") && !strings.HasPrefix(name, "COPYING") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err.Error()
		}
		text := strings.Join(strings.Fields(string(b)), " ")
		for _, sentence := range binding {
			if strings.Contains(text, sentence) {
				return "its license would bind us: " + sentence
			}
		}
		for _, sentence := range permissive {
			if strings.Contains(text, sentence) {
				return ""
			}
		}
		return "its license is not one that this test knows: " + e.Name()
	}
	return "it has no license file"
}
