package lab

import (
	"fmt"
	"slices"
	"time"
)

// PingReport is what a Ping has seen.
type PingReport struct {
	Sent       uint64
	Lost       uint64 // without an answer within AnswerWithin
	Duplicated uint64 // answers that came once more
	Reordered  uint64 // answers behind one to a later packet
	Wrong      uint64 // answers that are not what was sent

	LostAt time.Duration // when the first of the lost packets was sent; 0: none was lost

	// Silence is the longest time without an answer, less the time between
	// two packets. It began at SilenceAt (as Now says it).
	Silence, SilenceAt time.Duration
	// Stall is the longest time in which the client itself sent nothing, less
	// the same: a silence of that length says nothing about the guest.
	Stall time.Duration
}

func (r PingReport) String() string {
	return fmt.Sprintf("%d packets sent, %d lost, %d duplicated, %d out of order, %d wrong; longest silence %v (the client's own stalls: %v)",
		r.Sent, r.Lost, r.Duplicated, r.Reordered, r.Wrong, r.Silence, r.Stall)
}

// Bad says whether a packet was lost, or came otherwise than once and in order.
func (r PingReport) Bad() bool { return r.Lost+r.Duplicated+r.Reordered+r.Wrong > 0 }

// Report tells what was seen since Begin. A packet that may still be answered is
// not lost.
func (p *Ping) Report() PingReport {
	p.mu.Lock()
	begin := p.begin
	p.mu.Unlock()
	return p.ReportSince(begin)
}

// ReportSince is Report for the packets sent from start on (as Now says it),
// and for what came since. A silence may have begun before.
func (p *Ping) ReportSince(start time.Duration) PingReport {
	p.mu.Lock()
	first := len(p.packets)
	for first > 0 && p.packets[first-1].sent >= start {
		first--
	}
	earlier := max(0, first-int(AnswerWithin/p.every)) // what is older was not answered after start
	packets := slices.Clone(p.packets[earlier:])
	r := PingReport{Duplicated: since(p.again, start), Reordered: since(p.late, start), Wrong: since(p.wrong, start)}
	p.mu.Unlock()

	r.count(packets[first-earlier:], p.every)
	r.Silence, r.SilenceAt = silence(packets, start, p.every)
	return r
}

// count counts the packets sent, those of them that are lost, and the stall.
func (r *PingReport) count(packets []packet, every time.Duration) {
	now := Now()
	r.Sent = uint64(len(packets))
	for i, one := range packets {
		if one.came == 0 && now-one.sent >= AnswerWithin {
			r.Lost++
			if r.LostAt == 0 {
				r.LostAt = one.sent
			}
		}
		if i > 0 {
			r.Stall = max(r.Stall, one.sent-packets[i-1].sent-every)
		}
	}
}

// silence looks for the longest between two answers, the second of them after
// start, or between the last and the last question.
func silence(packets []packet, start stamp, every time.Duration) (longest, at time.Duration) {
	var came []stamp
	for _, one := range packets {
		if one.came != 0 {
			came = append(came, one.came)
		}
	}
	if len(came) == 0 {
		return 0, 0
	}
	slices.Sort(came)
	came = append(came, packets[len(packets)-1].sent)
	for i := 1; i < len(came); i++ {
		if gap := came[i] - came[i-1] - every; came[i] >= start && gap > longest {
			longest, at = gap, came[i-1]
		}
	}
	return longest, at
}

// since counts the stamps from start on. They are in order.
func since(all []stamp, start stamp) uint64 {
	i, _ := slices.BinarySearch(all, start)
	return uint64(len(all) - i)
}
