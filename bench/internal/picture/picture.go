package picture

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/vcpualloc/vcpualloc/bench/internal/result"
	"golang.org/x/image/font"
	plotfont "gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Sizes in points, 72 to the inch.
const (
	pageWidth    = 920
	margin       = 34
	nameWidth    = 128
	timeWidth    = 430
	panelGap     = 16
	labelWidth   = 104 // room for figures right of the time scale
	bytesWidth   = 66  // room for figures right of the memory scale
	headHeight   = 84
	footHeight   = 88 // without warnings
	captionLine  = 13.5
	titleHeight  = 34 // of a group
	rowHeight    = 21
	axisHeight   = 34
	dotRadius    = 4.6
	barHeight    = 9
	dotsPerInch  = 144
	timeLeft     = margin + nameWidth
	timeRight    = timeLeft + timeWidth
	memoryLeft   = timeRight + panelGap
	memoryRight  = pageWidth - margin
	captionWidth = pageWidth - 2*margin
)

// Save draws the document into base.svg and base.png and returns their paths.
// source is the name of the document's file, for the caption.
func Save(d *result.Document, source, base string) ([]string, error) {
	groups := d.Groups()
	if len(groups) == 0 {
		return nil, fmt.Errorf("picture: %s has no samples to draw", source)
	}
	height := vg.Length(headHeight+footHeight) + captionLine*vg.Length(len(d.Warnings))
	for _, group := range groups {
		height += titleHeight + axisHeight + rowHeight*vg.Length(len(group.Summaries))
	}
	svg := vgsvg.New(pageWidth, height)
	png := vgimg.NewWith(vgimg.UseWH(pageWidth, height), vgimg.UseDPI(dotsPerInch), vgimg.UseBackgroundColor(paper))
	paths := []string{}
	for _, format := range []struct {
		suffix string
		canvas vg.CanvasSizer
		writer io.WriterTo
	}{{".svg", svg, withFallback{svg}}, {".png", png, vgimg.PngCanvas{Canvas: png}}} {
		if err := render(draw.New(format.canvas), d, groups, source); err != nil {
			return nil, err
		}
		if err := write(base+format.suffix, format.writer); err != nil {
			return nil, err
		}
		paths = append(paths, base+format.suffix)
	}
	return paths, nil
}

// withFallback writes an SVG that names typefaces of the same widths to take
// where Liberation Sans is missing: with the typeface embedded, the file would
// be thirty times as large.
type withFallback struct{ svg *vgsvg.Canvas }

func (f withFallback) WriteTo(w io.Writer) (int64, error) {
	var drawing strings.Builder
	if _, err := f.svg.WriteTo(&drawing); err != nil {
		return 0, err
	}
	const family = "font-family:Liberation Sans"
	count, err := io.WriteString(w, strings.ReplaceAll(drawing.String(), family+";", family+",Arial,Helvetica,sans-serif;"))
	return int64(count), err
}

func write(path string, from io.WriterTo) error {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("picture: %w", err)
	}
	if _, err := from.WriteTo(file); err != nil {
		file.Close()
		return fmt.Errorf("picture: %s: %w", path, err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("picture: %w", err)
	}
	return nil
}

// page is a canvas being filled from the top.
type page struct {
	draw.Canvas
	document *result.Document
	y        vg.Length // what is above is filled

	title, heading, body, strong, small pen
}

func render(c draw.Canvas, d *result.Document, groups []result.Group, source string) error {
	cache, err := fonts()
	if err != nil {
		return fmt.Errorf("picture: %w", err)
	}
	p := &page{Canvas: c, document: d, y: c.Max.Y}
	p.pens(cache)
	box(c, paper, c.Min.X, c.Min.Y, c.Max.X, c.Max.Y)
	p.head()
	times := timeScale(groups)
	for _, group := range groups {
		p.group(group, times)
	}
	p.foot(source)
	return nil
}

func (p *page) pens(cache *plotfont.Cache) {
	p.title = newPen(cache, 20, font.WeightBold, ink)
	p.heading = newPen(cache, 12.5, font.WeightBold, ink)
	p.body = newPen(cache, 10.5, font.WeightNormal, ink)
	p.strong = newPen(cache, 10.5, font.WeightBold, ink)
	p.small = newPen(cache, 9, font.WeightNormal, muted)
}

func (p *page) head() {
	p.title.write(p.Canvas, margin, p.y-36, p.document.Settings.Baseline+" and other ways to allocate")
	p.body.in(muted).write(p.Canvas, margin, p.y-60, p.document.Machine.String())
	p.y -= headHeight
}

// timeScale is the scale that all groups share.
func timeScale(groups []result.Group) scale {
	low, high := math.Inf(1), 0.0
	for _, group := range groups {
		for _, s := range group.Summaries {
			low, high = min(low, max(s.Time.Low, 0.1)), max(high, s.Time.High, 0.1)
		}
	}
	return decades(low, high, timeLeft, timeRight-labelWidth)
}

