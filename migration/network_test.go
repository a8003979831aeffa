package migration_test

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/migration/migrationtest"
)

// The types of frames that carry packets, as on the wire.
const frames, drained, delivered = 16, 17, 18

// network is a bench whose guest has one.
type network struct {
	*bench
	src, dst *migrationtest.Network
}

func newNetwork(t *testing.T) *network {
	n := &network{newBench(t, 500), migrationtest.NewNetwork(), migrationtest.NewNetwork()}
	n.send.Network, n.host.Network = n.src, n.dst
	n.recv.Hello.VersionMax = migration.VersionMax
	return n
}

// packets are some, of rising sizes, of two interfaces.
func packets(count int) []migration.Packet {
	var all []migration.Packet
	for i := range count {
		all = append(all, migration.Packet{Interface: i % 2, Queue: i % 3, Data: bytes.Repeat([]byte{byte(i)}, 26+i*97%9000)})
	}
	return all
}

// TestForwarding: what comes for the guest before it runs at the target, and what comes
// until the announcement comes round, is given to it in order.
func TestForwarding(t *testing.T) {
	for _, mode := range []migration.Mode{migration.Precopy, migration.StopCopy} {
		n := newNetwork(t)
		n.send.Mode = mode
		all := packets(300)
		n.src.Arrive(all[:200]...)
		n.src.Overflow(3)
		n.dst.Refuse = func(p migration.Packet) bool { return bytes.Equal(p.Data, all[7].Data) }
		n.host.OnStart = func() {
			n.src.Arrive(all[200:]...)
			n.src.Announced()
		}
		e := n.run(t, within(t, 20*time.Second))
		if e.sentErr != nil || e.receivedErr != nil {
			t.Fatalf("%s: got %v, %v; want it moved", mode, e.sentErr, e.receivedErr)
		}
		n.wantMoved(t)
		if diff := cmp.Diff(slices.Delete(slices.Clone(all), 7, 8), n.dst.Delivered()); diff != "" {
			t.Errorf("%s: delivered (-want +got):\n%s", mode, diff)
		}
		if diff := cmp.Diff([]string{"commit", "leave"}, n.src.Calls()); diff != "" {
			t.Errorf("%s: source (-want +got):\n%s", mode, diff)
		}
		if diff := cmp.Diff([]string{"hold", "release"}, n.dst.Calls()); diff != "" {
			t.Errorf("%s: target (-want +got):\n%s", mode, diff)
		}
		late := e.received.Network.Late // of a slow machine
		if diff := cmp.Diff(migration.Forwarded{Frames: 300, Dropped: 4, Late: late}, e.sent.Network); diff != "" {
			t.Errorf("%s: counted at the source (-want +got):\n%s", mode, diff)
		}
		if diff := cmp.Diff(migration.Forwarded{Frames: 300, Dropped: 1, Late: late}, e.received.Network); diff != "" {
			t.Errorf("%s: counted at the target (-want +got):\n%s", mode, diff)
		}
	}
}

// TestForwardingRouted: no announcement comes round, and the source does not wait for one.
func TestForwardingRouted(t *testing.T) {
	n := newNetwork(t)
	n.src.Routed = true
	all := packets(5)
	n.src.Arrive(all...)
	if e := n.run(t, within(t, 20*time.Second)); e.sentErr != nil || e.sent.Network.Frames != 5 || e.sent.Network.Dropped != 0 {
		t.Errorf("got %+v, %v; want all forwarded", e.sent.Network, e.sentErr)
	}
	if diff := cmp.Diff(all, n.dst.Delivered()); diff != "" {
		t.Errorf("delivered (-want +got):\n%s", diff)
	}
}

// TestLatePackets: what comes when the target has let its own through is delivered, and counted.
func TestLatePackets(t *testing.T) {
	n := newNetwork(t)
	all, released := packets(3), make(chan struct{})
	n.dst.OnRelease = func() {
		n.src.Arrive(all...)
		n.src.Announced()
		close(released)
	}
	n.tap(func(f byte, written bool) {
		if f == running && !written {
			<-released // not before the source could say that there are no packets
		}
	})
	e := n.run(t, within(t, 20*time.Second))
	if got := e.sent.Network; e.sentErr != nil || got.Late != 3 || got.Frames != 3 || got.Dropped != 0 {
		t.Errorf("got %+v, %v; want 3 late", got, e.sentErr)
	}
	if diff := cmp.Diff(all, n.dst.Delivered()); diff != "" {
		t.Errorf("delivered (-want +got):\n%s", diff)
	}
}

// TestStrayPackets: what comes long behind the announcement, when the target's own network was let through, is not lost.
func TestStrayPackets(t *testing.T) {
	n := newNetwork(t)
	all := packets(4)
	n.src.Arrive(all[0])
	n.host.OnStart = n.src.Announced
	n.dst.OnRelease = func() { n.src.Arrive(all[1:]...) }
	e := n.run(t, within(t, 20*time.Second))
	if got := e.sent.Network; e.sentErr != nil || got.Frames != 4 || got.Dropped != 0 || got.Late < 3 {
		t.Errorf("got %+v, %v; want 4, of which 3 late", got, e.sentErr)
	}
	if diff := cmp.Diff(all, n.dst.Delivered()); diff != "" {
		t.Errorf("delivered (-want +got):\n%s", diff)
	}
}

