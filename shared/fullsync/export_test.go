package fullsync

import "time"

// Small makes windows and pages small, so that few objects make many of them.
func (o *Options) Small(window, page int) { o.windowSize, o.pageSize = window, page }

// Patience is how long a database that is away is waited for.
func (o *Options) Patience(d time.Duration) { o.patience = d }
