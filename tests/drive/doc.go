// Package drive runs the vmm command as people and scripts do: by its command
// line, exit codes, standard streams and JSON, and by nothing else. The
// end-to-end tests, the soak and the benchmark are written with it.
package drive
