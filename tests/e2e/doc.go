// Package e2e holds the end-to-end tests: machines that boot, move between two
// hosts, are cut off, killed and fed with nonsense, all through the command
// line and its documented output.
package e2e
