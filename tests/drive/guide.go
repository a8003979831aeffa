package drive

import (
	"fmt"
	"regexp"
	"strings"
)

// Step is one block of a guide: commands for somebody at a host, or what they print.
type Step struct {
	Line   int      // of the guide, where the block begins
	Hosts  []string // "A", "B" or both
	Root   bool     // as root, else as the guide's user
	Second bool     // at another terminal than the user's first
	Output bool     // what was printed; else commands
	Text   string
}

var where = regexp.MustCompile(`^\*\*(Host A|Host B|Both hosts)(, as root|, second terminal)?\*\*$`)

// ReadGuide finds the steps of a guide in Markdown. Before a block that begins with ```sh a line says in bold at which host it is typed; a
// block that begins with ```text is what the block before it prints, or, after such a line, what the last block at the terminal that is named
// has printed in the end. Other blocks are neither.
func ReadGuide(text string) ([]Step, error) {
	var steps []Step
	var at *Step // what the last bold line said, until it is used
	var block *Step
	for i, line := range strings.Split(text, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch m := where.FindStringSubmatch(line); {
		case block != nil && isFence:
			if block.Hosts != nil {
				steps = append(steps, *block)
			}
			block = nil
		case block != nil:
			block.Text += line + "\n"
		case m != nil:
			at = &Step{Root: m[2] == ", as root", Second: m[2] == ", second terminal"}
			switch m[1] {
			case "Both hosts":
				at.Hosts = []string{"A", "B"}
			default:
				at.Hosts = []string{strings.TrimPrefix(m[1], "Host ")}
			}
		case fence == "sh" && at == nil:
			return nil, fmt.Errorf("drive: line %d of the guide: commands, and no line above says at which host", i+1)
		case fence == "text" && at == nil && len(steps) > 0:
			block = &Step{}
			*block = steps[len(steps)-1]
			block.Line, block.Output, block.Text = i+1, true, ""
		case fence == "sh", fence == "text" && at != nil:
			block, at = at, nil
			block.Line, block.Output = i+1, fence == "text"
		case isFence:
			block = &Step{}
		}
	}
	if len(steps) == 0 {
		return nil, fmt.Errorf("drive: got no steps in the guide; want some")
	}
	return steps, nil
}

// digits and spaces, and units that depend on how large a number is.
var varying = regexp.MustCompile(`[0-9]+(?:\.[0-9]+)*(?: (?:[KMG]iB|B|µs|ms|s)\b)?|\s+|…`)

// Prints says whether got is what a guide says is printed: numbers but 0 may be others, spaces more or fewer, and … stands
// for anything.
func Prints(said, got string) bool {
	var b strings.Builder
	b.WriteString(`^\s*`)
	said = strings.TrimSpace(said)
	end := 0
	for _, m := range varying.FindAllStringIndex(said, -1) {
		b.WriteString(regexp.QuoteMeta(said[end:m[0]]))
		switch v := said[m[0]:m[1]]; {
		case v == "…":
			b.WriteString(`(?s:.*)`)
		case strings.TrimSpace(v) == "":
			b.WriteString(`\s*`)
		case v == "0":
			b.WriteString(v)
		default:
			b.WriteString(`[0-9]+(?:\.[0-9]+)*(?:\s*(?:[KMG]iB|B|µs|ms|s)\b)?`)
		}
		end = m[1]
	}
	b.WriteString(regexp.QuoteMeta(said[end:]) + `\s*$`)
	return regexp.MustCompile(b.String()).MatchString(got)
}
