package api

// BalloonRequest asks the guest to do with less memory than it was given, or with more again.
type BalloonRequest struct {
	MemoryBytes uint64 `json:"memory_bytes"` // from 16 MiB to what it was given
}
