package main

// mode is how a guest is moved.
type mode struct {
	name  string
	args  []string // of migrate
	pulls bool     // pages follow the guest
	stays bool     // they stay at the source until they are asked for
}

// modes are the modes of the matrix, each with the bandwidth at which a move takes
// about a second. auto has a link that is fast enough: it moves as precopy, with the
// connections of one that may pull; what it does on a slow link is hybrid.
var modes = []mode{
	{name: "stopcopy"},
	{name: "precopy", args: []string{"--bandwidth", "200M"}},
	{name: "auto", args: []string{"--bandwidth", "300M"}},
	{name: "postcopy", args: []string{"--bandwidth", "200M"}, pulls: true},
	{name: "hybrid", args: []string{"--bandwidth", "100M"}, pulls: true},
	{name: "remote", args: []string{"--bandwidth", "200M"}, pulls: true, stays: true},
}
