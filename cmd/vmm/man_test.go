package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// manRequest are the lines of a page that are requests.
var manRequest = regexp.MustCompile(`^\.(TH|SH|TP|PP|nf|fi|B|BR)(\s|$)`)

// TestManPages wants a page for each command, with each of its flags, and no line that could be taken for something else.
func TestManPages(t *testing.T) {
	h := newHarness(t)
	dir := t.TempDir()
	if got := h.run("man", dir); got != 0 {
		t.Fatalf("got exit %d; want 0\n%s", got, h.stderr)
	}
	commands := map[string]*cobra.Command{"vmm": newHarness(t).root()}
	for _, c := range commands["vmm"].Commands() {
		commands["vmm-"+c.Name()] = c
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != len(commands) {
		t.Errorf("got %d pages, %v; want %d", len(files), err, len(commands))
	}
	for name, c := range commands {
		text, err := os.ReadFile(filepath.Join(dir, name+".1"))
		if err != nil {
			t.Error(err)
			continue
		}
		page := string(text)
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if want := `\fB` + `\-\-` + strings.ReplaceAll(f.Name, "-", `\-`) + `\fR`; !strings.Contains(page, want) && f.Shorthand == "" {
				t.Errorf("%s: got no %s", name, want)
			}
		})
		for line := range strings.Lines(page) {
			if strings.HasPrefix(line, "'") || strings.HasPrefix(line, ".") && !manRequest.MatchString(line) {
				t.Errorf("%s: got the line %q; want no such request", name, line)
			}
		}
		for _, title := range []string{".SH NAME\n", ".SH SYNOPSIS\n", ".SH DESCRIPTION\n", ".SH SEE ALSO\n"} {
			if !strings.Contains(page, title) {
				t.Errorf("%s: got no %q", name, title)
			}
		}
	}
	h = newHarness(t)
	if got := h.run("man", filepath.Join(dir, "none")); got != 1 {
		t.Errorf("got exit %d of a folder that is not there; want 1", got)
	}
}

func TestRoff(t *testing.T) {
	if got, want := roff(".a-b\n'c\\d"), `\&.a\-b`+"\n"+`\&'c\ed`; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
	if got, want := prose("a\nb\n\n  c"), "a\nb\n.PP\n.nf\n  c\n.fi\n"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
}
