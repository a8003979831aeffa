package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// The groups of commands in the help.
const (
	groupStart = "start"
	groupMove  = "move"
	groupCare  = "care"
)

// root returns the command tree. What is not built is not in it.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "vmm",
		Short:         "Run guests under KVM and move them to another host while they run",
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return usage("no command given")
		},
	}
	root.AddGroup(
		&cobra.Group{ID: groupStart, Title: "Start a guest:"},
		&cobra.Group{ID: groupMove, Title: "Move or keep a guest:"},
		&cobra.Group{ID: groupCare, Title: "Look after guests:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			c.Flags().SortFlags = false
			c.DisableFlagsInUseLine = true
			root.AddCommand(c)
		}
	}
	add(groupStart, a.runCommand(), a.inspectCommand(), a.receiveCommand(), a.restoreCommand(), a.adoptCommand(), a.demoCommand())
	add(groupMove, a.migrateCommand(), a.snapshotCommand(), a.certsCommand())
	add(groupCare, a.psCommand(), a.infoCommand(), a.topCommand(), a.eventsCommand(), a.dirtyRateCommand(), a.balloonCommand(), a.pauseCommand(), a.resumeCommand(),
		a.stopCommand(), a.killCommand(), a.consoleCommand(), a.logsCommand(), a.doctorCommand(), a.cpuCommand(), a.manCommand(), a.versionCommand())
	return root
}

// builtin has cobra's own commands refuse what they do not know, as all others do.
func (a *app) builtin(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Args = func(_ *cobra.Command, args []string) error {
				_, rest, err := root.Find(args)
				if err == nil && len(rest) > 0 {
					err = fmt.Errorf("there is no command %q", strings.Join(args, " "))
				}
				return err
			}
		case "completion":
			c.RunE = a.do(func(*cobra.Command, []string) error {
				return usage("vmm completion needs a shell: bash, fish, powershell or zsh")
			})
		}
	}
}

// takes wants exactly the named arguments.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == len(names):
			return nil
		case len(args) < len(names):
			return fmt.Errorf("%s needs %s", cmd.CommandPath(), strings.Join(names[len(args):], " and "))
		}
		return fmt.Errorf("%s: unexpected argument %q", cmd.CommandPath(), args[len(names)])
	}
}

// completeName offers the names of machines for the first argument.
func (a *app) completeName(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if len(args) == 0 {
		if dir, err := a.dir(); err == nil {
			machines, _ := a.list(dir) // completion has no place for an error
			for _, m := range machines {
				names = append(names, m.Name)
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// jsonFlag adds --json to a command.
func (a *app) jsonFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.json, "json", false, "print JSON objects, one a line, and nothing else on stdout")
}
