package e2e

import (
	"slices"
	"testing"
	"time"
)

// nobody is a user without rights, and asNobody a wrapper that runs a command as that user.
const nobody = 65534

var asNobody = []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "FERRY_DIR=$DIR/nobody"}

// startMistakes are what keeps a guest from being started, or received, on a host where nothing runs.
var startMistakes = []mistake{
	{"run --kernel $DIR/none", nil, 1, "kernel", "no such file or directory", "check --kernel"},
	{"run --kernel $DIR/pipe", nil, 1, "kernel", "is not a regular file", "check --kernel"},
	{"run --kernel $DIR/text", nil, 1, "kernel", "not a kernel for x86", "PVH"},
	{"run --kernel $DIR/elf", nil, 1, "kernel", "file is truncated or damaged", "PVH"},
	{"run --kernel $DIR/text --initrd $DIR/none", nil, 1, "initrd", "no such file or directory", "check --initrd"},
	{"run --cpu $DIR/none", nil, 1, "cpu", "no such file or directory", "vmm cpu"},
	{"run --cpu $DIR/cpu.json", nil, 1, "cpu", "not a CPU model", "vmm cpu"},
	{"run --cmdline $WIDE", nil, 1, "config", "are more than the 2047 that a kernel takes", "shorten"},
	{"run --memory 900G", nil, 1, "no_memory", "does not fit: this host has", "smaller --memory"},
	{"run --memory 1000000G", nil, 1, "config", "must be whole MiB, from 16 MiB to 1024 GiB", "--memory"},
	{"run --hugepages 2M --memory 100G", nil, 1, "no_memory", "in huge pages does not fit", "vm.nr_hugepages"},
	{"run --disk a=$DIR/none", nil, 1, "image", "no such file or directory", "truncate"},
	{"run --disk a=$DIR", nil, 1, "image", "is a directory", "name a file in it"},
	{"run --disk a=$DIR/pipe", nil, 1, "image", "is neither a file nor a block device", "regular file"},
	{"run --disk a=$DIR/empty", nil, 1, "image", "shorter than a block", "truncate"},
	{"run --disk a=$DIR/disk --disk b=$DIR/disk", nil, 1, "image_locked", "is in use: another machine (or QEMU) has it locked", "lslocks"},
	{"run --user 1:1", []string{"setpriv", "--bounding-set", "-setuid,-setgid"}, 1, "user", "only root may start a machine as another user", "without --user"},
	{"run --net a=bridge=none", nil, 1, "network_absent", "there is no bridge", "ip link add"},
	{"run --net a=bridge=lo", nil, 1, "network_mismatch", "is not a bridge but of type", "ip link show"},
	{"run --net a=tap=lo", nil, 1, "network_mismatch", "is not a tap", "name a tap"},
	{"run --net a=macvtap=none", nil, 1, "network_absent", "there is no link", "ip link"},
	{"run --net a=bridge=br0,vlan=7", nil, 1, "network_mismatch", "does not filter VLANs", "vlan_filtering"},
	{"run --net a=tap=t9,route,ip=10.77.0.1", nil, 1, "network_taken", "is this host's own", "another ip="},
	{"run --net a=tap=t9,route,ip=10.78.0.1", nil, 1, "network_mismatch", "does not forward packets", "sysctl -w"},
	{"run --console unix:/nonexistent/x", nil, 1, "console", "bind: no such file or directory", "in a folder that you may write to"},
	{"run --console unix:$DIR/text", nil, 1, "console", "bind: address already in use", "remove a socket that is left over"},
	{"run --console file:$DIR", nil, 1, "console", "is a directory", "choose a file"},
	{"run --console file:$DIR/pipe", nil, 1, "console", "is a pipe", "choose a file"},
	{"run --virtio-console unix:/nonexistent/x", nil, 1, "virtio-console", "bind: no such file or directory", "choose a path"},
	{"run --vsock 3=unix:$DIR/text", nil, 1, "vsock", "bind: address already in use", "choose a path"},
	{"run --fence-hook $DIR/none", nil, 1, "fence_hook", "no such file or directory", "a program"},
	{"run --fence-hook $DIR/text", nil, 1, "fence_hook", "cannot be executed", "#!"},
	{"run --shared-records $DIR/none", nil, 1, "shared_records", "no such file or directory", "a folder"},
	{"receive --listen tcp:10.99.99.99:0 --insecure", nil, 1, "listen", "cannot assign requested address", "another address"},
	{"receive --listen unix:$DIR/text", nil, 1, "listen", "there is a file that is no socket", "another path"},
	{"receive --listen unix:/nonexistent/x", nil, 1, "listen", "bind: no such file or directory", "in a folder that you may write to"},
	{"restore $DIR/none", nil, 1, "no_snapshot", "holds no snapshot", "vmm snapshot wrote"},
	{"cpu $DIR/none", nil, 1, "cpu", "no such file or directory", "vmm cpu"},
	{"man $DIR/text", nil, 1, "man", "not a directory", "a folder"},
	{"run", []string{"env", "FERRY_DIR=/proc/none"}, 1, "no_dir", "state folder: mkdir", "set FERRY_DIR"},
	{"run", []string{"env", "FERRY_DIR=/dev/null"}, 1, "no_dir", "state folder: mkdir", "set FERRY_DIR"},
	{"run", append(covered("/dev/kvm", "/etc/shadow"), asNobody...), 1, "no_kvm", "/dev/kvm may not be opened by this user", "usermod -aG kvm"},
	{"ps", slices.Concat(asNobody[:len(asNobody)-1], []string{"-u", "FERRY_DIR", "-u", "XDG_RUNTIME_DIR"}), 1, "no_dir", "neither FERRY_DIR nor XDG_RUNTIME_DIR is set", "set FERRY_DIR"},
	{"run", covered("/dev/kvm", "/dev/null"), 1, "no_kvm", "/dev/kvm cannot be used", "kvm module"},
	{"receive --listen tcp:127.0.0.1:0", covered("/dev", "/etc"), 1, "no_kvm", "this host has no /dev/kvm", "modul"},
}

func TestStartMistakes(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	if err := w.Lab.Hosts[0].Bridge(); err != nil {
		t.Fatal(err)
	}
	mistakes(t, ctx, w.Sites[0], mistakeFiles(t), startMistakes)
}
