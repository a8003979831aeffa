package main

import (
	"bytes"
	"image"
	"image/color"
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

func TestIndexed(t *testing.T) {
	const side = 17 // more colours than there is room for, near each other
	img := image.NewNRGBA(image.Rect(0, 0, side, 2*side))
	for y := range 2 * side {
		for x := range side {
			c := color.NRGBA{R: 200, A: 255}
			if y < side {
				c = color.NRGBA{R: uint8(6 * x), G: uint8(6 * y), B: 9, A: 255}
			}
			img.SetNRGBA(x, y, c)
		}
	}
	got := indexed(img)
	if len(got.Palette) != paletteSize || got.At(5, 30) != (color.NRGBA{R: 200, A: 255}) {
		t.Errorf("got %d colours, %v; want %d, and the most frequent as it was", len(got.Palette), got.At(5, 30), paletteSize)
	}
	for y := range side {
		for x := range side {
			r, g, _, _ := got.At(x, y).RGBA()
			if dr, dg := int(r>>8)-6*x, int(g>>8)-6*y; dr*dr+dg*dg > 20*20 {
				t.Fatalf("got %v at %d,%d; want a colour near %d,%d", got.At(x, y), x, y, 6*x, 6*y)
			}
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
