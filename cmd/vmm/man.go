package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "Write the man pages of all commands to a folder",
		Long:    "Write the man pages of all commands, vmm.1 and vmm-COMMAND.1, to a folder that is there. They say what --help says.",
		Example: "  vmm man /usr/local/share/man/man1",
		Args:    takes("DIR"),
		RunE: a.do(func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			pages := append([]*cobra.Command{root}, root.Commands()...)
			for _, c := range pages {
				if c.Name() == "help" || c.Name() == "completion" { // cobra's own
					continue
				}
				name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
				if err := os.WriteFile(filepath.Join(args[0], name), []byte(manPage(c)), 0o644); err != nil {
					return api.Errorf("man", "name a folder that you may write to", "%v", err)
				}
			}
			return nil
		}),
	}
}

// manPage is the page of a command in the macros of man(7). It bears no date, so that the same program writes the same page.
func manPage(c *cobra.Command) string {
	var b strings.Builder
	section := func(title string) { fmt.Fprintf(&b, ".SH %s\n", title) }
	name := strings.ReplaceAll(c.CommandPath(), " ", "-")
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"vmm %s\" \"Ferry\"\n", strings.ToUpper(roff(name)), roff(api.Version()))
	section("NAME")
	fmt.Fprintf(&b, "%s \\- %s\n", roff(name), roff(c.Short))
	section("SYNOPSIS")
	b.WriteString(verbatim(c.UseLine()))
	section("DESCRIPTION")
	b.WriteString(prose(cmp.Or(c.Long, c.Short+".")))
	if !c.HasParent() {
		section("COMMANDS")
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(sub.Name()), roff(sub.Short))
			}
		}
	}
	if c.LocalFlags().HasAvailableFlags() {
		section("OPTIONS")
		c.LocalFlags().VisitAll(func(f *pflag.Flag) { b.WriteString(manOption(f)) })
	}
	if c.Example != "" {
		section("EXAMPLES")
		b.WriteString(verbatim(c.Example))
	}
	section("SEE ALSO")
	if c.HasParent() {
		b.WriteString(".BR vmm (1)\n")
	} else {
		b.WriteString("docs/cli.md has the formats of JSON, the API and all that scripts may rely on.\n")
	}
	return b.String()
}

// manOption is the paragraph of a flag.
func manOption(f *pflag.Flag) string {
	word, text := pflag.UnquoteUsage(f)
	head := "\\-\\-" + roff(f.Name)
	if f.Shorthand != "" {
		head = "\\-" + f.Shorthand + ", " + head
	}
	out := ".TP\n\\fB" + head + "\\fR"
	if word != "" {
		out += " \\fI" + roff(word) + "\\fR"
	}
	if d := f.DefValue; d != "" && d != "false" && d != "0" && d != "[]" && !strings.Contains(text, "(default") {
		text += " (default " + d + ")"
	}
	return out + "\n" + roff(text) + "\n"
}

// prose sets paragraphs; lines that begin with a blank stay as they are.
func prose(text string) string {
	var b strings.Builder
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			b.WriteString(".PP\n")
		}
		for line := range strings.Lines(paragraph) {
			line = strings.TrimSuffix(line, "\n")
			if strings.HasPrefix(line, " ") {
				b.WriteString(verbatim(line))
				continue
			}
			b.WriteString(roff(line) + "\n")
		}
	}
	return b.String()
}

// verbatim sets lines as they are.
func verbatim(text string) string {
	return ".nf\n" + roff(text) + "\n.fi\n"
}

// roff keeps a text from being taken for requests and escapes.
func roff(text string) string {
	lines := strings.Split(strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", "...").Replace(text), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
