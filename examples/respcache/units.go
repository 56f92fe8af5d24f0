package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
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
