package main

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

// TestPicturesAreUpToDate: they were made from what they show, as it is now, and nobody has changed them since.
func TestPicturesAreUpToDate(t *testing.T) {
	want, err := os.ReadFile(filepath.Join(root, folder, sumsFile))
	if err != nil {
		t.Fatal(err)
	}
	got, err := sums(root)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the pictures of docs/ are out of date: make screenshots, and look at them (-noted +now):\n%s", diff)
	}
}

// TestPicturesAreSmall: somebody downloads them with every clone.
func TestPicturesAreSmall(t *testing.T) {
	for _, p := range pictures {
		text, err := os.ReadFile(filepath.Join(root, folder, p.Name))
		if err != nil {
			t.Fatal(err)
		}
		config, err := png.DecodeConfig(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if config.Width != p.Width || config.Height != p.Height || len(text) > 128<<10 {
			t.Errorf("%s: got %dx%d in %d bytes; want %dx%d in at most 128 KiB", p.Name, config.Width, config.Height, len(text), p.Width, p.Height)
		}
	}
}

func TestSettle(t *testing.T) {
	for written, want := range map[string]string{
		"one\r\ntwo":                    "one\ntwo",
		"\r\x1b[Kround 0\r\x1b[Kmoved":  "moved",
		"longer\rshort":                 "shortr",
		"a\r\n\r\x1b[Kb\r\x1b[Kc\r\nd ": "a\nc\nd ",
		"µm\rx":                         "xm",
	} {
		if got := settle(written); got != want {
			t.Errorf("%q: got %q; want %q", written, got, want)
		}
	}
}

func TestTerminalPageEscapes(t *testing.T) {
	page, err := pictures[len(pictures)-1].page(root)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(page, "\x1b") || !strings.Contains(page, "moved web to tcp:192.0.2.7:4444") {
		t.Errorf("got %q; want the terminal's text, settled", page)
	}
}
