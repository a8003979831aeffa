package linux

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// kernelFiles are what a kernel is built by.
//
//go:embed kernel
var kernelFiles embed.FS

// kernelFile returns one of them.
func kernelFile(name string) []byte {
	b, err := kernelFiles.ReadFile("kernel/" + name)
	if err != nil {
		panic(err) // embedded
	}
	return b
}

// adaptation is the script that changes the source for a variant: adapt, and what the variant may have behind it.
func adaptation(v Variant) []byte {
	more, err := kernelFiles.ReadFile("kernel/" + string(v) + ".adapt")
	if err != nil { // embedded: it has none
		return kernelFile("adapt")
	}
	return append(kernelFile("adapt"), more...)
}

// writeKernelFiles writes what a variant is built by to a new folder.
func writeKernelFiles(dir string, v Variant) error {
	files, err := fs.Sub(kernelFiles, "kernel")
	if err != nil {
		return err
	}
	if err := os.CopyFS(dir, files); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "adapt"), adaptation(v), 0o644); err != nil {
		return err
	}
	for _, script := range []string{"adapt", "build"} {
		if err := os.Chmod(filepath.Join(dir, script), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// key names something by all that it is made of.
func key(name string, parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:", len(p))
		h.Write(p)
	}
	return name + "-" + hex.EncodeToString(h.Sum(nil))[:16]
}

// kernelKey names the kernel of a variant, made from this version of the source with this compiler.
func kernelKey(v Variant, source, compiler string) string {
	return key("kernel-"+string(v), adaptation(v), kernelFile("build"), kernelFile("common.config"),
		kernelFile(string(v)+".config"), kernelFile(string(v)+".cmdline"), []byte(source), []byte(compiler))
}

// compiler returns what gcc says of itself; empty without one.
func compiler(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "gcc", "--version").Output()
	if err != nil {
		return ""
	}
	first, _, _ := bytes.Cut(out, []byte("\n"))
	return string(first)
}

// initPackage is the guest's process 1.
const initPackage = "github.com/ferryvmm/ferry/guests/linux/init"

// buildInit compiles it. The same source gives the same bytes.
func buildInit(ctx context.Context) ([]byte, error) {
	dir, err := os.MkdirTemp("", "ferry-init-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "init")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", path, initPackage)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("linux: go build %s: %w\n%s", initPackage, err, out)
	}
	return os.ReadFile(path)
}
