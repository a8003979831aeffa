// Command deb makes a Debian package of an installed tree: make deb.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ferryvmm/ferry/internal/deb"
)

func main() {
	var root, meta, version, arch, out string
	var seconds int64
	flag.StringVar(&root, "root", "", "what is installed, a `folder`")
	flag.StringVar(&meta, "meta", "dist/deb", "the control file, with @VERSION@ and @ARCH@, and the maintainer's scripts, a `folder`")
	flag.StringVar(&version, "version", "", "of the package, deb-version(7)")
	flag.StringVar(&arch, "arch", "amd64", "the architecture")
	flag.StringVar(&out, "o", "", "the package, a `file`")
	flag.Int64Var(&seconds, "time", 0, "of all that is in it, in `seconds` of 1970")
	flag.Parse()
	if err := run(root, meta, version, arch, out, time.Unix(seconds, 0)); err != nil {
		fmt.Fprintf(os.Stderr, "deb: %v\n", err)
		os.Exit(1)
	}
	fmt.Println(out)
}

// run writes the package whole or not at all.
func run(root, meta, version, arch, out string, at time.Time) error {
	control, err := os.ReadFile(filepath.Join(meta, "control"))
	if err != nil {
		return err
	}
	p := deb.Package{
		Control: strings.NewReplacer("@VERSION@", version, "@ARCH@", arch).Replace(string(control)),
		Scripts: make(map[string]string), Files: os.DirFS(root), Time: at,
	}
	for _, name := range []string{"preinst", "postinst", "prerm", "postrm"} {
		text, err := os.ReadFile(filepath.Join(meta, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		p.Scripts[name] = string(text)
	}
	tmp, err := os.CreateTemp(filepath.Dir(out), ".deb-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // renamed where all is well
	if err := errors.Join(p.Write(tmp), tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), out)
}
