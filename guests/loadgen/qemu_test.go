package loadgen_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func bootQEMU(t *testing.T, g guest) *running {
	t.Helper()
	g.defaults(t)
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		unavailable(t, "no qemu-system-x86_64: run tests/install-deps")
	}
	needKVM(t)
	machine := "microvm,rtc=off,pic=on,pit=on,isa-serial=on"
	socket := filepath.Join(shortDir(t), "qmp")
	args := []string{"-accel", "kvm", "-cpu", "qemu64,-cx16,-popcnt,-svm,+x2apic" + g.cpu, "-nodefaults", "-no-user-config", "-nographic",
		"-bios", "qboot.rom", // silent, and 20 times as quick as the default where ring 0 is slow
		"-no-reboot", "-smp", fmt.Sprint(g.cpus), "-m", fmt.Sprint(g.memory), "-kernel", g.kernel, "-append", g.cmdline,
		"-serial", "stdio", "-qmp", "unix:" + socket + ",server=on,wait=off"}
	if g.memoryFile != "" {
		args = append(args, "-object", fmt.Sprintf("memory-backend-file,id=ram,size=%dM,mem-path=%s,share=on", g.memory, g.memoryFile))
		machine += ",memory-backend=ram"
	}
	if devices := g.qemuDevices(); devices != nil {
		machine += ",acpi=off" // with it QEMU tells of the devices in tables, not on the command line
		args = append(append(args, "-global", "virtio-mmio.force-legacy=false"), devices...)
	}
	args = append(args, "-M", machine)
	cmd := exec.Command(qemu, append(args, g.extra...)...)
	r := start(t, g, cmd, func(r *running) { r.cmd.Process.Kill() })
	r.qmp = &qmp{socket: socket}
	return r
}

// qemuDevices are the arguments for the guest's virtio devices; nil if it has none.
func (g *guest) qemuDevices() (args []string) {
	if g.wire != nil {
		args = append(args, "-netdev", "tap,id=net,script=no,downscript=no,ifname="+tapName, "-device", "virtio-net-device,netdev=net"+g.options)
	}
	drive := g.drive
	if g.disk != "" {
		drive = "format=raw,cache=unsafe,discard=unmap,file=" + g.disk
	}
	if drive != "" {
		args = append(args, "-drive", "if=none,id=disk,"+drive, "-device", "virtio-blk-device,drive=disk"+g.options)
	}
	if g.vcon != "" {
		args = append(args, "-device", "virtio-serial-device"+g.options, "-device", "virtconsole,chardev=vcon",
			"-chardev", "socket,id=vcon,server=on,wait=off,path="+g.vcon)
	}
	if g.rng {
		args = append(args, "-device", "virtio-rng-device"+g.options)
	}
	if g.balloon {
		args = append(args, "-device", "virtio-balloon-device,free-page-reporting=on"+g.options)
	}
	return args
}

// qmp talks to QEMU's monitor.
type qmp struct {
	socket string
	conn   net.Conn
	in     *bufio.Reader
}

// do executes a command without arguments and waits for its answer.
func (q *qmp) do(t *testing.T, command string) {
	t.Helper()
	q.execute(t, map[string]any{"execute": command})
}

// stopAsleep stops the guest when its only CPU is halted.
func (q *qmp) stopAsleep(t *testing.T) {
	t.Helper()
	registers := map[string]any{"execute": "human-monitor-command", "arguments": map[string]string{"command-line": "info registers"}}
	for end := time.Now().Add(patience); time.Now().Before(end); {
		q.do(t, "stop")
		if text, _ := q.execute(t, registers).(string); strings.Contains(text, "HLT=1") {
			return
		}
		q.do(t, "cont")
	}
	t.Fatalf("got a CPU that never sleeps in %v; want it halted", patience)
}

// execute sends a request and returns what it answers.
func (q *qmp) execute(t *testing.T, request map[string]any) any {
	t.Helper()
	if q.conn == nil {
		conn, err := net.Dial("unix", q.socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		q.conn, q.in = conn, bufio.NewReader(conn)
		q.do(t, "qmp_capabilities")
	}
	q.conn.SetDeadline(time.Now().Add(patience))
	if err := json.NewEncoder(q.conn).Encode(request); err != nil {
		t.Fatal(err)
	}
	for {
		line, err := q.in.ReadBytes('\n')
		if err != nil {
			t.Fatalf("qmp %v: %v", request, err)
		}
		var answer map[string]any
		if err := json.Unmarshal(line, &answer); err != nil {
			t.Fatalf("qmp %v: %v", request, err)
		}
		if e, ok := answer["error"]; ok {
			t.Fatalf("qmp %v: %v", request, e)
		}
		if result, ok := answer["return"]; ok {
			return result
		}
	}
}
