package deb

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func sample() Package {
	return Package{
		Control: "Package: sample\nVersion: 1\nArchitecture: amd64\nMaintainer: nobody\nDescription: one\n",
		Scripts: map[string]string{"postinst": "#!/bin/sh\n"},
		Files: fstest.MapFS{
			"usr/bin/tool":    {Data: bytes.Repeat([]byte("x"), 1025), Mode: 0o755},
			"etc/sample/conf": {Data: []byte("a=1\n"), Mode: 0o640},
		},
		Time: time.Unix(1_700_000_000, 0),
	}
}

// members reads an ar archive.
func members(t *testing.T, text []byte) map[string][]byte {
	t.Helper()
	rest, ok := bytes.CutPrefix(text, []byte("!<arch>\n"))
	if !ok {
		t.Fatalf("got %.20q; want an archive", text)
	}
	all := make(map[string][]byte)
	for len(rest) > 0 {
		header := string(rest[:60])
		size, err := strconv.Atoi(strings.TrimSpace(header[48:58]))
		if err != nil || header[58:] != "`\n" {
			t.Fatalf("got the header %q", header)
		}
		all[strings.TrimSpace(header[:16])] = rest[60 : 60+size]
		rest = rest[60+size+size%2:]
	}
	return all
}

// listing of a compressed tar archive, and the text of its files.
func listing(t *testing.T, text []byte) (list []string, files map[string]string) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	files = make(map[string]string)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list, files
		} else if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, h.FileInfo().Mode().String()+" "+h.Uname+" "+h.Name)
		files[h.Name] = string(body)
	}
}

func TestWrite(t *testing.T) {
	var b, again bytes.Buffer
	if err := errors.Join(sample().Write(&b), sample().Write(&again)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), again.Bytes()) {
		t.Error("got two packages of the same files that differ; want them equal")
	}
	all := members(t, b.Bytes())
	if got := string(all["debian-binary"]); got != "2.0\n" {
		t.Errorf("got version %q of the format; want 2.0", got)
	}
	list, _ := listing(t, all["data.tar.gz"])
	want := []string{
		"drwxr-xr-x root ./", "drwxr-xr-x root ./etc/", "drwxr-xr-x root ./etc/sample/", "-rw-r--r-- root ./etc/sample/conf",
		"drwxr-xr-x root ./usr/", "drwxr-xr-x root ./usr/bin/", "-rwxr-xr-x root ./usr/bin/tool",
	}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	list, control := listing(t, all["control.tar.gz"])
	want = []string{"drwxr-xr-x root ./", "-rw-r--r-- root ./conffiles", "-rw-r--r-- root ./control", "-rw-r--r-- root ./md5sums", "-rwxr-xr-x root ./postinst"}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Errorf("control (-want +got):\n%s", diff)
	}
	wantControl := map[string]string{
		"./": "", "./conffiles": "/etc/sample/conf\n", "./postinst": "#!/bin/sh\n",
		"./control": sample().Control + "Installed-Size: 8\n",                                                              // two of the tool, one of the rest
		"./md5sums": "d5e29449b9e66d5b4bb0d6ce48fbbcb1  etc/sample/conf\n41b2b8ce59ecc0c64c9c7ecaae3002c3  usr/bin/tool\n", // as md5sum has them
	}
	if diff := cmp.Diff(wantControl, control); diff != "" {
		t.Errorf("control files (-want +got):\n%s", diff)
	}
}

func TestRefused(t *testing.T) {
	link := sample()
	link.Files = fstest.MapFS{"usr/bin/tool": {Mode: fs.ModeSymlink}}
	nameless := sample()
	nameless.Control = "Version: 1\n"
	for name, p := range map[string]Package{"a link": link, "no name": nameless} {
		var b bytes.Buffer
		if err := p.Write(&b); !errors.Is(err, ErrBadPackage) || b.Len() != 0 {
			t.Errorf("%s: got %v, %d bytes; want it refused", name, err, b.Len())
		}
	}
}

// full takes some bytes and no more.
type full int

func (f *full) Write(p []byte) (int, error) {
	if *f -= full(len(p)); *f < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

func TestFullDisk(t *testing.T) {
	for _, room := range []full{0, 10, 80, 200} {
		if err := sample().Write(&room); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("got %v; want that there was no room", err)
		}
	}
}
