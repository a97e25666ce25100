package fullsync

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"clerksync/shared/clerk"
	"clerksync/shared/mirror"
)

const (
	// fan is into how many parts a span is cut at a time.
	fan = 8
	// leastWindows and mostWindows are how many windows a span is to have: many are
	// few questions and few pages that are not full, and few are short ends when
	// workers run out of spans.
	leastWindows, mostWindows = 2, 8
	// spareQuestions may be asked beside one for each window, to find the crowded
	// moments. What is uncut then is read as it is: that takes longer, no more.
	spareQuestions = 50
)

type counter func(ctx context.Context, span mirror.Span) (int64, error)

// cutUsers cuts what is not cut yet, one span or what an earlier call kept, until its parts
// are small enough for so many to be read at the same time, or a millisecond long, or as many
// questions were asked as its size is worth: always what is largest. It returns the parts,
// open at both ends. What has been counted is kept each time.
func cutUsers(
	ctx context.Context, open []mirror.Cut, count counter, keep func(context.Context, []mirror.Cut) error, window, workers int,
) ([]mirror.Cut, error) {
	var users int64
	for _, cut := range open {
		users += cut.Users
	}
	size := int64(window)
	target := min(max(users/int64(2*workers), leastWindows*size), mostWindows*size)
	allowed := int(users/size) + spareQuestions
	asked := len(open) - 1 // each question makes a part more
	var done []mirror.Cut
	for {
		// Some at a time, since an answer takes its time.
		slices.SortFunc(open, func(a, b mirror.Cut) int { return cmp.Compare(a.Users, b.Users) })
		var splits [][]mirror.Cut
		questions := 0
		for len(open) > 0 && questions < workers {
			largest := open[len(open)-1]
			if largest.Users <= target {
				break
			}
			open = open[:len(open)-1]
			parts := min(fan, max(2, (largest.Users+target-1)/target), int64(largest.To-largest.From), int64(allowed-asked-questions)+1)
			if parts < 2 {
				done = append(done, largest)
				continue
			}
			questions += int(parts) - 1
			splits = append(splits, divide(largest, parts))
		}
		if len(splits) == 0 {
			break
		}
		asked += questions
		counting, answered := errgroup.WithContext(ctx)
		for _, pieces := range splits {
			for i := range pieces[1:] {
				counting.Go(func() (err error) {
					pieces[i].Users, err = count(answered, mirror.Span{From: pieces[i].From, To: pieces[i].To})
					return err
				})
			}
		}
		if err := counting.Wait(); err != nil {
			return nil, fmt.Errorf("counting users of a span: %w", err)
		}
		for _, pieces := range splits {
			last := &pieces[len(pieces)-1]
			for _, piece := range pieces[:len(pieces)-1] {
				last.Users = max(0, last.Users-piece.Users)
			}
			open = append(open, pieces...)
		}
		if err := keep(ctx, slices.Concat(open, done)); err != nil {
			return nil, err
		}
	}
	spans := slices.Concat(open, done)
	slices.SortFunc(spans, func(a, b mirror.Cut) int { return cmp.Compare(a.From, b.From) })
	return merge(spans, target), nil
}

// divide makes parts of a span that take the same time. What Clerk has made since is
// not asked for again: the last part counts as what the others leave of the whole.
func divide(whole mirror.Cut, parts int64) []mirror.Cut {
	width := int64(whole.To - whole.From)
	pieces := make([]mirror.Cut, parts)
	for i := range parts {
		pieces[i].From = whole.From + clerk.Millis(width*i/parts)
		pieces[i].To = whole.From + clerk.Millis(width*(i+1)/parts)
	}
	pieces[parts-1].Users = whole.Users
	return pieces
}

// merge puts neighbours together while they make no more than a span, and opens
// both ends: rows of the copy may lie outside of what Clerk has.
func merge(spans []mirror.Cut, most int64) []mirror.Cut {
	var merged []mirror.Cut
	for _, span := range spans {
		if last := len(merged) - 1; last >= 0 && merged[last].Users+span.Users <= most {
			merged[last].To = span.To
			merged[last].Users += span.Users
			continue
		}
		merged = append(merged, span)
	}
	merged[0].From, merged[len(merged)-1].To = 0, 0
	return merged
}
