// Command soak moves one busy guest back and forth between two hosts and
// verifies every page of it. Its last line on stdout is one JSON object; it
// ends with 0 only if nothing was counted wrong.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/ferryvmm/ferry/guests/linux"
	"github.com/ferryvmm/ferry/tests/drive"
)

func main() {
	vmm := flag.String("vmm", "bin/vmm", "the command to test, a `file`")
	moves := flag.Int("moves", 200, "how often the guest is moved")
	modes := flag.String("modes", "", "the `modes` of the moves, in turn; by default those that fit the guest")
	guest := flag.String("guest", "loadgen", "the guest: loadgen, or linux under echo and disk load, or net or netlinux: the same two, answering a client all the time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	summary, err := soak(ctx, *guest, drive.SoakConfig{Vmm: *vmm, Moves: *moves, Modes: list(*modes), Log: os.Stderr})
	text, jsonErr := json.Marshal(summary)
	if jsonErr != nil {
		panic(jsonErr) // a struct of numbers
	}
	fmt.Println(string(text))
	if err != nil {
		fmt.Fprintf(os.Stderr, "soak: %v\n", err)
		os.Exit(1)
	}
}

// list is what commas part.
func list(modes string) []string {
	if modes == "" {
		return nil
	}
	return strings.Split(modes, ",")
}

// soak moves the guest of that name; its summary is for JSON.
func soak(ctx context.Context, guest string, c drive.SoakConfig) (any, error) {
	switch guest {
	case "loadgen":
		return drive.Soak(ctx, c)
	case "net":
		return drive.SoakNet(ctx, c)
	case "linux", "netlinux":
		g, err := linux.Find(ctx, linux.Fast)
		if err != nil {
			return drive.LinuxSummary{}, err
		}
		if guest == "netlinux" {
			return drive.SoakNetLinux(ctx, c, g)
		}
		return drive.SoakLinux(ctx, c, g)
	}
	return drive.SoakSummary{}, fmt.Errorf("there is no guest %q", guest)
}
