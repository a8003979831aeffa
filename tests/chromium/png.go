package chromium

import (
	"cmp"
	"errors"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"slices"
)

// paletteSize is the most colours that a PNG with a byte for each pixel can have.
const paletteSize = 256

// WritePNG writes a small file: pictures of pages have few colours, and what is beyond the most frequent ones, in the edges of letters, is hardly seen.
func WritePNG(path string, img image.Image) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	return errors.Join(encoder.Encode(f, indexed(img)), f.Close())
}

// indexed has the most frequent colours of an image, and the nearest of them for the others.
func indexed(img image.Image) *image.Paletted {
	count := make(map[color.NRGBA]int)
	b := img.Bounds()
	at := func(x, y int) color.NRGBA {
		c, _ := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
		return c
	}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			count[at(x, y)]++
		}
	}
	frequent := slices.SortedFunc(maps.Keys(count), func(p, q color.NRGBA) int {
		return cmp.Or(count[q]-count[p], cmp.Compare(key(p), key(q)))
	})
	var palette color.Palette
	for _, c := range frequent[:min(len(frequent), paletteSize)] {
		palette = append(palette, c)
	}
	index := make(map[color.NRGBA]uint8, len(count))
	for c := range count {
		index[c] = uint8(palette.Index(c)) //nolint:gosec // at most paletteSize
	}
	out := image.NewPaletted(b, palette)
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			out.SetColorIndex(x, y, index[at(x, y)])
		}
	}
	return out
}

// key orders colours.
func key(c color.NRGBA) uint32 {
	return uint32(c.R)<<24 | uint32(c.G)<<16 | uint32(c.B)<<8 | uint32(c.A)
}
