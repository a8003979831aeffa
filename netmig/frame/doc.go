// Package frame reads the beginning of Ethernet frames, as far as it tells whose
// they are: Ethernet, ARP, IP, neighbour discovery and DHCP. Who reads keeps nothing
// and allocates nothing; whatever does not fit a format is said to be none.
// Checksums are not looked at: guests leave them to devices. It also makes frames of ARP
// and of neighbour discovery.
package frame
