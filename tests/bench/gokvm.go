package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// gokvmModule is a peer that boots and does not migrate. Its version is that of go.mod.
const gokvmModule = "github.com/bobuhiro11/gokvm"

// buildGokvm builds the peer into dir and returns its path.
func buildGokvm(ctx context.Context, dir string) (string, error) {
	version, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", gokvmModule).Output()
	if err != nil {
		return "", fmt.Errorf("the version of gokvm: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "install", gokvmModule+"@"+string(bytes.TrimSpace(version)))
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build gokvm: %w\n%s", err, out)
	}
	return filepath.Join(dir, "gokvm"), nil
}
