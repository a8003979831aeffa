// Command screenshots draws the pictures of docs/ in a headless browser: the report of a recorded move, and what vmm migrate shows on a terminal. Their
// inputs are golden files, and beside the pictures stands from which of them they were made, so that a test knows when they are out of date.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/ferryvmm/ferry/tests/chromium"
)

func main() {
	root := flag.String("C", ".", "the repository, a `folder`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *root); err != nil {
		fmt.Fprintf(os.Stderr, "screenshots: %v\n", err)
		os.Exit(1)
	}
}

// run draws all pictures, and notes what they were made from.
func run(ctx context.Context, root string) error {
	browser, err := chromium.Find()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ferry-screenshots-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, p := range pictures {
		page, err := p.page(root)
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		img, err := browser.Shoot(ctx, dir, page, p.View)
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		path := filepath.Join(root, folder, p.Name)
		if err := chromium.WritePNG(path, img); err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		fmt.Printf("%s %dx%d, %d KiB\n", path, img.Bounds().Dx(), img.Bounds().Dy(), info.Size()>>10)
	}
	return writeSums(root)
}
