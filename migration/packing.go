package migration

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/migration/pack"
)

const (
	// historyBytes bounds the copies of pages that are kept for deltas, and historyShare is the part of a guest's memory that they may take.
	historyBytes = 64 << 20
	historyShare = 4
	// lookEvery is the least time between two looks at the link.
	lookEvery = lineTime
	// probeFrames bounds the small frames that are sent to learn how fast the link is.
	probeFrames = 64
	// burst is how much a slow link may take as fast as a quick one: what it has taken beyond that tells which it is.
	burst = 2 << 20
)

// packing is how the pages of a move are packed: what the packers of all its connections share.
type packing struct {
	how     Compression
	knows   [pack.Codecs]bool // what the target unpacks
	secret  []byte            // of the move, for fingerprints
	history *pack.History     // nil: no deltas
	images  Images            // nil: the hosts share none
	link    packingLink

	mu      sync.Mutex // guards all below
	final   bool
	chooser pack.Chooser
	pace    pack.Pace
	looked  time.Time
	pushed  float64 // how fast the link was while the guest ran, in bytes a second; 0: unknown
	probes  int     // small frames so far
	began   time.Time
	acked   uint64 // what the link had taken when it began to be looked at
	counts  [pack.Codecs]CodecCount
}

// packingLink is what packing knows of the link.
type packingLink struct {
	// rate looks how fast it is, in bytes a second; 0: unknown. final says that nothing limits it.
	rate func(final bool) float64
	// flow is what it has of the move.
	flow  func() pack.Flow
	limit float64 // that is kept while the guest runs, in bytes a second; 0: none
}

// newPacking agrees with a target that unpacks the codecs with these names; nil: nothing is to be packed. Both hosts have these images; nil: none.
func newPacking(how Compression, names []string, move MoveID, memory uint64, images Images, link packingLink) *packing {
	if how == CompressOff || how == "" {
		return nil
	}
	a := &packing{how: how, secret: move[:], images: images, link: link, pace: pack.NewPace(link.limit)}
	some := false
	for c := pack.Words; c < pack.Codecs; c++ {
		a.knows[c] = slices.Contains(names, c.String()) && (how == CompressAuto || string(how) == c.String())
		some = some || a.knows[c]
	}
	a.knows[pack.Image] = a.knows[pack.Image] && images != nil
	if !some {
		return nil
	}
	if a.knows[pack.Delta] {
		a.history = pack.NewHistory(min(memory/historyShare, historyBytes))
	}
	return a
}

// packer is one for a connection; pull says that what it sends follows the guest.
func (a *packing) packer(pull bool) *packer {
	if a == nil {
		return nil
	}
	k := &packer{all: a, pull: pull, print: pack.NewPrinter(a.secret)}
	if pull {
		a.round(false) // no downtime
		k.choose()
	}
	return k
}

// round is told of a round that begins.
func (a *packing) round(final bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pace.Begin()
	if a.final != final {
		a.final, a.looked = final, time.Time{}
	}
}

