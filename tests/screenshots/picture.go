package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/ferryvmm/ferry/internal/chart"
	"github.com/ferryvmm/ferry/internal/markup"
	"github.com/ferryvmm/ferry/tests/chromium"
)

// folder of the pictures.
const folder = "docs"

// picture is one of docs/.
type picture struct {
	Name  string
	Input string // the golden file that it shows
	chromium.View
}

const (
	moved    = "cmd/vmm/report/testdata/precopy.html"
	pulled   = "cmd/vmm/report/testdata/hybrid.html"
	terminal = "cmd/vmm/testdata/migrate.terminal"
)

// pictures are all of them: both widths, both schemes, a move that pushes and one that pulls, and the terminal.
var pictures = []picture{
	{"report-light.png", moved, chromium.View{Width: 1080, Height: 1890}},
	{"report-dark.png", pulled, chromium.View{Width: 1080, Height: 1890, Dark: true}},
	{"report-phone-light.png", pulled, chromium.View{Width: 390, Height: 1700}},
	{"report-phone-dark.png", moved, chromium.View{Width: 390, Height: 1700, Dark: true}},
	{"migrate-terminal.png", terminal, chromium.View{Width: 1120, Height: 206, Dark: true}},
}

// page is the document that the browser is to show.
func (p picture) page(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, p.Input))
	if err != nil {
		return "", err
	}
	if !strings.HasSuffix(p.Input, ".terminal") {
		return string(text), nil
	}
	command := "vmm migrate web tcp:192.0.2.7:4444 --mode precopy --downtime-limit 8ms --bandwidth 600M --channels 2 --insecure"
	var w markup.Writer
	w.Markup(`<!DOCTYPE html><meta charset="utf-8"><style>` + chart.Style + terminalStyle + "</style>")
	w.Element("pre", "$ "+command+"\n"+settle(string(text))+"$ ")
	return string(w.Done()), nil
}

const terminalStyle = `
body{margin:0;background:#12171e;color:#e6ebf1}pre{margin:0;padding:18px 22px;font:13px/1.55 "DejaVu Sans Mono",monospace}`

// settle is what stands on a terminal that was written to: a carriage return goes back to the line's beginning, and CSI K erases what is behind it.
func settle(written string) string {
	var lines []string
	for line := range strings.SplitSeq(written, "\n") {
		var shown []rune
		at := 0
		for rest := []rune(line); len(rest) > 0; {
			switch {
			case rest[0] == '\r':
				at, rest = 0, rest[1:]
			case strings.HasPrefix(string(rest), "\x1b[K"):
				shown, rest = shown[:min(at, len(shown))], rest[3:]
			default:
				shown = append(shown[:at], append([]rune{rest[0]}, shown[min(at+1, len(shown)):]...)...)
				at, rest = at+1, rest[1:]
			}
		}
		lines = append(lines, string(shown))
	}
	return strings.Join(lines, "\n")
}

// folded is what pages do not show until they are asked to.
var folded = regexp.MustCompile(`(?s)<summary>The result.*</details>`)

// fact is what a sum is taken of.
func (p picture) fact(root string) (string, error) {
	page, err := p.page(root)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%+v\n%s", p.View, folded.ReplaceAllString(page, "")), nil
}
