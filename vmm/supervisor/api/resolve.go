package api

// Owner is a side of a move: whose the guest is.
type Owner string

// The owners.
const (
	OwnerSource Owner = "source"
	OwnerTarget Owner = "target"
)

// Check returns an error if o is neither.
func (o Owner) Check() error {
	if o == OwnerSource || o == OwnerTarget {
		return nil
	}
	return Errorf(CodeBadRequest, "say source or target", "%q cannot own a guest", o)
}

// ResolveRequest asks to decide a move that is in doubt.
type ResolveRequest struct {
	Owner Owner `json:"owner"`
}