// ways says what is to be done to the pages of the next frame. Those of the last had so many bytes.
func (a *packing) ways(bytes uint64) packWays {
	if a.how != CompressAuto {
		w := packWays{deltas: a.knows[pack.Delta]}
		if a.knows[pack.S2] {
			w.block = pack.S2
		}
		if a.knows[pack.Zstd] {
			w.block = pack.Zstd
		}
		return w
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if now.Sub(a.looked) >= lookEvery {
		a.looked = now
		rate := a.pace.Raw() // packing leaves the link some time, and so makes it look faster than it is
		if rate == 0 || a.final {
			rate = a.link.rate(a.final)
		}
		a.chooser.Link(rate)
		if !a.final || a.pushed == 0 {
			a.pushed = a.chooser.Rate()
		}
	}
	rate := a.chooser.Rate()
	slow := pack.Slow(rate)
	if !slow && (!pack.MaybeSlow(rate) || a.probes == probeFrames) {
		return packWays{}
	}
	has := a.link.flow() // a system call for each connection
	if !slow {
		if a.outpaces(now, has) {
			return packWays{}
		}
		if a.probes++; has.Waiting < pack.Ahead {
			return packWays{probe: true}
		}
	} else if !a.final && !a.pace.Pays(now, bytes, has) {
		return packWays{probe: true} // small frames: soon it may pay
	}
	w := packWays{words: a.knows[pack.Words], deltas: a.knows[pack.Delta], copies: a.knows[pack.Copy], images: a.knows[pack.Image] && !a.final, sample: true}
	waiting := int64(has.Waiting)
	if a.link.limit > 0 && !a.final {
		waiting = -1 // what the limit holds back is not written yet
	}
	if w.block = a.chooser.Choose(max(bytes, packedBytes), waiting); !a.knows[w.block] {
		w.block = pack.Raw
	}
	return w
}

// outpaces tells whether the link has taken so much in so little time that it cannot be slow. Its rate may not be known yet: a target
// that is no faster leaves it idle, and that is no reason to go on in small frames, of which none is a huge page there.
func (a *packing) outpaces(now time.Time, has pack.Flow) bool {
	if a.began.IsZero() {
		a.began, a.acked = now, has.Acked
	}
	taken := has.Acked - min(a.acked, has.Acked)
	rate := float64(taken) / max(now.Sub(a.began), time.Microsecond).Seconds()
	if taken < burst || pack.MaybeSlow(rate) {
		return false
	}
	a.chooser.Link(rate)
	return true
}

// note tells what packing a block took.
func (a *packing) note(c pack.Codec, in, out int, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.chooser.Note(c, in, out, took)
}

// add adds what a frame has, and forgets it there.
func (a *packing) add(counts *[pack.Codecs]CodecCount) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for c := range counts {
		a.counts[c].Pages += counts[c].Pages
		a.counts[c].InBytes += counts[c].InBytes
		a.counts[c].OutBytes += counts[c].OutBytes
		counts[c] = CodecCount{}
	}
}

// saved is by how many bytes what was sent is smaller than the pages.
func (a *packing) saved() (n uint64) {
	if a == nil {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.counts {
		n += c.InBytes - c.OutBytes
	}
	return n
}

// compressed says what became of a move's pages of data.
func (s *sender) compressed(pages uint64) Compressed {
	out := Compressed{Requested: s.Compress, Reason: s.unpackedReason()}
	a := s.packing
	if a == nil {
		a = new(packing)
	} else {
		out.Reason = a.reason()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	raw := CodecCount{Codec: pack.Raw.String(), Pages: pages}
	for c := pack.Words; c < pack.Codecs; c++ {
		n := a.counts[c]
		if raw.Pages -= min(n.Pages, raw.Pages); n.Pages > 0 {
			n.Codec = c.String()
			out.Codecs = append(out.Codecs, n)
		}
	}
	if raw.InBytes = raw.Pages * guestmem.PageSize; raw.Pages > 0 {
		raw.OutBytes = raw.InBytes
		out.Codecs = append(out.Codecs, raw)
	}
	return out
}

// unpackedReason is why nothing is packed.
func (s *sender) unpackedReason() string {
	switch {
	case s.Compress == CompressOff || s.Compress == "":
		return "not asked for"
	case s.Mode == Local:
		return "no page is sent"
	case s.times.reserved.IsZero():
		return "the target was not heard of"
	}
	return fmt.Sprintf("the target does not unpack %s", s.Compress)
}

// reason is why pages were packed as they were.
func (a *packing) reason() string {
	if a.how != CompressAuto {
		return "asked for"
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pushed == 0 {
		return "the speed of the link was not known"
	}
	link := fmt.Sprintf("the link takes about %.3g Gbit/s", a.pushed*8/1e9)
	if !pack.Slow(a.pushed) {
		return link + ": to pack takes longer"
	}
	var does []string
	for _, c := range []pack.Codec{pack.S2, pack.Zstd} {
		speed, ratio := a.chooser.Cost(c)
		does = append(does, fmt.Sprintf("%v %.0f MB/s, to %.0f %%", c, speed/1e6, 100*ratio))
	}
	return link + "; " + strings.Join(does, "; ")
}
