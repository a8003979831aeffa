package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// sumsFile, beside the pictures, has for each the SHA-256 of what it shows and of itself.
const sumsFile = "screenshots.sha256"

// sums are the lines of sumsFile as they are to be now.
func sums(root string) (string, error) {
	var b strings.Builder
	for _, p := range pictures {
		shows, err := p.fact(root)
		if err != nil {
			return "", err
		}
		image, err := os.ReadFile(filepath.Join(root, folder, p.Name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%x %x %s\n", sha256.Sum256([]byte(shows)), sha256.Sum256(image), p.Name)
	}
	return b.String(), nil
}

func writeSums(root string) error {
	text, err := sums(root)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, folder, sumsFile), []byte(text), 0o644)
}