// TestForwardingOverCuts cuts the link around each frame that concerns packets: the move ends as it
// would without them. What is not sent is counted if the guest is gone, else it is the guest's.
func TestForwardingOverCuts(t *testing.T) {
	for frame, name := range map[byte]string{commit: "commit", running: "running", frames: "frames", drained: "drained", delivered: "delivered", release: "release"} {
		for _, after := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				n := newNetwork(t)
				n.src.Arrive(packets(10)...)
				n.host.OnStart = n.src.Announced
				var once sync.Once
				n.tap(func(f byte, written bool) {
					if f == frame && written == after {
						once.Do(n.cut)
					}
				})
				e := n.run(t, within(t, 30*time.Second))
				left := slices.Contains(n.src.Calls(), "leave")
				switch e.sent.Outcome {
				case migration.OutcomeCompleted:
					n.wantMoved(t)
					if got := e.sent.Network; !left || got.Frames+got.Dropped != 10 {
						t.Errorf("got %+v, left %v; want 10 forwarded or lost, and the network left", got, left)
					}
				case migration.OutcomeFailed:
					n.wantHome(t)
					if n.dst.Calls() != nil || left || e.sent.Network.Dropped > 0 || len(n.dst.Delivered()) > 0 {
						t.Errorf("got %+v, left %v; want nothing lost and no packet at the target", e.sent.Network, left)
					}
				default:
					t.Errorf("got %v; want it decided", e.sent.Outcome)
				}
				if late := frame == running || frame == delivered || frame == release; late && e.sent.Outcome != migration.OutcomeCompleted {
					t.Errorf("got %v; want it completed", e.sent.Outcome)
				}
				if calls := n.dst.Calls(); len(calls) > 0 && !slices.Equal(calls, []string{"hold", "release"}) {
					t.Errorf("target: got %v; want it released", calls)
				}
			})
		}
	}
}

// TestOldPeerGetsNoPackets: a target of version 2 knows of none.
func TestOldPeerGetsNoPackets(t *testing.T) {
	n := newNetwork(t)
	n.recv.Hello.VersionMax = 2
	n.src.Arrive(packets(10)...)
	n.tap(func(f byte, _ bool) {
		if f == frames || f == drained || f == delivered {
			t.Errorf("got frame %d; want none", f)
		}
	})
	e := n.run(t, within(t, 20*time.Second))
	if e.sentErr != nil || e.sent.Network != (migration.Forwarded{}) || len(n.dst.Calls())+len(n.src.Calls()) > 0 {
		t.Errorf("got %+v, %v, calls %v, %v; want nothing forwarded", e.sent.Network, e.sentErr, n.src.Calls(), n.dst.Calls())
	}
}

// TestForwardingEndsWithoutAnAnswer: the target lives, and says nothing of the packets. The guest is there.
func TestForwardingEndsWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	n.src.Arrive(packets(1)...)
	n.src.Announced()
	over := make(chan struct{})
	n.dst.Refuse = func(migration.Packet) bool {
		<-over
		return false
	}
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = n.receive(context.Background()) })
	r, err := migration.Send(within(t, 20*time.Second), n.send)
	close(over)
	wg.Wait()
	if err != nil || r.Outcome != migration.OutcomeCompleted || r.Network.Frames != 1 {
		t.Errorf("got %v, %v, %+v; want it completed", r.Outcome, err, r.Network)
	}
	n.wantMoved(t)
}

// TestForwardingInDoubt: with the link lost behind the commit no copy is given up before the answer.
func TestForwardingInDoubt(t *testing.T) {
	n := newNetwork(t)
	n.src.Arrive(packets(4)...)
	var once sync.Once
	n.tap(func(f byte, written bool) {
		if f == running && !written {
			once.Do(n.cut)
		}
	})
	asked := 0
	n.send.Ask = func(context.Context) (migration.Answer, error) {
		if asked++; asked < 2 {
			return migration.Unknown, nil
		}
		if diff := cmp.Diff([]string{"commit"}, n.src.Calls()); diff != "" {
			t.Errorf("in doubt (-want +got):\n%s", diff)
		}
		return migration.Started, nil
	}
	e := n.run(t, within(t, 20*time.Second))
	if got := e.sent.Network; got.Frames+got.Dropped != 4 || e.sent.Outcome != migration.OutcomeCompleted {
		t.Errorf("got %v, %+v; want it completed, with 4 packets sent or lost", e.sent.Outcome, got)
	}
	if diff := cmp.Diff([]string{"commit", "leave"}, n.src.Calls()); diff != "" {
		t.Errorf("source (-want +got):\n%s", diff)
	}
}

// TestForwardingWhilePulling: the network comes over beside the pages, once, also where the link is lost meanwhile.
func TestForwardingWhilePulling(t *testing.T) {
	for _, cut := range []bool{false, true} {
		n := newNetwork(t)
		w := n.pulls(t)
		n.send.Mode, n.send.Bandwidth = migration.Postcopy, 300e6
		all := packets(50)
		n.src.Arrive(all...)
		n.host.OnStart = n.src.Announced
		var once sync.Once
		n.send.Progress = func(p migration.Progress) {
			if cut && p.Phase == migration.PhasePull && p.RemainingBytes < 16*mib {
				once.Do(func() { w.cut(false) })
			}
		}
		e := n.run(t, within(t, 60*time.Second))
		if e.sentErr != nil || e.receivedErr != nil || cut != (e.sent.Rejoins > 0) {
			t.Fatalf("cut %v: got %v, %v, %d rejoins; want it moved", cut, e.sentErr, e.receivedErr, e.sent.Rejoins)
		}
		n.wantMoved(t)
		if diff := cmp.Diff(all, n.dst.Delivered()); diff != "" {
			t.Errorf("cut %v: delivered (-want +got):\n%s", cut, diff)
		}
		if diff := cmp.Diff([]string{"commit", "leave"}, n.src.Calls()); diff != "" {
			t.Errorf("cut %v: source (-want +got):\n%s", cut, diff)
		}
	}
}
