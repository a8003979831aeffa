// Package snoop learns the addresses of a guest from what it says and hears on
// its network: ARP, neighbour discovery and DHCP. They are what is announced
// after a move; nothing else depends on them, and a guest that lies tells only
// lies that it could send itself.
//
// Source: RFC 5227 (a probe is no claim), RFC 4861 and RFC 4862 section 5.4
// (duplicate address detection), RFC 2131 and RFC 8415 (DHCP).
package snoop
