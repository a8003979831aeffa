package migration

import (
	"fmt"
	"slices"

	"github.com/ferryvmm/ferry/migration/pack"
)

// Compression is how pages are made smaller before they are sent.
type Compression string

const (
	// CompressOff sends pages as they are.
	CompressOff Compression = "off"
	// CompressAuto looks at each page, where the link is slow enough for that, and does what serves it best: few distinct words, a
	// difference, S2 or Zstd, or nothing.
	CompressAuto Compression = "auto"
	// CompressS2 and CompressZstd compress whatever becomes smaller by that.
	CompressS2   Compression = "s2"
	CompressZstd Compression = "zstd"
	// CompressDelta sends the difference to what was sent before, where that is known and not too different.
	CompressDelta Compression = "delta"
)

// compressions are all, in the order in which people are told of them.
var compressions = []Compression{CompressAuto, CompressOff, CompressS2, CompressZstd, CompressDelta}

// ParseCompression returns the compression of that name.
func ParseCompression(s string) (Compression, error) {
	if c := Compression(s); slices.Contains(compressions, c) {
		return c, nil
	}
	return "", fmt.Errorf("unknown compression %q", s)
}

// Compressed says what became of pages that could be packed.
type Compressed struct {
	Requested Compression `json:"requested"`
	// Reason is why what was done was done, for people.
	Reason string `json:"reason"`
	// Codecs are those that packed pages, and raw for those that went as they are.
	Codecs []CodecCount `json:"codecs"`
}

// CodecCount is what one codec made of pages.
type CodecCount struct {
	Codec    string `json:"codec"`
	Pages    uint64 `json:"pages"`
	InBytes  uint64 `json:"in_bytes"`
	OutBytes uint64 `json:"out_bytes"` // of page payload
}

// ourCodecs are the names of the codecs that this vmm unpacks, where the hosts share these images; nil: none.
func ourCodecs(images Images) []string {
	var names []string
	for c := pack.Words; c < pack.Codecs; c++ {
		if c == pack.Image && images == nil {
			continue
		}
		names = append(names, c.String())
	}
	return names
}
