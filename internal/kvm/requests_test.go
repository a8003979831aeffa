package kvm

import (
	"testing"

	"github.com/ferryvmm/ferry/internal/abitest"
)

func TestRequestsAreAll(t *testing.T) { abitest.Requests(t, "ioctl.go", Requests()) }
