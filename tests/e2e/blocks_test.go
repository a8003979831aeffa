package e2e

import (
	"io/fs"
	"syscall"
)

// blocks is how many bytes of disk a file occupies.
func blocks(st fs.FileInfo) uint64 {
	return uint64(st.Sys().(*syscall.Stat_t).Blocks) * 512
}
