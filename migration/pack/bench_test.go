package pack

import "testing"

// benchBlocks packs and unpacks a block again and again.
func benchBlocks(b *testing.B, page func(uint64) []byte) {
	var block []byte
	for i := range uint64(MaxBlock / pageSize) {
		block = append(block, page(i)...)
	}
	for _, c := range []Codec{S2, Zstd} {
		b.Run(c.String(), func(b *testing.B) {
			var p Packer
			dst := make([]byte, 0, MaxPacked)
			out, _ := p.Append(dst, c, block)
			b.SetBytes(MaxBlock)
			b.ReportAllocs()
			for b.Loop() {
				out, _ = p.Append(dst, c, block)
			}
			b.ReportMetric(float64(len(out))/MaxBlock, "ratio")
		})
		b.Run("un"+c.String(), func(b *testing.B) {
			var p Packer
			var u Unpacker
			out, ok := p.Append(make([]byte, 0, MaxPacked), c, block)
			if !ok {
				b.Skip("it does not compress")
			}
			dst := make([]byte, MaxBlock)
			b.SetBytes(MaxBlock)
			b.ReportAllocs()
			for b.Loop() {
				if err := u.Expand(dst, c, out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkText(b *testing.B)   { benchBlocks(b, textPage) }
func BenchmarkRandom(b *testing.B) { benchBlocks(b, randomPage) }

func BenchmarkPage(b *testing.B) {
	noise, text, few := randomPage(1), textPage(1), wordsPage(16)
	changed := append([]byte(nil), noise...)
	changed[100]++
	dst, printer := make([]byte, 0, 2*pageSize), NewPrinter(nil)
	for name, f := range map[string]func(){
		"dense/random": func() { Dense(noise) },
		"words/random": func() { AppendWords(dst, noise) },
		"words/text":   func() { AppendWords(dst, text) },
		"words/16":     func() { AppendWords(dst, few) },
		"delta/1":      func() { AppendDelta(dst, noise, changed, pageSize/2) },
		"print":        func() { printer.Print(noise) },
		"delta/all":    func() { AppendDelta(dst, noise, text, pageSize/2) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(pageSize)
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}
