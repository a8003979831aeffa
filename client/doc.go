// Package client starts and finds the machines of a host for Go programs, and gives them the API of each.
//
// A [Host] is a state folder and the vmm command: its Run and Receive start a machine in the background, Machine and Machines
// find those that run. What they return is an [api.Client], one machine: it describes, pauses, moves, saves and stops it, and tells what
// happens to it. Requests and answers are types of package api; docs/openapi.json describes them for other languages.
//
// The examples boot a guest ([Host.Run]) and move one while it runs ([Host.Receive]).
//
// The package needs nothing but the standard library. It talks to unix sockets of mode 0600: to those of machines of the same user, or
// as root to all. Errors of a machine, and of the command, are an [*api.Error], which has a code for programs and a remedy for people.
package client
