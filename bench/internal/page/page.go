// Package page writes a run of the bench as one HTML file that needs no other:
// the facts of the machine, the picture, and a table for each shape.
package page

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"os"

	"github.com/vcpualloc/vcpualloc/bench/internal/result"
)

//go:embed page.html
var form string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"mib":   func(bytes float64) string { return unlessZero(bytes/(1<<20), "%.1f") },
	"ns":    func(value float64) string { return fmt.Sprintf("%.2f", value) },
	"share": func(value float64) string { return unlessZero(100*value, "%.1f %%") },
	"count": func(value float64) string { return unlessZero(value, "%.0f") },
	"few":   func(value float64) string { return unlessZero(value, "%.2f") },
	"sum":   func(a, b float64) float64 { return a + b },
	"times": func(value, by float64) float64 { return value * by },
	"heading": func(name string) string {
		heading, _ := result.FigureInWords(name, 0)
		return heading
	},
	"figure": func(s result.Summary, name string) string {
		_, text := result.FigureInWords(name, s.Figures[name])
		return text
	},
}).Parse(form))

func unlessZero(value float64, format string) string {
	if value == 0 {
		return "–"
	}
	return fmt.Sprintf(format, value)
}

// Save writes the page of a document into a file. source is the name of the
// document's file; drawing is the path of its SVG, which becomes part of the
// page.
func Save(d *result.Document, source, drawing, to string) error {
	svg, err := os.ReadFile(drawing)
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	// An XML declaration has no place inside of HTML.
	if at := bytes.Index(svg, []byte("<svg")); at > 0 {
		svg = svg[at:]
	}
	var text bytes.Buffer
	err = page.Execute(&text, struct {
		*result.Document
		Source  string
		Drawing template.HTML
	}{d, source, template.HTML(svg)})
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	if err := os.WriteFile(to, text.Bytes(), 0o644); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	return nil
}
