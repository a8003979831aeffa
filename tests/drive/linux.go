package drive

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ferryvmm/ferry/guests/linux"
	"github.com/ferryvmm/ferry/guests/linux/record"
	"github.com/ferryvmm/ferry/internal/lab"
)

// LinuxSummary is what a soak of the Linux guest found.
type LinuxSummary struct {
	Moves          int     `json:"moves"`
	CorruptPages   uint64  `json:"corrupt_pages"` // found by its memory checker
	RecordsDurable uint64  `json:"records_durable"`
	RecordsWrong   int     `json:"records_wrong"`
	EchoesUDP      uint64  `json:"echoes_udp"`
	EchoesTCP      uint64  `json:"echoes_tcp"`
	LargestGapMS   float64 `json:"largest_gap_ms"` // between two heartbeats, less their period of 100 ms
	MedianDownMS   float64 `json:"median_downtime_ms"`
	MedianTotalMS  float64 `json:"median_total_ms"`
}

// The Linux guest of a soak.
const (
	linuxMemory  = 64 // MiB
	linuxSlots   = 256
	linuxWriters = 2
	linuxPeriod  = 100 * time.Millisecond
	linuxSettle  = 10
	linuxWork    = " countreg=1 ferry.ip=10.77.0.100/24 ferry.disk=vda,256,2 ferry.mem=1,1 ferry.heartbeat=100"
)

// linuxAddress is the guest's.
var linuxAddress = netip.MustParseAddr("10.77.0.100")

// SoakLinux moves a Linux guest back and forth between two hosts while it writes
// numbered records to a disk that both see, checks its memory, and answers a
// third host over UDP and on one TCP connection. It fails when a move does
// not complete, when a record is lost or torn, when an answer is wrong, or when
// anything is left behind.
func SoakLinux(ctx context.Context, c SoakConfig, g linux.Guest) (LinuxSummary, error) {
	w, err := NewWorld(c.Vmm, 3)
	if err != nil {
		return LinuxSummary{}, err
	}
	s, err := soakLinux(ctx, c, g, w)
	if err == nil {
		var left []string
		if left, err = w.Leftovers(); len(left) > 0 {
			err = fmt.Errorf("drive: left behind: %q", left)
		}
	}
	return s, errors.Join(err, w.Close())
}

func soakLinux(ctx context.Context, c SoakConfig, g linux.Guest, w *World) (s LinuxSummary, err error) {
	for _, h := range w.Lab.Hosts {
		if err := h.Bridge(); err != nil {
			return s, err
		}
	}
	dir, err := os.MkdirTemp("", "ferry-disk-")
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(dir)
	image := filepath.Join(dir, "disk.img")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 16<<20)); err != nil {
		return s, err
	}
	network := []string{"--net", "eth=bridge=" + lab.BridgeName}
	t, err := Boot(ctx, w.Sites[:2], Guest{
		Name: "linux", Period: linuxPeriod, Settle: linuxSettle, Memory: linuxMemory, CPUs: 1, Cmdline: g.Cmdline + linuxWork, Receive: network,
		Args: append([]string{"--kernel", g.Kernel, "--initrd", g.Initramfs, "--disk", "root=" + image}, network...),
	})
	if err != nil {
		return s, err
	}
	var echoes []*Echo
	for _, over := range []string{"udp", "tcp"} {
		e, err := StartEcho(w.Lab.Hosts[2], over, linuxAddress)
		if err != nil {
			return s, errors.Join(err, t.Process.Kill())
		}
		echoes = append(echoes, e)
	}
	err = s.travel(ctx, c, t, echoes)
	s.EchoesUDP, s.EchoesTCP = echoes[0].Answered(), echoes[1].Answered()
	for _, e := range echoes {
		err = errors.Join(err, e.Stop())
	}
	if err != nil {
		return s, err
	}
	if err := t.Stop(ctx); err != nil { // fails if the guest has counted anything wrong
		return s, err
	}
	return s, s.check(image, t.Observer)
}

// travel makes the moves; each must be followed by answers.
func (s *LinuxSummary) travel(ctx context.Context, c SoakConfig, t *Trip, echoes []*Echo) error {
	var downs, totals []float64
	for {
		for _, e := range echoes {
			if err := e.Await(ctx); err != nil {
				return errors.Join(err, errors.New(t.Observer.Tail()))
			}
		}
		if s.Moves == c.Moves {
			return nil
		}
		m, err := soakMove(ctx, t)
		if err != nil {
			return fmt.Errorf("move %d: %w", s.Moves+1, err)
		}
		s.Moves++
		downs, totals = append(downs, m.DowntimeMS), append(totals, m.TotalMS)
		s.MedianDownMS, s.MedianTotalMS = median(downs), median(totals)
		gap := milliseconds(m.Gap())
		s.LargestGapMS = slices.Max([]float64{s.LargestGapMS, gap})
		fmt.Fprintf(c.Log, "move %d/%d: gap %.1f ms (%s), downtime %.1f ms, total %.0f ms, %d rounds\n",
			s.Moves, c.Moves, gap, m.Where(), m.DowntimeMS, m.TotalMS, len(m.Rounds))
	}
}

// check reads the disk: every record that the guest said to be durable must be there.
func (s *LinuxSummary) check(image string, o *lab.Observer) error {
	f, err := os.Open(image)
	if err != nil {
		return err
	}
	defer f.Close()
	said := o.Durable()
	var errs []error
	for writer := range uint32(linuxWriters) {
		r := record.Region{Writer: writer, Slots: linuxSlots}
		found, err := r.Scan(f, make([]byte, record.Size))
		if err != nil {
			return err
		}
		s.RecordsDurable += found.Last
		s.RecordsWrong += len(found.Wrong)
		for _, w := range found.Wrong {
			errs = append(errs, fmt.Errorf("drive: writer %d: %w", writer, w.Err))
		}
		if found.Last < said[writer] || found.Last == 0 {
			errs = append(errs, fmt.Errorf("drive: writer %d: got record %d last on the disk; want at least %d, which the guest said to be durable", writer, found.Last, said[writer]))
		}
	}
	return errors.Join(errs...)
}