func (p *page) group(g result.Group, times scale) {
	name := g.Shape.Name
	if len(p.document.Settings.CPUs) > 1 {
		name += fmt.Sprintf(" GOMAXPROCS=%d", g.CPUs)
	}
	end := p.heading.write(p.Canvas, margin, p.y-10, name)
	p.body.in(muted).write(p.Canvas, end+10, p.y-10, g.Shape.About)
	p.y -= titleHeight

	most := 0.0
	for _, s := range g.Summaries {
		most = max(most, s.Peak.High)
	}
	memory := fromZero(most, memoryLeft, memoryRight-bytesWidth)
	bottom := p.y - rowHeight*vg.Length(len(g.Summaries))
	for i, s := range g.Summaries {
		if s.Peer == p.document.Settings.Baseline {
			top := p.y - rowHeight*vg.Length(i)
			box(p.Canvas, band, margin-8, top-rowHeight, memoryRight+8, top)
		}
	}
	p.axis(times, bottom, nanoseconds, "time per operation (logarithmic)")
	p.axis(memory, bottom, bytes, "peak resident memory of the process")
	for i, s := range g.Summaries {
		p.row(s, times, memory, p.y-rowHeight*(vg.Length(i)+0.5))
	}
	p.y = bottom - axisHeight
}

func (p *page) axis(s scale, bottom vg.Length, label func(float64) string, unit string) {
	for _, value := range s.marks() {
		line(p.Canvas, grid, 0.8, s.at(value), bottom, s.at(value), p.y)
		words := label(value)
		if value == 0 {
			words = "0"
		}
		p.small.aligned(text.XCenter).write(p.Canvas, s.at(value), bottom-7, words)
	}
	p.small.write(p.Canvas, s.left, p.y+6, unit)
}

func (p *page) row(s result.Summary, times, memory scale, y vg.Length) {
	settings := p.document.Settings
	colour := hue(s.Peer, settings)
	name, words := p.body, ink
	if s.Peer == settings.Baseline {
		name, words = p.strong, ours
	} else if settings.IsHarness(s.Peer) {
		words = muted
	}
	name.in(words).write(p.Canvas, margin, y, s.Peer)

	line(p.Canvas, pale(colour), 2, times.left, y, times.at(s.Time.Median), y)
	line(p.Canvas, colour, 1.4, times.at(s.Time.Low), y, times.at(s.Time.High), y)
	for _, end := range []float64{s.Time.Low, s.Time.High} {
		line(p.Canvas, colour, 1.4, times.at(end), y-3.4, times.at(end), y+3.4)
	}
	dot(p.Canvas, colour, dotRadius, times.at(s.Time.Median), y)
	after := max(times.at(s.Time.High), times.at(s.Time.Median)+dotRadius) + 7
	after = name.in(words).write(p.Canvas, after, y, nanoseconds(s.Time.Median))
	if s.Ratio > 0 && s.Peer != settings.Baseline && !settings.IsHarness(s.Peer) {
		p.body.in(muted).write(p.Canvas, after+7, y, significant(s.Ratio)+" ×")
	}

	if s.Peak.Median == 0 {
		p.small.write(p.Canvas, memory.left, y, "not known")
		return
	}
	box(p.Canvas, pale(colour), memory.left, y-barHeight/2, memory.at(min(s.StartBytes, s.Peak.Median)), y+barHeight/2)
	box(p.Canvas, colour, memory.at(min(s.StartBytes, s.Peak.Median)), y-barHeight/2, memory.at(s.Peak.Median), y+barHeight/2)
	line(p.Canvas, colour, 1.2, memory.at(s.Peak.Low), y, memory.at(s.Peak.High), y)
	name.in(words).write(p.Canvas, memory.at(s.Peak.High)+7, y, bytes(s.Peak.Median))
}

// foot says how the figures came about: nothing in the picture means anything
// without it.
func (p *page) foot(source string) {
	d := p.document
	facts := []string{
		fmt.Sprintf("Lower is better. Points and bars: median of %d rounds, each measurement in a process of its own, peers taking turns; whiskers: lowest and highest round.",
			d.Settings.Rounds),
		fmt.Sprintf("×: ratio to %s. Pale part of a memory bar: resident before the work began. %s: what the harness itself costs, contained in every figure of its shape.",
			d.Settings.Baseline, harnesses(d.Settings)),
		fmt.Sprintf("%s, mode %s. Load at the start: %s.", d.Started.UTC().Format("2 January 2006, 15:04 UTC"), d.Features.Mode, load(d.Machine.Load)),
		"From " + source + ".",
	}
	line(p.Canvas, grid, 0.8, margin, p.y+2, margin+captionWidth, p.y+2)
	p.y -= captionLine
	for _, words := range facts {
		p.small.write(p.Canvas, margin, p.y, words)
		p.y -= captionLine
	}
	for _, warning := range d.Warnings {
		p.small.in(ours).write(p.Canvas, margin, p.y, "Warning: "+warning+".")
		p.y -= captionLine
	}
}

func load(values []float64) string {
	if len(values) == 0 {
		return "not known"
	}
	return fmt.Sprintf("%.2f", values[0])
}

func harnesses(s result.Settings) string {
	if s.NativeHarness == "" {
		return s.Harness
	}
	return s.Harness + " and " + s.NativeHarness
}
