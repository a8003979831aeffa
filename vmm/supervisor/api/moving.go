package api

// Moving is the move or snapshot that is under way at a machine, or the last one that left the guest there.
type Moving struct {
	Active   bool      `json:"active"`             // it is under way
	Target   string    `json:"target"`             // where to: an address, or the folder of a snapshot; empty: there was none
	Mode     string    `json:"mode"`               // as asked for; empty for a snapshot
	Progress *Progress `json:"progress,omitempty"` // the last report
	Result   *Result   `json:"result,omitempty"`   // how it ended
}
