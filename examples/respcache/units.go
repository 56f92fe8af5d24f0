package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// sizeUnits are those of redis.conf: with a b they are powers of 1024.
var sizeUnits = map[string]int64{
	"": 1, "b": 1,
	"k": 1e3, "kb": 1 << 10,
	"m": 1e6, "mb": 1 << 20,
	"g": 1e9, "gb": 1 << 30,
}

// parseSize reads a number of bytes such as 1048576, 100kb or 1gb.
func parseSize(text string) (int64, error) {
	digits := strings.TrimRight(text, "bBkKmMgG")
	unit, known := sizeUnits[strings.ToLower(text[len(digits):])]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !known || n < 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is not a size: write bytes or a unit, such as 1048576, 100kb, 64mb or 1gb", text)
	}
	return n * unit, nil
}

// parseShare reads a size, or a percentage of whole bytes: 0 if that is 0.
func parseShare(text string, whole int64) (int64, error) {
	number, percent := strings.CutSuffix(text, "%")
	if !percent {
		return parseSize(text)
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || n > 100 {
		return 0, fmt.Errorf("%q is neither a size nor a percentage, such as 16mb or 50%%", text)
	}
	return whole/100*int64(n) + whole%100*int64(n)/100, nil
}

// parseTimeout reads a number of seconds, as Redis writes its timeout, or a
// duration with a unit.
func parseTimeout(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if seconds, secondsErr := strconv.ParseInt(text, 10, 64); secondsErr == nil {
		d, err = time.Duration(seconds)*time.Second, nil
		if seconds > maxTimeoutSeconds {
			err = strconv.ErrRange
		}
	}
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a time: write seconds or a unit, such as 300 or 1m30s", text)
	}
	return d, nil
}

// maxTimeoutSeconds is more than a century, and can be added to any time.
const maxTimeoutSeconds = 1 << 32

// humanSize writes a size as INFO of Redis does, 1.50M for one and a half MiB.
func humanSize(bytes int64) string {
	if bytes < 1<<10 {
		return strconv.FormatInt(bytes, 10) + "B"
	}
	size, unit := float64(bytes), 0
	for size >= 1024 && unit < len("KMGTPE") {
		size /= 1024
		unit++
	}
	return fmt.Sprintf("%.2f%c", size, "BKMGTPE"[unit])
}
