// Package deb writes Debian binary packages, deb(5): an ar archive of two compressed tar archives, one of what dpkg is to know, one of the files. What is
// written depends on nothing but what is given: the same files make the same package.
package deb

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/md5" //nolint:gosec // what the format has for finding changed files; no secret depends on it
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// ErrBadPackage: what was to be packaged cannot be. Correct what the message names.
var ErrBadPackage = errors.New("not a package")

// Package is what goes into a package.
type Package struct {
	// Control is the control file, deb-control(5), without Installed-Size, which is computed.
	Control string
	// Scripts of the maintainer by their names: preinst, postinst, prerm, postrm.
	Scripts map[string]string
	// Files are installed below the root as they lie below this one, owned by root, for all to read, and to run what its owner may run. Those below etc are the administrator's from then on
	// (deb-conffiles(5)). Only folders and regular files.
	Files fs.FS
	// Time of everything in the package.
	Time time.Time
}

// entry is a file of an archive. The name begins with "./".
type entry struct {
	name string
	mode fs.FileMode
	text []byte
}

// Write writes the package.
func (p Package) Write(w io.Writer) error {
	if !strings.HasPrefix(p.Control, "Package: ") || !strings.HasSuffix(p.Control, "\n") {
		return fmt.Errorf("%w: the control file does not begin with a name, or has no end: %q", ErrBadPackage, p.Control)
	}
	files, err := p.files()
	if err != nil {
		return err
	}
	data, err := p.archive(files)
	if err != nil {
		return err
	}
	control, err := p.archive(p.control(files))
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, "!<arch>\n"); err != nil {
		return err
	}
	for _, member := range []entry{{name: "debian-binary", text: []byte("2.0\n")}, {name: "control.tar.gz", text: control}, {name: "data.tar.gz", text: data}} {
		// ar(5): name, time, owner, group, mode in octal, size, each padded with blanks.
		if _, err := fmt.Fprintf(w, "%-16s%-12d%-6d%-6d%-8o%-10d`\n", member.name, p.Time.Unix(), 0, 0, 0o100644, len(member.text)); err != nil {
			return err
		}
		if len(member.text)%2 == 1 { // members begin at even places
			member.text = append(member.text, '\n')
		}
		if _, err := w.Write(member.text); err != nil {
			return err
		}
	}
	return nil
}

// files are those of the package, in the order of their names, each folder before what is in it.
func (p Package) files() ([]entry, error) {
	var all []entry
	err := fs.WalkDir(p.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		e := entry{name: "./" + name}
		switch {
		case d.IsDir() && name == ".":
			e.name, e.mode = "./", fs.ModeDir|0o755
		case d.IsDir():
			e.name, e.mode = e.name+"/", fs.ModeDir|0o755
		case d.Type().IsRegular():
			e.mode = 0o644 // whatever the umask was
			if info.Mode()&0o111 != 0 {
				e.mode = 0o755
			}
			if e.text, err = fs.ReadFile(p.Files, name); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%w: %s is neither a folder nor a file: leave it out", ErrBadPackage, name)
		}
		all = append(all, e)
		return nil
	})
	return all, err
}

// control is what dpkg is to know of files.
func (p Package) control(files []entry) []entry {
	var sums, conffiles bytes.Buffer
	size := 0 // in KiB, each file and folder rounded up
	for _, f := range files {
		size += max((len(f.text)+1023)/1024, 1)
		if f.mode.IsDir() {
			continue
		}
		name := strings.TrimPrefix(f.name, "./")
		fmt.Fprintf(&sums, "%x  %s\n", md5.Sum(f.text), name) //nolint:gosec // as above
		if strings.HasPrefix(name, "etc/") {
			fmt.Fprintf(&conffiles, "/%s\n", name)
		}
	}
	all := []entry{
		{name: "./", mode: fs.ModeDir | 0o755},
		{name: "./control", mode: 0o644, text: fmt.Appendf(nil, "%sInstalled-Size: %d\n", p.Control, size)},
		{name: "./md5sums", mode: 0o644, text: sums.Bytes()},
	}
	if conffiles.Len() > 0 {
		all = append(all, entry{name: "./conffiles", mode: 0o644, text: conffiles.Bytes()})
	}
	for name, text := range p.Scripts {
		all = append(all, entry{name: "./" + path.Base(name), mode: 0o755, text: []byte(text)})
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	return all
}

// archive is a compressed tar archive.
func (p Package) archive(files []entry) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	t := tar.NewWriter(z)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: int64(f.mode.Perm()), Size: int64(len(f.text)), ModTime: p.Time, Format: tar.FormatGNU, Uname: "root", Gname: "root", Typeflag: tar.TypeReg}
		if f.mode.IsDir() {
			h.Typeflag = tar.TypeDir
		}
		if err := t.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := t.Write(f.text); err != nil {
			return nil, err
		}
	}
	err = errors.Join(t.Close(), z.Close())
	return b.Bytes(), err
}
