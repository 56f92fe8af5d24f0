package picture

import (
	"image/color"
	"strings"
	"sync"

	"codeberg.org/go-fonts/liberation/liberationsansbold"
	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"github.com/vcpualloc/vcpualloc/bench/internal/result"
	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	plotfont "gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

var (
	paper   = color.NRGBA{R: 0xff, G: 0xff, B: 0xff, A: 0xff}
	ink     = color.NRGBA{R: 0x1b, G: 0x25, B: 0x30, A: 0xff}
	muted   = color.NRGBA{R: 0x66, G: 0x73, B: 0x80, A: 0xff}
	grid    = color.NRGBA{R: 0xe6, G: 0xea, B: 0xee, A: 0xff}
	ours    = color.NRGBA{R: 0xd6, G: 0x45, B: 0x0b, A: 0xff}
	related = color.NRGBA{R: 0xe8, G: 0x92, B: 0x68, A: 0xff}
	theirs  = color.NRGBA{R: 0x5b, G: 0x7c, B: 0x9d, A: 0xff}
	harness = color.NRGBA{R: 0xae, G: 0xb8, B: 0xc2, A: 0xff}
	band    = color.NRGBA{R: 0xfd, G: 0xf3, B: 0xec, A: 0xff}
)

// hue is the colour of a peer: the baseline stands out, its variants are
// related to it, and the harness stands back.
func hue(peer string, settings result.Settings) color.NRGBA {
	switch {
	case peer == settings.Baseline:
		return ours
	case settings.IsHarness(peer):
		return harness
	case strings.HasPrefix(peer, settings.Baseline+"-"):
		return related
	}
	return theirs
}

// pale mixes a colour with the paper.
func pale(c color.NRGBA) color.NRGBA {
	mix := func(part, white uint8) uint8 { return uint8((int(part)*2 + int(white)*3) / 5) }
	return color.NRGBA{R: mix(c.R, paper.R), G: mix(c.G, paper.G), B: mix(c.B, paper.B), A: 0xff}
}

const typeface = "Liberation"

// fonts reads the typefaces when the first picture is drawn. Package plot
// would read all of them at the start of every process, and the processes that
// are measured belong to this program too.
var fonts = sync.OnceValues(func() (*plotfont.Cache, error) {
	collection := plotfont.Collection{}
	for weight, data := range map[font.Weight][]byte{
		font.WeightNormal: liberationsansregular.TTF,
		font.WeightBold:   liberationsansbold.TTF,
	} {
		face, err := opentype.Parse(data)
		if err != nil {
			return nil, err
		}
		collection = append(collection, plotfont.Face{
			Font: plotfont.Font{Typeface: typeface, Variant: "Sans", Weight: weight},
			Face: face,
		})
	}
	return plotfont.NewCache(collection), nil
})

// pen writes text of one kind.
type pen struct{ style text.Style }

func newPen(cache *plotfont.Cache, size vg.Length, weight font.Weight, c color.Color) pen {
	return pen{text.Style{
		Color:   c,
		Font:    plotfont.Font{Typeface: typeface, Variant: "Sans", Weight: weight, Size: size},
		XAlign:  draw.XLeft,
		YAlign:  draw.YCenter,
		Handler: text.Plain{Fonts: cache},
	}}
}

func (p pen) in(c color.Color) pen {
	p.style.Color = c
	return p
}

func (p pen) aligned(x text.XAlignment) pen {
	p.style.XAlign = x
	return p
}

// write puts the words at a point and returns where they end. The letters
// without descenders are what is centred vertically.
func (p pen) write(c draw.Canvas, x, y vg.Length, words string) vg.Length {
	raise := p.style.FontExtents().Descent / 2
	c.FillText(p.style, vg.Point{X: x, Y: y + raise}, words)
	return x + p.style.Width(words)
}
