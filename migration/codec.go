package migration

import (
	"github.com/fxamacker/cbor/v2"
)

// canonical writes CBOR of which there is one form only.
var canonical = func() cbor.EncMode {
	m, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return m
}()

// strict reads CBOR from peers and files: no repeated or unknown keys, no
// indefinite lengths or tags, and bounds on depth and number. Lengths are
// checked against the bytes that are there before anything is allocated.
var strict = func() cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:   24,
		MaxArrayElements:  1 << 17,
		MaxMapPairs:       1 << 12,
	}.DecMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return m
}()
