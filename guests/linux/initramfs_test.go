package linux

import (
	"bytes"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/u-root/u-root/pkg/cpio"
)

func TestInitramfs(t *testing.T) {
	archive, err := Initramfs([]byte("the init"), []byte("the busybox"))
	if err != nil {
		t.Fatal(err)
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(archive)))
	if err != nil {
		t.Fatal(err)
	}
	type file struct {
		Mode    uint64 // type and permissions
		Content string
	}
	got := make(map[string]file)
	for _, r := range records {
		content, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
		if err != nil {
			t.Fatal(err)
		}
		got[r.Name] = file{r.Mode, string(content)}
	}
	want := map[string]file{
		"init":        {0o100755, "the init"},
		"bin":         {0o040755, ""},
		"bin/busybox": {0o100755, "the busybox"},
		"bin/sh":      {0o120777, "busybox"},
		"bin/login":   {0o120777, "busybox"},
		"dev":         {0o040755, ""},
		"dev/console": {0o020600, ""},
		"proc":        {0o040755, ""},
		"sys":         {0o040755, ""},
		"tmp":         {0o041777, ""},
		"root":        {0o040700, ""},
		"etc":         {0o040755, ""},
		"etc/passwd":  {0o100644, "root::0:0:root:/root:/bin/sh\n"},
		"etc/group":   {0o100644, "root:x:0:\n"},
		"etc/profile": {0o100644, "export PATH=/bin\n[ -e /bin/ls ] || busybox --install -s /bin\n"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestInitramfsIsTheSameEachTime(t *testing.T) {
	first, err := Initramfs([]byte("i"), []byte("b"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := Initramfs([]byte("i"), []byte("b"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("got other bytes the second time; want the same")
	}
}
