package api

import (
	"os"
	"path/filepath"
)

// Dir returns the folder of sockets, process ids and logs, whether or not it is there: $FERRY_DIR, else /run/ferry for root,
// else $XDG_RUNTIME_DIR/ferry. Two folders are two hosts. The error has code CodeNoDir.
func Dir() (string, error) {
	dir := os.Getenv("FERRY_DIR")
	if dir == "" && os.Geteuid() == 0 {
		dir = "/run/ferry"
	}
	if dir == "" {
		run := os.Getenv("XDG_RUNTIME_DIR")
		if run == "" {
			return "", Errorf(CodeNoDir, "set FERRY_DIR to a folder of yours", "neither FERRY_DIR nor XDG_RUNTIME_DIR is set")
		}
		dir = filepath.Join(run, "ferry")
	}
	return dir, nil
}
