// Package chromium takes pictures of pages with a headless browser, and writes them small.
package chromium

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrMissing: there is no browser here. Install one, or do without pictures.
var ErrMissing = errors.New("there is no Chromium: run tests/install-browser")

// Browser is the path of a Chromium.
type Browser string

// View is how a page is looked at.
type View struct {
	Width, Height int // in pixels
	Dark          bool
}

// Find finds a browser, or says ErrMissing.
func Find() (Browser, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return Browser(path), nil
		}
	}
	return "", ErrMissing
}

// leastWidth of a window of Chromium's. A page for a narrower view is shown in a frame of that width.
const leastWidth = 500

// framed is the document around a page that is as wide as the view.
const framed = `<!DOCTYPE html><body style="margin:0"><iframe src="page.html" style="border:0;width:%dpx;height:%dpx"></iframe>`

// Shoot takes a picture of the upper part of a page, an HTML document. Its files are in dir, which must be this call's own.
func (b Browser) Shoot(ctx context.Context, dir, page string, v View) (image.Image, error) {
	path := filepath.Join(dir, "page.html")
	if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
		return nil, err
	}
	if v.Width < leastWidth {
		path = filepath.Join(dir, "frame.html")
		if err := os.WriteFile(path, fmt.Appendf(nil, framed, v.Width, v.Height), 0o600); err != nil {
			return nil, err
		}
	}
	scheme := "1"
	if v.Dark {
		scheme = "0"
	}
	shot := filepath.Join(dir, "shot.png")
	// No sandbox: it shows our own pages only, and its sandbox does not run as root.
	cmd := exec.CommandContext(ctx, string(b), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1", "--font-render-hinting=none",
		"--user-data-dir="+filepath.Join(dir, "profile"), "--blink-settings=preferredColorScheme="+scheme,
		"--window-size="+strconv.Itoa(max(v.Width, leastWidth))+","+strconv.Itoa(v.Height), "--screenshot="+shot, "file://"+path)
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", b, err, &said)
	}
	f, err := os.Open(shot)
	if err != nil {
		return nil, fmt.Errorf("%s took no picture: %w\n%s", b, err, &said)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		return nil, err
	}
	cut := image.NewNRGBA(image.Rect(0, 0, v.Width, v.Height))
	draw.Draw(cut, cut.Bounds(), img, image.Point{}, draw.Src)
	return cut, nil
}
