// Package pack makes pages of guest memory small, and whole again: pages of few distinct words, differences to an older
// version, and general compression of blocks of pages. It knows nothing of frames and connections. Everything that
// decodes is bounded by the size that is expected, and trusts no byte.
package pack
