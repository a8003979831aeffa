package lab

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// queueMilliseconds is how much traffic a shaped link queues before it drops.
// Long enough for TCP to fill the link, short enough that a round trip behind
// a full queue stays well below one second.
const queueMilliseconds = 20

// minBurst, in bytes, lets one segmented 64 KiB buffer through at once.
const minBurst = 96 << 10

// Shape limits the host's link to bitsPerSecond in each direction. Zero lifts
// the limit.
func (h *Host) Shape(bitsPerSecond uint64) error {
	if bitsPerSecond == 0 {
		return errors.Join(
			annotate("lab: unshape eth0", unshape(h.nl, h.inside)),
			annotate("lab: unshape the bridge port", unshape(h.lab.nl, h.port)),
		)
	}
	if bitsPerSecond < 8000 {
		return fmt.Errorf("lab: got a limit of %d bits/s; want at least 8000, or 0 for none", bitsPerSecond)
	}
	return errors.Join(
		annotate("lab: shape eth0", shape(h.nl, h.inside, bitsPerSecond)),
		annotate("lab: shape the bridge port", shape(h.lab.nl, h.port, bitsPerSecond)),
	)
}

func rootOf(link netlink.Link) netlink.QdiscAttrs {
	return netlink.QdiscAttrs{
		LinkIndex: link.Attrs().Index,
		Handle:    netlink.MakeHandle(1, 0),
		Parent:    netlink.HANDLE_ROOT,
	}
}

func shape(nl *netlink.Handle, link netlink.Link, bitsPerSecond uint64) error {
	rate := bitsPerSecond / 8
	// A timer tick is at most 4 ms (250 Hz): a smaller bucket cannot reach the
	// rate.
	burst := uint32(max(rate*4/1000, minBurst))
	queue := uint32(max(rate*queueMilliseconds/1000, minBurst))
	return nl.QdiscReplace(&netlink.Tbf{
		QdiscAttrs: rootOf(link),
		Rate:       rate,
		Limit:      burst + queue,
		Buffer:     netlink.Xmittime(rate, burst),
	})
}

func unshape(nl *netlink.Handle, link netlink.Link) error {
	err := nl.QdiscDel(&netlink.Tbf{QdiscAttrs: rootOf(link)})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) {
		return nil // it has no limit
	}
	return err
}

// Cut takes the host off the bridge, as if the cable had been pulled: its
// connections get no reset, they fall silent.
func (h *Host) Cut() error {
	return annotate("lab: cut the link", h.lab.nl.LinkSetDown(h.port))
}

// Restore plugs a cut link in again.
func (h *Host) Restore() error {
	return annotate("lab: restore the link", h.lab.nl.LinkSetUp(h.port))
}

// Sent is how many bytes the host has sent onto its link so far.
func (h *Host) Sent() (uint64, error) {
	link, err := h.nl.LinkByIndex(h.inside.Attrs().Index)
	if err != nil {
		return 0, fmt.Errorf("lab: read the link's counters: %w", err)
	}
	if link.Attrs().Statistics == nil {
		return 0, errors.New("lab: the link has no counters")
	}
	return link.Attrs().Statistics.TxBytes, nil
}
