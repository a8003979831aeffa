package uffd

import (
	"testing"

	"github.com/ferryvmm/ferry/internal/abitest"
)

func TestRequestsAreAll(t *testing.T) { abitest.Requests(t, "abi.go", Requests()) }
