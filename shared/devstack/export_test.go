package devstack

import "clerksync/shared/devstack/queue"

// Wrap puts something around the consumer behind the queue.
func (q *Queued) Wrap(f func(queue.Environment) queue.Environment) { q.wrap = f }
