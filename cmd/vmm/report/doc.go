// Package report writes how a move went as one HTML page, which needs no network and no script: what took the time, and why.
package report
