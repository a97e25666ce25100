package console

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	// drawEvery is how often the bar is drawn.
	drawEvery = 250 * time.Millisecond
	// lineEvery is how often a log gets a line while a phase goes on.
	lineEvery = 10 * time.Second
	// paceWindow is what the shown rate is an average of. A page of 500 comes at
	// once, so a shorter one would jump.
	paceWindow = 10 * time.Second
	// barWidth is how many cells the bar has.
	barWidth = 24
)

// Step is how far something long is.
type Step struct {
	// Phase is what is done now.
	Phase       string
	Done, Total int64
	// RateLimited is how many answers were 429.
	RateLimited int64
}

// Progress is a screen that shows how far a full sync is: a bar at the bottom of a
// terminal, a line now and then elsewhere. All of it is talk; what is printed meanwhile
// has to go through the screen. It is safe for concurrent use.
type Progress struct {
	*Screen

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
	// turns counts how often what has no total was drawn.
	turns int
}

type pace struct {
	at   time.Time
	done int64
}

// NewProgress shows nothing until it is started.
func NewProgress(c Console) *Progress {
	return &Progress{Screen: newScreen(c, true), announced: map[string]bool{}, stop: make(chan struct{})}
}

// Start shows what [Progress.Update] is told until [Progress.Close].
func (p *Progress) Start() {
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
func (p *Progress) Close() {
	close(p.stop)
	p.stopped.Wait()
	p.Screen.Close()
}

// Update takes the state of a run. Of several that overtake each other the
// furthest counts.
func (p *Progress) Update(at Step) { p.updateAt(time.Now(), at) }

func (p *Progress) updateAt(now time.Time, at Step) {
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
func (p *Progress) show(now time.Time) {
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
func (p *Progress) line(now time.Time) {
	p.lineAt = now
	p.console.Say("clerksync: %s", p.text(true))
}

// draw is called with the lock held.
func (p *Progress) draw() {
	// Beyond the total, which people who sign up meanwhile move, a bar would say
	// that everything is done.
	if p.at.Done >= p.at.Total {
		p.turns++
		p.Status([]string{`|/-\`[p.turns%4:][:1] + " " + p.text(true)})
		return
	}
	full := int(barWidth * p.at.Done / p.at.Total)
	p.Status([]string{fmt.Sprintf("%4d%% |%s%s| (%d/%d)  %s", 100*p.at.Done/p.at.Total,
		strings.Repeat("█", full), strings.Repeat(" ", barWidth-full), p.at.Done, p.at.Total, p.text(false))})
}

// text says how far the run is, with the count where the bar does not show it.
// It is called with the lock held.
func (p *Progress) text(count bool) string {
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

// Write takes the lines of the log.
func (p *Progress) Write(line []byte) (int, error) {
	p.Talk("%s", strings.TrimRight(string(line), "\n"))
	return len(line), nil
}
