package chromium

import (
	"image"
	"image/color"
	"testing"
)

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
