package uffd

import (
	"testing"

	"github.com/ferryvmm/ferry/internal/abitest"
)

func TestABIMatchesGolden(t *testing.T) { abitest.Golden(t, abiTable) }
func TestABIMatchesHeader(t *testing.T) { abitest.Headers(t, abiTable) }
