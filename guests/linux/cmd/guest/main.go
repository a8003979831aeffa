// Command guest builds the Linux guest, if it is not in the cache, and prints the paths of vmlinux and initramfs of
// the variant fast on the last two lines of its output. With -all it builds the variant full, too, and prints its
// paths first. A file cmdline beside each vmlinux holds the line that the kernel needs.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/guests/linux"
)

func main() {
	all := flag.Bool("all", false, "build every variant")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	variants := []linux.Variant{linux.Fast}
	if *all {
		variants = []linux.Variant{linux.Full, linux.Fast}
	}
	for _, v := range variants {
		g, err := linux.Build(ctx, v, os.Stderr)
		if err != nil {
			fmt.Fprintln(os.Stderr, "guest:", err)
			os.Exit(1)
		}
		fmt.Printf("%s\n%s\n", g.Kernel, g.Initramfs)
	}
}
