package api

// Receiving says how a receiver fares that no guest has come to yet.
type Receiving struct {
	Listening string `json:"listening"`         // tcp:HOST:PORT or unix:PATH
	Arriving  string `json:"arriving"`          // the name of the guest that is being taken in; empty: none
	Attempts  int    `json:"attempts"`          // moves that began so far
	Failure   *Error `json:"failure,omitempty"` // why the last one failed
}
