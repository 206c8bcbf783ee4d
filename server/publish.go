package server

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
)

// A Message is what is published: a record that has no offset and no time yet.
type Message struct {
	// Topic is the name of the topic. It is made by the first publish to it, with the
	// content type of that.
	Topic string

	// Data is the payload. It is copied.
	Data []byte

	// ContentType is that of Data, such as application/json, and has to agree with the
	// topic. Empty: that of the topic, or application/octet-stream if the topic is made.
	ContentType string

	// Type is the event type. It may be empty.
	Type string

	// Key names the message, so that it is stored once even if it is published again
	// within Options.KeyWindow. It may be empty.
	Key string
}

// Published says where a message is.
type Published struct {
	Offset leat.Offset
	Time   time.Time

	// Duplicate says that nothing was stored: Offset and Time are those of the record
	// that was stored with this key before.
	Duplicate bool
}

// Publish stores messages, each atomically, in order, and returns when all of them have
// reached the durability class of the store, as an answer to POST /events does. Readers
// see them at the same moment.
//
// Nothing that stands after a message that was not stored is ever stored. The result has
// those that are in the log; if these are fewer than were given, the error says why the
// next one is not. If ctx ends, or the store fails, that one and later ones may have
// been stored, or may still be: who wants to be sure publishes again with the same keys.
//
// Several messages of one topic in a row share a commit, and so do calls that come at
// the same time. Errors are *leat.Error, but for that of ctx, and must not be changed.
func (s *Server) Publish(ctx context.Context, messages ...Message) ([]Published, error) {
	s.requestBegins()
	defer s.requestDone()
	var topics []string
	if s.o.Tracer != nil {
		for _, m := range messages {
			if !slices.Contains(topics, m.Topic) {
				topics = append(topics, m.Topic)
			}
		}
	}
	ctx, end := s.trace(ctx, OperationPublish, topics)
	published, err := s.publish(ctx, messages)
	if err != nil && ctx.Err() == nil {
		s.refused.Add(string(leat.CodeOf(err)))
	}
	end(Outcome{Code: leat.CodeOf(err)})
	return published, err
}

func (s *Server) publish(ctx context.Context, messages []Message) ([]Published, error) {
	if err := s.Ready(); err != nil {
		return nil, err
	}
	appends := make([]journal.Append, len(messages))
	for i, m := range messages {
		appends[i] = journal.Append{Stream: m.Topic, Type: m.Type, Key: m.Key, ContentType: m.ContentType, Data: bytes.Clone(m.Data)}
	}
	stored, err := s.journal.Append(ctx, appends...)
	published := make([]Published, len(stored))
	for i, at := range stored {
		published[i] = Published(at)
	}
	return published, err
}
