package e2e

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/tests/drive"
)

func mkfifo(path string) error { return unix.Mkfifo(path, 0o600) }

// wordMistakes are command lines that make no sense: exit code 2.
var wordMistakes = []mistake{
	{"", nil, 2, "usage", "no command given", "--help"},
	{"nonsense", nil, 2, "usage", "unknown command", "--help"},
	{"help nonsense", nil, 2, "usage", "unknown command", "--help"},
	{"completion", nil, 2, "usage", "completion needs a shell", "--help"},
	{"completion tcsh", nil, 2, "usage", "unknown command", "--help"},
	{"run --user nobody-is-called-so", nil, 2, "usage", "unknown user", "run --help"},
	{"run --user 4000000000", nil, 2, "usage", "which group?", "run --help"},
	{"adopt", nil, 2, "usage", "adopt needs NAME", "--help"},
	{"run extra", nil, 2, "usage", "unexpected argument", "run --help"},
	{"run --nonsense", nil, 2, "usage", "unknown flag", "run --help"},
	{"run --memory", nil, 2, "usage", "flag needs an argument", "--help"},
	{"info", nil, 2, "usage", "vmm info needs NAME", "--help"},
	{"snapshot a", nil, 2, "usage", "vmm snapshot needs DIR", "--help"},
	{"info a/b", nil, 2, "usage", "cannot be the name of a machine", "at most 63"},
	{"run --name a/b", nil, 2, "usage", "use letters, digits", "--help"},
	{"run --memory 64", nil, 2, "usage", "write it as a number of MiB or GiB", "--help"},
	{"run --memory 15M", nil, 2, "usage", "a guest needs at least 16M", "--help"},
	{"balloon a 15M", nil, 2, "usage", "a guest needs at least 16M", "--help"},
	{"run --cpus 9", nil, 2, "usage", "want a number from 1 to 8", "--help"},
	{"run --hugepages 1G", nil, 2, "usage", "want 2M", "--help"},
	{"run --clock never", nil, 2, "usage", "want advance or freeze", "--help"},
	{"run --dirty-tracking log", nil, 2, "usage", "want auto or bitmap or ring", "--help"},
	{"run --console nonsense", nil, 2, "usage", "use stdio, none, unix:PATH or file:PATH", "--help"},
	{"run --json --console stdio", nil, 2, "usage", "--json and --console stdio cannot share stdout", "--help"},
	{"run --detach --console stdio", nil, 2, "usage", "--detach leaves no terminal for --console stdio", "--help"},
	{"run --detach --virtio-console stdio", nil, 2, "usage", "--detach leaves no terminal for --virtio-console stdio", "--help"},
	{"run --virtio-console stdio", nil, 2, "usage", "--virtio-console stdio needs stdout for itself", "--help"},
	{"run --vsock 2=unix:/x", nil, 2, "usage", "write it as CID=unix:PATH", "--help"},
	{"run --initrd $DIR/text", nil, 2, "usage", "--initrd needs --kernel", "--help"},
	{"run --kernel=", nil, 2, "usage", "--kernel needs the name of a file", "--help"},
	{"run --disk nonsense", nil, 2, "usage", "write it as ID=PATH", "--help"},
	{"run --disk a=b,cache=some", nil, 2, "usage", "write ,ro or ,cache=none", "--help"},
	{"run --disk a%=b", nil, 2, "usage", "use only letters, digits", "--help"},
	{"run --disk a=$DIR/disk --disk a=$DIR/other", nil, 2, "usage", "is given twice", "--help"},
	{"run --net a=bridge=x --net a=bridge=x", nil, 2, "usage", "is given twice", "--help"},
	{"run --net a", nil, 2, "usage", "no tap or bridge", "use ID=tap=NAME"},
	{"run --net a=tap=b,bridge=c", nil, 2, "usage", "want one of tap=, bridge= and macvtap=", "use ID=tap=NAME"},
	{"run --net a=tap=b,zzz=1", nil, 2, "usage", "there is no field", "use ID=tap=NAME"},
	{"run --net a=tap=b,mac=x", nil, 2, "usage", "not six bytes in hexadecimal", ""},
	{"run --net a=tap=b,mac=01:00:5e:00:00:01", nil, 2, "usage", "a multicast address, which no device can have", ""},
	{"run --net a=tap=b,ip=x", nil, 2, "usage", "not an IP address", ""},
	{"run --net a=tap=b,rate=1", nil, 2, "usage", "is not between 10k and 1000G", ""},
	{"run --net a=tap=averyveryverylongname", nil, 2, "usage", "a link's has at most 15", ""},
	{"run --net a=tap=b,route", nil, 2, "usage", "route needs to know where to", "give ip="},
	{"run --net A=tap=b", nil, 2, "usage", "cannot be the ID of a device", "small letters"},
	{"run -f $DIR/none.json", nil, 2, "usage", "no such file or directory", "check --file"},
	{"run -f $DIR/field.json", nil, 2, "usage", "there is no field", "docs/machine.schema.json"},
	{"run -f $DIR/type.json", nil, 2, "usage", "want a value of type", "docs/machine.schema.json"},
	{"run -f $DIR/value.json", nil, 2, "usage", "write it as a number of MiB or GiB", "docs/machine.schema.json"},
	{"run -f $DIR/list.json", nil, 2, "usage", "it is not an object of JSON", "docs/machine.schema.json"},
	{"run -f $DIR/pipe", nil, 2, "usage", "it is not an object of JSON", "docs/machine.schema.json"},
	{"run -f $DIR/twice.json", nil, 2, "usage", "is there twice", "docs/machine.schema.json"},
	{"run -f $DIR/long.json", nil, 2, "usage", "it is longer than 256 KiB", "docs/machine.schema.json"},
	{"receive", nil, 2, "usage", "receive needs --listen", "--help"},
	{"receive --listen nonsense", nil, 2, "usage", "is not an address of the form", "tcp:HOST:PORT"},
	{"receive --listen tcp:127.0.0.1:99999", nil, 2, "usage", "is not a port number", "tcp:HOST:PORT"},
	{"receive --listen tcp:a/b:1", nil, 2, "usage", "is not a host", "tcp:HOST:PORT"},
	{"receive --listen tcp:10.0.0.1:1", nil, 2, "insecure", "is not a loopback address", "--insecure"},
	{"receive --listen unix:", nil, 2, "usage", "names no file", "name a socket"},
	{"receive --listen unix:$LONG", nil, 2, "usage", "the path of a socket can have 107 bytes", "shorter"},
	{"migrate a tcp:127.0.0.1:0", nil, 2, "usage", "a target needs a host and a port", "--help"},
	{"migrate a tcp:10.0.0.1:1", nil, 2, "insecure", "is not a loopback address", "--insecure"},
	{"migrate a tcp:127.0.0.1:1 --mode lazycopy", nil, 2, "usage", "want auto or precopy or postcopy or hybrid or stopcopy or remote", "--help"},
	{"migrate a unix:/tmp/x --mode remote", nil, 2, "usage", "mode remote leaves the memory at the source", "--help"},
	{"migrate a tcp:127.0.0.1:1 --throttle 100", nil, 2, "usage", "want a number from 0 to 99", "--help"},
	{"migrate a tcp:127.0.0.1:1 --throttle 50 --mode hybrid", nil, 2, "usage", "--throttle goes with no --mode", "--help"},
	{"migrate a tcp:127.0.0.1:1 --downtime-limit 5", nil, 2, "usage", "write it with a unit, such as 50ms or 2m", "--help"},
	{"migrate a tcp:127.0.0.1:1 --downtime-limit -1ms", nil, 2, "usage", "want at least", "--help"},
	{"migrate a tcp:127.0.0.1:1 --channels 17", nil, 2, "usage", "want auto, or 1 to 16", "--help"},
	{"migrate a tcp:127.0.0.1:1 --compress gzip", nil, 2, "usage", "want auto or off or s2 or zstd or delta", "--help"},
	{"migrate a tcp:127.0.0.1:1 --bandwidth 5", nil, 2, "usage", "want 100k to 1000000G bits/s", "--help"},
	{"migrate a tcp:127.0.0.1:1 --bandwidth x", nil, 2, "usage", "write it in bits/s, such as 100M or 2.5G", "--help"},
	{"migrate a --resolve nobody", nil, 2, "usage", "want source or target", "--help"},
	{"migrate a --cancel --pull", nil, 2, "usage", "goes with no", "--help"},
	{"doctor --peer unix:/x", nil, 2, "usage", "a peer is another host's", "--help"},
	{"doctor --peer tcp:10.0.0.1:1", nil, 2, "insecure", "is not a loopback address", "--insecure"},
	{"dirty-rate a --duration 2m", nil, 2, "usage", "is more than 1m0s", "--help"},
	{"demo --moves 0", nil, 2, "usage", "want a number from 1 to 10000", "--help"},
	{"demo --rate -1", nil, 2, "usage", "want a whole number of MiB/s", "--help"},
}

func TestWordMistakes(t *testing.T) {
	ctx := within(t, time.Minute)
	site, err := drive.NewSite(vmm, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer site.Close()
	mistakes(t, ctx, site, mistakeFiles(t), wordMistakes)
}
