package picture

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// scale maps values to places between left and right.
type scale struct {
	low, high   float64
	left, right vg.Length
	logarithmic bool
}

func (s scale) at(value float64) vg.Length {
	low, high := s.low, s.high
	if s.logarithmic {
		value, low, high = math.Log10(max(value, s.low)), math.Log10(low), math.Log10(high)
	}
	return s.left + (s.right-s.left)*vg.Length((value-low)/(high-low))
}

// decades is a logarithmic scale of whole decades that holds low and high.
func decades(low, high float64, left, right vg.Length) scale {
	low = math.Pow(10, math.Floor(math.Log10(low)))
	high = math.Pow(10, math.Ceil(math.Log10(high)))
	if high <= low {
		high = 10 * low
	}
	return scale{low: low, high: high, left: left, right: right, logarithmic: true}
}

// fromZero is a linear scale from 0 to high.
func fromZero(high float64, left, right vg.Length) scale {
	return scale{high: max(high, 1), left: left, right: right}
}

// marks are the values to label.
func (s scale) marks() []float64 {
	marks := []float64{}
	if s.logarithmic {
		for value := s.low; value <= s.high*1.001; value *= 10 {
			marks = append(marks, value)
		}
		return marks
	}
	step := math.Pow(2, math.Round(math.Log2(s.high/5)))
	for value := 0.0; value <= s.high*1.001; value += step {
		marks = append(marks, value)
	}
	return marks
}

// nanoseconds is a time in a unit that fits.
func nanoseconds(value float64) string {
	unit := "ns"
	for _, larger := range []string{"µs", "ms", "s"} {
		if value < 999.5 {
			break
		}
		value, unit = value/1000, larger
	}
	return significant(value) + " " + unit
}

// bytes is an amount of memory in a unit that fits.
func bytes(value float64) string {
	value, unit := value/(1<<20), "MiB"
	if value >= 1000 {
		value, unit = value/1024, "GiB"
	}
	return significant(value) + " " + unit
}

// significant prints about three digits, and no zeros after the point that say
// nothing.
func significant(value float64) string {
	switch {
	case value == math.Trunc(value) || value >= 99.5:
		return fmt.Sprintf("%.0f", value)
	case value >= 9.95:
		return fmt.Sprintf("%.1f", value)
	}
	return fmt.Sprintf("%.2f", value)
}

func line(c draw.Canvas, of color.Color, width vg.Length, x0, y0, x1, y1 vg.Length) {
	c.StrokeLine2(draw.LineStyle{Color: of, Width: width}, x0, y0, x1, y1)
}

func box(c draw.Canvas, of color.Color, x0, y0, x1, y1 vg.Length) {
	c.FillPolygon(of, []vg.Point{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}})
}

func dot(c draw.Canvas, of color.Color, radius, x, y vg.Length) {
	path := vg.Path{}
	path.Move(vg.Point{X: x + radius, Y: y})
	path.Arc(vg.Point{X: x, Y: y}, radius, 0, 2*math.Pi)
	path.Close()
	c.SetColor(of)
	c.Fill(path)
}
