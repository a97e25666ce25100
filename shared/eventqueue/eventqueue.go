// Package eventqueue puts an SQS queue between the verification of an event and
// its application: the function that Clerk waits for sends one message for each
// event, and another function applies them in batches.
//
//	sender := eventqueue.NewSender(eventqueue.SenderOptions{
//		Direct: mirror.New(db), Lookup: os.LookupEnv,
//		QueueURL: func(ctx context.Context) (string, error) { … },
//	})
//	handler, err := webhook.New(webhook.Options{Store: sender, …})
//
// and at the other end, for each message that Lambda hands over:
//
//	delivery, err := eventqueue.Decode(record.Body)
//
// # Messages
//
// A message's body is a JSON object without white space,
//
//	{"svix_id":"msg_…","event":{"type":"user.updated","data":{…},…}}
//
// where event is what Clerk sent in the form that Postgres can hold, without the
// browser and address that caused the change (event_attributes). Private
// metadata travels too: only the database knows whether it is kept. Of types that
// the rules have no use for, which can carry one-time codes and live tickets,
// nothing travels but type, timestamp, instance_id, object and the id in data.
// Fields that Decode does not know are left alone, so that a newer sender may add
// some.
//
// # Limits
//
// What does not fit a message is applied at once, and so are bodies that are no
// event, which nobody can tell apart from a secret: nothing is lost, and nothing
// rests where it must not. Whoever may send to the queue is believed: a message
// carries no signature of Clerk's. Queues deliver more than once and in any
// order, which the rules are made for.
package eventqueue
