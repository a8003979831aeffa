package pack

import "time"

const (
	// gain is how much longer sending as it is must take than sending packed for that to be worth it: estimates err, and the
	// other host has to unpack.
	gain = 1.25
	// slowLink is where copying a page and comparing it with its copy takes less than a quarter of what its sending does, in bytes a second.
	slowLink = 200e6
	// forget is the share by which what was measured of a codec fades with each choice: guests change, and one that looked bad
	// once is tried again.
	forget = 1.0 / 32
	// learn is the share that a new measurement has.
	learn = 1.0 / 4
	// worthy is how small Zstd must make pages, of what S2 does, to be worth its time.
	worthy = 0.95
	// ahead is how many times as long as packing takes the link must have enough to do for that to be by Zstd: other connections do so, too.
	ahead = 2
	// outlier is how many times as long as expected packing may take to be believed: somebody else had the CPU.
	outlier = 3
)

// cost is what a codec takes.
type cost struct {
	perByte float64 // seconds for each byte that is packed
	ratio   float64 // bytes that it becomes
}

// priors are of one CPU, and of memory of which half compresses well.
var priors = [Codecs]cost{S2: {perByte: 1.2e-9, ratio: 0.6}, Zstd: {perByte: 4e-9, ratio: 0.45}}

// Chooser chooses between S2, Zstd and nothing at all: that by which a block is sooner through the link, as packing one block goes on
// beside sending another. What packing takes is measured by the clock, so a host with no CPU to spare packs less. It has no
// clock of its own. The zero value is ready, and chooses Raw until it knows the link.
type Chooser struct {
	link  float64 // bytes a second; 0: unknown
	known bool    // costs has been set
	costs [Codecs]cost
}

// Link tells how fast the link is just now, in bytes a second. A link that becomes slower is believed in steps: it may
// have been our fault.
func (c *Chooser) Link(rate float64) {
	if rate > 0 {
		c.link = max(rate, (c.link+rate)/2)
	}
}

// Rate is how fast the link is believed to be, in bytes a second; 0: unknown.
func (c *Chooser) Rate() float64 { return c.link }

// Note tells what packing some bytes took.
func (c *Chooser) Note(codec Codec, in, out int, took time.Duration) {
	c.begin()
	k := &c.costs[codec]
	k.perByte += learn * (min(took.Seconds()/float64(in), outlier*k.perByte) - k.perByte)
	k.ratio += learn * (float64(out)/float64(in) - k.ratio)
}

func (c *Chooser) begin() {
	if !c.known {
		c.known, c.costs = true, priors
	}
}

// Cost is what a codec takes: how many bytes a second it packs, and which share of them is left.
func (c *Chooser) Cost(codec Codec) (speed, ratio float64) {
	c.begin()
	return 1 / c.costs[codec].perByte, c.costs[codec].ratio
}

// Slow says whether a link with so many bytes a second is so slow that looking at each page costs nothing. One of which nothing is known is not.
func Slow(link float64) bool { return link > 0 && link < slowLink }

// MaybeSlow says whether a link of which nothing is known, or that was just seen for the first time, may turn out to be slow: it takes bursts.
func MaybeSlow(link float64) bool { return link < 2*slowLink }

// Choose says which codec to use for the next pages, of so many bytes. waiting is how many bytes the link has still to take; negative: unknown.
// Where packing is worth it, S2 is for a link that is about to have nothing to do, and Zstd for one that has enough until they are packed: it costs
// no time then. So a link for which Zstd is too slow, and what S2 makes too much, gets some of both.
func (c *Chooser) Choose(bytes uint64, waiting int64) Codec {
	switch {
	case waiting >= Ahead && MaybeSlow(c.link) && !Slow(c.link):
		return S2
	case c.link == 0:
		return Raw
	}
	c.begin()
	best, least := Raw, 1/c.link/gain
	for _, codec := range []Codec{S2, Zstd} {
		k := &c.costs[codec]
		if t := max(k.perByte, k.ratio/c.link); t < least {
			best, least = codec, t
		}
		k.perByte += forget * (priors[codec].perByte - k.perByte)
		k.ratio += forget * (priors[codec].ratio - k.ratio)
	}
	quick, dense := &c.costs[S2], &c.costs[Zstd]
	switch {
	case best == Raw:
		return Raw
	case dense.ratio > worthy*quick.ratio:
		return S2
	case waiting < 0:
		return best
	case float64(waiting)/c.link < ahead*float64(bytes)*dense.perByte:
		return S2
	}
	return Zstd
}
