package console

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

const (
	// drawEvery is how often the bar is drawn.
	drawEvery = 250 * time.Millisecond
	// lineEvery is how often a log gets a line while a phase goes on.
	lineEvery = 10 * time.Second
	// paceWindow is what the shown rate is an average of. A page of 500 comes at
	// once, so a shorter one would jump.
	paceWindow = 10 * time.Second
)

// Step is how far something long is.
type Step struct {
	// Phase is what is done now.
	Phase       string
	Done, Total int64
	// RateLimited is how many answers were 429.
	RateLimited int64
}

// progress shows how far a full sync is: a bar at the bottom of a terminal, a
// line now and then elsewhere. All of it is talk and goes to stderr; what is
// printed meanwhile has to go through it. It is safe for concurrent use.
type progress struct {
	console  Console
	animated bool

	stop    chan struct{}
	stopped sync.WaitGroup

	mu    sync.Mutex
	at    Step
	begun bool
	// paces are earlier states of the phase, for the rate.
	paces []pace
	// announced are the phases that had a line; lineAt is when there last was one.
	announced map[string]bool
	lineAt    time.Time
	// bar is drawn for a known total if measured, and turns otherwise.
	bar      *progressbar.ProgressBar
	measured bool
}

type pace struct {
	at   time.Time
	done int64
}

func NewProgress(c Console) *progress {
	dumb, _ := c.Lookup("TERM")
	return &progress{
		console: c, animated: c.StderrTTY && dumb != "dumb", announced: map[string]bool{}, stop: make(chan struct{}),
	}
}

// Start shows what [Progress.Update] is told until [Progress.Close].
func (p *progress) Start() {
	p.stopped.Go(func() {
		tick := time.NewTicker(drawEvery)
		defer tick.Stop()
		for {
			select {
			case <-p.stop:
				return
			case now := <-tick.C:
				p.show(now)
			}
		}
	})
}

// Close leaves the terminal as a program without a bar would. Call it once.
func (p *progress) Close() {
	close(p.stop)
	p.stopped.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

// Update takes the state of a run. Of several that overtake each other the
// furthest counts.
func (p *progress) Update(at Step) { p.updateAt(time.Now(), at) }

func (p *progress) updateAt(now time.Time, at Step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at.Done = max(at.Done, p.at.Done)
	at.RateLimited = max(at.RateLimited, p.at.RateLimited)
	if !p.begun || at.Phase != p.at.Phase {
		// A resumed run begins with what is done already, which took no time.
		p.paces = []pace{{now, at.Done}}
	}
	p.at, p.begun = at, true
	if !p.animated && !p.announced[at.Phase] {
		p.announced[at.Phase] = true
		p.line(now)
	}
}

// show draws the bar, or writes a line where it is time for one.
func (p *progress) show(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.begun {
		return
	}
	p.paces = append(p.paces, pace{now, p.at.Done})
	for len(p.paces) > 2 && now.Sub(p.paces[1].at) >= paceWindow {
		p.paces = p.paces[1:]
	}
	if p.animated {
		p.draw()
	} else if now.Sub(p.lineAt) >= lineEvery {
		p.line(now)
	}
}

// line is called with the lock held.
func (p *progress) line(now time.Time) {
	p.lineAt = now
	p.console.Say("clerksync: %s", p.text(true))
}

// draw is called with the lock held.
func (p *progress) draw() {
	// Beyond the total, which people who sign up meanwhile move, a bar would say
	// that it is finished and be gone.
	measured := p.at.Done < p.at.Total
	text := p.text(!measured)
	if width := p.width(); width > 0 {
		// What is longer than a line cannot be drawn over. The bar shrinks by itself.
		text = cut(text, max(1, width-len(fmt.Sprintf(" 100%% || (%d/%d)   ", p.at.Done, p.at.Total))))
	}
	if p.bar == nil || measured != p.measured {
		p.clear()
		p.measured = measured
		p.bar = newBar(p.console.Stderr, measured, p.at.Total, text)
	}
	if measured {
		if p.bar.GetMax64() != p.at.Total {
			p.bar.ChangeMax64(p.at.Total)
		}
		_ = p.bar.Set64(p.at.Done)
	}
	p.bar.Describe(text)
}

// width is the terminal's, 0 where it is not known.
func (p *progress) width() int {
	file, ok := p.console.Stderr.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return width
}

func newBar(w io.Writer, measured bool, total int64, text string) *progressbar.ProgressBar {
	options := []progressbar.Option{
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetWidth(24),
		progressbar.OptionUseANSICodes(true),
		progressbar.OptionSetDescription(text),
		progressbar.OptionShowDescriptionAtLineEnd(),
		// Its own rate would count what an earlier call has done.
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(false),
		// It turns when it is drawn, instead of by a goroutine that nothing stops.
		progressbar.OptionSetSpinnerChangeInterval(0),
	}
	if !measured {
		return progressbar.NewOptions64(-1, options...)
	}
	return progressbar.NewOptions64(total, append(options, progressbar.OptionShowCount())...)
}

// clear is called with the lock held.
func (p *progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
}

// text says how far the run is, with the count where the bar does not show it.
// It is called with the lock held.
func (p *progress) text(count bool) string {
	parts := []string{strings.ReplaceAll(p.at.Phase, "_", " ")}
	switch {
	case !count || p.at.Done == 0 && p.at.Total == 0:
	case p.at.Total > 0:
		parts = append(parts, fmt.Sprintf("%d of %d", p.at.Done, max(p.at.Done, p.at.Total)))
	default:
		parts = append(parts, fmt.Sprint(p.at.Done))
	}
	first, last := p.paces[0], p.paces[len(p.paces)-1]
	if rate := float64(last.done-first.done) / last.at.Sub(first.at).Seconds(); last.done > first.done && last.at.After(first.at) {
		parts = append(parts, fmt.Sprintf("%.0f/s", rate))
		if left := float64(p.at.Total - p.at.Done); left > 0 {
			parts = append(parts, time.Duration(left/rate*float64(time.Second)).Round(time.Second).String()+" left")
		}
	}
	if p.at.RateLimited > 0 {
		parts = append(parts, fmt.Sprintf("%d × 429", p.at.RateLimited))
	}
	return strings.Join(parts, ", ")
}

// Print writes lines to w, above the bar if there is one.
func (p *progress) Print(w io.Writer, text []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	_, _ = w.Write(text)
}

// Write takes the lines of the log.
func (p *progress) Write(line []byte) (int, error) {
	p.Print(p.console.Stderr, append(bytes.TrimRight(line, "\n"), '\n'))
	return len(line), nil
}
