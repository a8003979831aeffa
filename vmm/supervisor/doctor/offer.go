package doctor

import (
	"encoding/json"
	"fmt"

	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vcpu"
)

// Offer is what a receiver says that its host can take. Readers ignore fields that they do not know, so that either host may be newer.
type Offer struct {
	Program   string          `json:"program"`         // version of vmm, for people
	CPU       json.RawMessage `json:"cpu"`             // as vmm cpu prints it
	FreeBytes uint64          `json:"free_bytes"`      // memory for guests; 0: it could not be told
	HugeBytes uint64          `json:"free_huge_bytes"` // of huge pages
	NoPull    string          `json:"no_pull"`         // why it can pull no pages; empty: it can
	Busy      bool            `json:"busy"`            // it takes a guest in, or has one
}

// Encode packs the offer for the other end.
func (o Offer) Encode() ([]byte, error) {
	b, err := json.Marshal(o)
	if err == nil && len(b) > migration.MaxOffer {
		err = fmt.Errorf("an offer of %d bytes, more than %d", len(b), migration.MaxOffer)
	}
	return b, err
}

// DecodeOffer reads what a peer said, and its CPU. Errors say what makes no sense.
func DecodeOffer(b []byte) (o Offer, cpu vcpu.Model, err error) {
	if len(b) > migration.MaxOffer {
		return o, cpu, fmt.Errorf("an offer of %d bytes, more than %d", len(b), migration.MaxOffer)
	}
	if err := json.Unmarshal(b, &o); err != nil {
		return o, cpu, fmt.Errorf("an offer that cannot be read: %w", err)
	}
	if cpu, err = vcpu.DecodeModel(o.CPU); err != nil {
		return o, cpu, fmt.Errorf("an offer with a CPU that makes no sense: %w", err)
	}
	return o, cpu, nil
}
