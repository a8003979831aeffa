package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ferryvmm/ferry/internal/ipc"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// The exit codes of the contract. A guest's own end has further ones, which package supervisor decides.
const (
	exitOK      = 0
	exitFailed  = 1 // error; for migrate: the guest runs at the source
	exitUsage   = 2
	exitUnknown = 3 // in doubt or lost
)

// app is one call of the command.
type app struct {
	backend
	stdin          *os.File
	stdout, stderr io.Writer
	signals        func(...os.Signal) (<-chan os.Signal, func())
	self           string // the path of this program

	json    bool // --json was given
	entered bool // a command's own code has begun: what fails from here on is no parse error
}

// exit ends the command with a code when everything has been said already.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// main runs the command line and returns the exit code.
func (a *app) main(ctx context.Context, args []string) int {
	root := a.root()
	a.builtin(root)
	root.SetArgs(args)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	ran, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if code, ok := errors.AsType[exit](err); ok {
		return int(code)
	}
	if !a.entered {
		a.json = slices.Contains(args, "--json")
		err = misused(err)
	}
	known := api.AsError(err)
	usageError := known.Code == api.CodeUsage || known.Code == api.CodeInsecure
	if usageError && known.Remedy == "" {
		known.Remedy = ran.CommandPath() + " --help"
	}
	a.failed(known)
	a.report(known)
	if usageError {
		return exitUsage
	}
	return exitFailed
}

// do makes f the work of a command.
func (a *app) do(f func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.entered = true
		return f(cmd, args)
	}
}

// usage is an error of the command line; without a remedy of its own it points to --help.
func usage(format string, args ...any) *api.Error {
	return api.Errorf(api.CodeUsage, "", format, args...)
}

// misused is an error of the parser. What a flag's value should have been is told by whoever could not read it.
func misused(err error) *api.Error {
	e := usage("%v", err)
	if f, ok := errors.AsType[ipc.Failure](err); ok {
		_, _, e.Remedy = f.Failure()
	}
	return e
}

// report tells an error: as an object on stdout with --json, else to people.
func (a *app) report(err *api.Error) {
	if a.json {
		a.emit(api.ErrorBody{Error: err})
		return
	}
	fmt.Fprintf(a.stderr, "vmm: %s\n", err.Message)
	if err.Remedy != "" {
		fmt.Fprintf(a.stderr, "try: %s\n", err.Remedy)
	}
}

// emit prints one JSON object on a line of its own, in one write.
func (a *app) emit(v any) {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("a value that is no JSON: %v", err)) // a fault in this program
	}
	a.stdout.Write(append(text, '\n')) //nolint:errcheck // nobody is left to tell
}

// note tells people something.
func (a *app) note(format string, args ...any) {
	fmt.Fprintf(a.stderr, "vmm: "+format+"\n", args...)
}

// untilSignal returns a context that a signal to end the program cancels.
func (a *app) untilSignal(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	got, stop := a.signals(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		select {
		case <-got:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		stop()
		cancel()
	}
}
