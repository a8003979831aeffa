package report

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// sizeText is a size in bytes.
func sizeText(n float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= unit.size {
			return digits(n/unit.size) + " " + unit.name
		}
	}
	return fmt.Sprintf("%.0f B", n)
}

// bitsText is a rate in bits per second.
func bitsText(n float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "Gbit/s"}, {1e6, "Mbit/s"}, {1e3, "kbit/s"}} {
		if n >= unit.size {
			return digits(n/unit.size) + " " + unit.name
		}
	}
	return fmt.Sprintf("%.0f bit/s", n)
}

// timeText is a time in milliseconds.
func timeText(ms float64) string {
	switch {
	case ms >= 120_000:
		return time.Duration(ms * 1e6).Round(time.Second).String()
	case ms >= 1000:
		return digits(ms/1000) + " s"
	case ms >= 1:
		return digits(ms) + " ms"
	case ms == 0:
		return "0 ms"
	}
	return fmt.Sprintf("%.0f µs", ms*1000)
}

// microsText is a time in microseconds.
func microsText(us float64) string { return timeText(us / 1000) }

// digits is a number in three digits or so.
func digits(n float64) string {
	switch {
	case n >= 99.95:
		return fmt.Sprintf("%.0f", n)
	case n >= 9.995:
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.2f", n)
}

// shareText is a part of a whole in percent.
func shareText(of, all float64) string {
	if all <= 0 {
		return ""
	}
	share := 100 * of / all
	switch {
	case share > 0 && share < 1:
		return "under 1 %"
	case share > 99 && share < 100:
		return "99 %"
	}
	return fmt.Sprintf("%.0f %%", math.Round(share))
}

// countText is a whole number, in groups of three.
func countText(n uint64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "\u202f" + text[i:]
	}
	return text
}

// plural is a number with its noun.
func plural(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return countText(n) + " " + noun + "s"
}

// The numbers of axes are as short as they can be: 5 s, 0.1 MiB.

func secondsMark(ms float64) string { return short(ms/1000) + " s" }

func millisMark(ms float64) string { return short(ms) + " ms" }

func mibMark(v float64) string {
	if v >= 2048 {
		return short(v/1024) + " GiB"
	}
	return short(v) + " MiB"
}

func rateMark(v float64) string {
	if v >= 1e9 {
		return short(v/1e9) + " Gbit/s"
	}
	return short(v/1e6) + " Mbit/s"
}

func short(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

// mib is a size in MiB.
func mib(bytes float64) float64 { return bytes / (1 << 20) }
