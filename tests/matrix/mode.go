package main

// mode is how a guest is moved.
type mode struct {
	name  string
	how   string   // the word for --mode; empty: name
	guest string   // loadgen's command line
	net   bool     // the guest has a network, and somebody talks to it
	args  []string // of migrate
	pulls bool     // pages follow the guest
	stays bool     // they stay at the source until they are asked for
}

func (m mode) String() string { return m.name }

// writing is a guest that writes; busy one that has written much by the end of a push,
// so that hybrid has something to leave behind.
const (
	writing = "fill=8 wss=4 rate=2 countreg=1"
	busy    = "fill=8 wss=8 rate=32 countreg=1"
	talking = writing + " net=" + guestIP + "/24"
)

// guestIP is the address of a guest that talks.
const guestIP = "10.77.0.100"

// modes are the modes of the matrix, each with the bandwidth at which a move takes
// about a second. auto has a link that is fast enough: it moves as precopy, with the
// connections of one that may pull; what it does on a slow link is hybrid.
var modes = []mode{
	{name: "stopcopy", guest: writing},
	{name: "precopy", guest: writing, args: []string{"--bandwidth", "200M"}},
	{name: "auto", guest: writing, args: []string{"--bandwidth", "300M"}},
	{name: "postcopy", guest: writing, args: []string{"--bandwidth", "200M"}, pulls: true},
	{name: "hybrid", guest: busy, args: []string{"--bandwidth", "100M"}, pulls: true},
	{name: "network", how: "precopy", guest: talking, args: []string{"--bandwidth", "200M"}, net: true},
	{name: "network-pull", how: "postcopy", guest: talking, args: []string{"--bandwidth", "200M"}, net: true, pulls: true},
	{name: "remote", guest: writing, args: []string{"--bandwidth", "200M"}, pulls: true, stays: true},
}
