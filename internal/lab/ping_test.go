package lab

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// answerer answers UDP at port 7 of a host as answer says: with any number of packets.
func answerer(t *testing.T, h *Host, answer func(b []byte) [][]byte) {
	t.Helper()
	var conn *net.UDPConn
	err := h.Do(func() (err error) {
		conn, err = net.ListenUDP("udp", &net.UDPAddr{Port: echoPort})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-ended })
	go func() {
		defer close(ended)
		b := make([]byte, 2048)
		for {
			k, from, err := conn.ReadFromUDP(b)
			if err != nil {
				return
			}
			for _, a := range answer(b[:k:k]) {
				if _, err := conn.WriteToUDP(a, from); err != nil {
					return
				}
			}
		}
	}()
}

// startPing returns once the two hosts know each other's address, which may
// take packets that are lost.
func startPing(t *testing.T, c PingConfig) *Ping {
	t.Helper()
	p, err := StartPing(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t, 20*time.Second)
	if err := p.Begin(ctx); err != nil {
		t.Fatal(err)
	}
	return p
}

// sendMany stops a client after at least n packets more, of which it tells.
func sendMany(t *testing.T, p *Ping, n int) PingReport {
	t.Helper()
	ctx := within(t, 20*time.Second)
	for end := p.count() + n; p.count() < end; {
		if err := p.Await(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return p.Stop()
}

// TestPingCountsNothing where every packet is answered: in each protocol and family.
func TestPingCountsNothing(t *testing.T) {
	l := newLab(t, 2)
	answerer(t, l.Hosts[1], func(b []byte) [][]byte { return [][]byte{b} })
	for _, c := range []PingConfig{
		{Over: UDP, To: l.Hosts[1].Addr}, {Over: ICMP, To: l.Hosts[1].Addr}, {Over: UDP, To: l.Hosts[1].Addr6}, {Over: ICMP, To: l.Hosts[1].Addr6},
	} {
		c.From = l.Hosts[0]
		r := sendMany(t, startPing(t, c), 50)
		if r.Bad() || r.Sent < 50 {
			t.Errorf("%s to %v: got %v; want 50 packets sent, all answered", c.Over, c.To, r)
		}
		t.Logf("%s to %v: %v", c.Over, c.To, r)
	}
}

// TestPingCounts wants each thing that goes wrong to be counted once, as what it is.
func TestPingCounts(t *testing.T) {
	l := newLab(t, 2)
	var held []byte
	counted := 0
	met := make(chan struct{}) // closed when both know each other's address
	answerer(t, l.Hosts[1], func(b []byte) [][]byte {
		select {
		case <-met:
			counted++
		default:
		}
		switch counted {
		case 10, 11, 12: // lost
			return nil
		case 20: // twice
			return [][]byte{b, b}
		case 30:
			held = append([]byte(nil), b...)
			return nil
		case 31: // the other way round
			return [][]byte{b, held}
		case 40:
			b[len(b)-1]++
			return [][]byte{b}
		}
		return [][]byte{b}
	})
	p := startPing(t, PingConfig{From: l.Hosts[0], To: l.Hosts[1].Addr, Over: UDP})
	close(met)
	r := sendMany(t, p, 60)
	if r.Silence < 2*Pace {
		t.Errorf("got a silence of %v; want at least that of the three lost packets", r.Silence)
	}
	got := PingReport{Lost: r.Lost, Duplicated: r.Duplicated, Reordered: r.Reordered, Wrong: r.Wrong}
	want := PingReport{Lost: 4, Duplicated: 1, Reordered: 1, Wrong: 1} // a wrong answer is none
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

// TestPingSilence cuts the link for a while: what was sent then is lost, and the silence is as long.
func TestPingSilence(t *testing.T) {
	l := newLab(t, 2)
	answerer(t, l.Hosts[1], func(b []byte) [][]byte { return [][]byte{b} })
	p := startPing(t, PingConfig{From: l.Hosts[0], To: l.Hosts[1].Addr, Over: UDP})
	if err := p.Await(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	const dark = 50 * time.Millisecond
	start := Now()
	if err := l.Hosts[1].Cut(); err != nil {
		t.Fatal(err)
	}
	sleepUntil(Now() + dark)
	if err := l.Hosts[1].Restore(); err != nil {
		t.Fatal(err)
	}
	if err := p.Settle(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	r := p.ReportSince(start)
	if r.Lost == 0 || r.LostAt+5*Pace < start || r.LostAt > start+dark || r.Silence < dark-5*Pace || r.SilenceAt+5*Pace < start || r.Duplicated > 0 {
		t.Errorf("got %v from %v on; want packets lost, and a silence of %v from %v on", r, r.SilenceAt, dark, start)
	}
	end := Now()
	if all := p.Stop(); all.Sent <= r.Sent || all.Silence < r.Silence {
		t.Errorf("got %v since the beginning; want more than %v", all, r)
	}
	if late := p.ReportSince(end + time.Hour); late.Sent != 0 || late.Lost != 0 || late.Silence != 0 {
		t.Errorf("got %v since a time to come; want nothing", late)
	}
}

func TestPingRefusesProtocols(t *testing.T) {
	l := newLab(t, 1)
	if p, err := StartPing(PingConfig{From: l.Hosts[0], To: l.Hosts[0].Addr, Over: "tcp"}); err == nil {
		p.Stop()
		t.Error("got no error; want one")
	}
}

// TestPingAnswerForm: what comes from elsewhere is no answer, however it is cut.
func TestPingAnswerForm(t *testing.T) {
	s := pingSocket{mark: 0x1122334455667788, header: icmpHeader, request: 8, reply: 0, withIP: true}
	q := make([]byte, s.size())
	s.question(q, 7)
	if sum(q) != 0 {
		t.Errorf("got a checksum that does not fit: %x", q[2:4])
	}
	q[0] = s.reply
	whole := append(append([]byte{0x45}, make([]byte, 19)...), q...)
	if n, kind := s.answer(whole); n != 7 || kind != right {
		t.Errorf("got number %d, kind %d; want 7, right", n, kind)
	}
	for i := range whole {
		if _, kind := s.answer(whole[:i]); kind == right {
			t.Errorf("%d bytes of an answer: got it right", i)
		}
	}
	whole[20] = 3 // unreachable
	if _, kind := s.answer(whole); kind != stranger {
		t.Errorf("another type: got kind %d; want that of a stranger", kind)
	}
}

// TestArrival: a packet's stamp is its own, however late it is read.
func TestArrival(t *testing.T) {
	if at := arrival(nil); at > Now() || Now()-at > time.Minute {
		t.Errorf("got %v without a stamp; want now", at)
	}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := stamped(raw); err != nil && !errors.Is(err, unix.EPERM) {
		t.Fatal(err)
	}
	// The kernel begins to stamp some time after it was asked to.
	for range 50 {
		before := Now()
		if _, err := conn.WriteToUDP([]byte("x"), conn.LocalAddr().(*net.UDPAddr)); err != nil {
			t.Fatal(err)
		}
		after := Now()
		sleepUntil(after + 20*time.Millisecond)
		b, oob := make([]byte, 8), make([]byte, 128)
		_, oobn, _, _, err := conn.ReadMsgUDPAddrPort(b, oob)
		if err != nil {
			t.Fatal(err)
		}
		if at := arrival(oob[:oobn]); at > before-time.Millisecond && at < after+10*time.Millisecond {
			return
		}
	}
	t.Error("got no packet that came when it was sent; want its stamp not to be that of reading it")
}
