package journal

import (
	"context"
	"errors"
	"slices"
	"unicode/utf8"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// MaxReason is how long the reason of an end may be, in bytes.
const MaxReason = 1 << 10

// A Write is what happens to one stream at once: all of it or nothing.
type Write struct {
	// Stream is the name of the stream.
	Stream string

	// Appends are the records, in order. Their Stream and Existing do not
	// count, and their keys are stored and not looked for.
	Appends []Append

	// End, if it is not empty, ends the stream after them: complete, aborted,
	// error or truncated. Reason says why, in UTF-8 text.
	End    leat.EndState
	Reason string

	// Producer, if it is not nil, says which request this is: one that was
	// done is not done again, and one that is not the next is refused.
	Producer *Producer

	// Order, if it is not empty, must be greater, as bytes, than that of the
	// Write before in this stream that had one. What Producer says comes first.
	Order string

	// At, if it is not nil, are offsets of which one must be where the stream
	// stands: its newest entry, or its Mark.
	At []leat.Offset

	// Anew says that Create must find no stream.
	Anew bool

	// Wrong, if it is not nil, is what is wrong with the Appends, which then do
	// not count. It is the answer if nothing above is.
	Wrong error
}

// A Written says what a stream is after a Write.
type Written struct {
	// Last is the offset of its last entry, the start if there is none.
	Last leat.Offset

	// End is the position after its last byte.
	End int64

	// Over is how the stream has ended, empty if it is open.
	Over leat.EndState

	// Duplicate says that the request of the producer had been done before.
	Duplicate bool

	// Accepted is the newest request of the producer.
	Accepted Producer
}

// errThere is the error of who wants to make what is there.
func errThere(name string) error {
	return leat.Errorf(leat.CodePrecondition, "the stream %q exists", name).Advise("Use it as it is, or take another name.")
}

func errNoStream(name string) error {
	return leat.Errorf(leat.CodeNotFound, "there is no stream %q", name).
		Advise("Make it with PUT /streams/" + name + ", or by publishing to it as a topic.")
}

func errEnded(name string, how leat.EndState) error {
	return leat.Errorf(leat.CodeEnded, "the stream %q has ended (%s): nothing can be appended any more", name, how).
		Advise("Read it, delete it to begin anew, or append to another stream.").With("state", how)
}

// Write does a Write to a stream that exists. Ending a stream again in the state
// that it ended in, with nothing to append, is not an error.
func (j *Journal) Write(ctx context.Context, w Write) (Written, error) {
	s, err := j.hold(w.Stream)
	if err != nil {
		return Written{}, err
	}
	defer j.release(s)
	if err := w.check(); err != nil {
		return Written{}, err
	}
	var was view // that was done already
	sub, now, err := j.do(ctx, s, task{by: w.Producer, last: w.At != nil, prepare: func(v view) (*submission, error) {
		was = v
		if w.At != nil && v.last == 0 && v.id == 0 {
			// Of a stream that this journal has made it does not know where: that
			// is the Mark of one that is empty.
			info, err := j.info(ctx, s)
			if err != nil {
				return nil, err
			}
			if info.Version == v.version {
				v.id = info.ID
			}
		}
		if done, err := j.settled(v, &w); done || err != nil {
			return nil, err
		}
		sub := newSubmission(s, v)
		if sub.by, sub.order = w.Producer, w.Order; w.At != nil {
			sub.exact = v.version
		}
		return j.prepareWrite(sub, w)
	}})
	switch {
	case err != nil:
		return Written{}, err
	case sub != nil && w.Producer != nil:
		sub.written.Accepted = *w.Producer
		fallthrough
	case sub != nil:
		return sub.written, nil
	}
	if was.ttl > 0 && (w.End != "" || w.Producer != nil) {
		// A request that is repeated is a use too.
		if err := j.touch(ctx, s, was, j.now()); err != nil {
			return Written{}, err
		}
	}
	written := j.writtenOf(&now)
	if w.Producer != nil {
		written.Duplicate = true
		written.Accepted = Producer{w.Producer.ID, was.accepted.epoch, was.accepted.seq}
	}
	return written, nil
}

// settled reports whether a Write has been done, or why it is not. Its rules have an
// order, which decides over the answer where several have one.
func (j *Journal) settled(v view, w *Write) (done bool, err error) {
	switch {
	case !v.exists():
		return false, v.missing(w.Stream)
	case v.over == "":
	case w.Producer != nil && v.closer == w.Producer.request():
		return true, nil // whatever it had
	case w.Producer == nil && w.Wrong == nil && len(w.Appends) == 0 && (w.End == "" || v.over == w.End):
		return true, nil
	default:
		return false, errEnded(w.Stream, v.over)
	}
	if w.Producer != nil {
		if done, err := j.taken(v, w); done || err != nil {
			return done, err
		}
	}
	switch {
	case w.Order != "" && w.Order <= v.order:
		return false, leat.Errorf(leat.CodeOutOfOrder, "%s does not come after %s, byte by byte, the last of the stream %q", shorten(w.Order), shorten(v.order), w.Stream).
			Advise("Send a greater one; numbers need leading zeros.").With("last", v.order)
	case w.At != nil && !j.stands(v, w.At):
		return false, leat.Errorf(leat.CodePrecondition, "the stream %q has been changed since", w.Stream).
			Advise("Read what is new, and decide again.")
	case w.Wrong != nil:
		return false, w.Wrong
	}
	return len(w.Appends) == 0 && w.End == "", nil
}

// taken reports whether the request of a producer has been done, or why it cannot be.
func (j *Journal) taken(v view, w *Write) (done bool, err error) {
	now := j.now()
	switch why := j.judge(v.accepted, w.Producer, now); {
	case why == isDuplicate:
		return true, nil
	case why != isNext && !j.hopes(v, w.Producer, now):
		return false, j.refuse(w.Stream, why, v.accepted, w.Producer, now)
	}
	return false, j.crowdedBy(w.Stream, v)
}

// stands reports whether a stream stands at one of the offsets.
func (j *Journal) stands(v view, at []leat.Offset) bool {
	return slices.Contains(at, j.writtenOf(&v.state).Last) || slices.Contains(at, j.mark(&v.state))
}

// mark returns the Mark of a stream. See Meta.
func (j *Journal) mark(st *state) leat.Offset { return j.st.Epochs().Offset(max(st.last, st.id)) }

// writtenOf returns what a stream is without another Write.
func (j *Journal) writtenOf(st *state) Written {
	w := Written{End: st.end, Over: st.over}
	if last := st.lastOf(); last > 0 {
		w.Last = j.st.Epochs().Offset(last)
	}
	return w
}

// Create makes a stream with the configuration given, and does the Write to it.
// It reports whether it did. A stream that is there with the same configuration,
// and has ended if the Write ends it, is left as it is, and one that a publish has
// made is kept by the configuration from now on; any other is an error with
// leat.CodeExists.
func (j *Journal) Create(ctx context.Context, c Config, w Write) (made bool, written Written, err error) {
	typ, err := parseContentType(orText(c.ContentType, typeBinary))
	if err == nil {
		err = c.check()
	}
	if err == nil {
		err = w.check()
	}
	if err != nil {
		return false, Written{}, err
	}
	c = c.normal()
	c.ContentType = typ.text
	s, err := j.hold(w.Stream)
	if err != nil {
		return false, Written{}, err
	}
	defer j.release(s)
	var was view
	sub, now, err := j.do(ctx, s, task{make: true, prepare: func(v view) (*submission, error) {
		was = v
		sub := newSubmission(s, v)
		sub.create = &c
		switch {
		case v.kept():
			return nil, errKept(w.Stream)
		case v.exists() && v.fork != nil && !w.Anew:
			return nil, errExists(w.Stream, "it is a fork")
		case !v.exists():
			sub.typ = typ
			if w.Wrong != nil {
				return nil, w.Wrong
			}
			return j.prepareWrite(sub, w)
		case w.Anew:
			return nil, errThere(w.Stream)
		case v.config == nil && sameStream(v, c, w) == "":
			sub.whole = true // a topic that is now kept on purpose
			return sub, nil
		}
		return nil, j.differs(v, c, w)
	}})
	switch {
	case err != nil:
		return false, Written{}, err
	case sub == nil:
		return false, j.writtenOf(&now), nil
	case !sub.made:
		return false, j.writtenOf(&was.state), nil
	}
	return true, sub.written, nil
}

func orText(s, normal string) string {
	if s == "" {
		return normal
	}
	return s
}

// sameStream returns in what the stream that is there is not the one asked for,
// whatever it is kept by; empty if in nothing.
func sameStream(v view, c Config, w Write) string {
	switch {
	case v.typ.essence != storedType(c.ContentType).essence:
		return "it holds " + v.typ.text
	case v.over == w.End:
		return ""
	case v.over == "":
		return "it is open"
	}
	return "it has ended (" + string(v.over) + ")"
}

// differs returns an error unless the stream that is there is the one asked for.
func (j *Journal) differs(v view, c Config, w Write) error {
	what := sameStream(v, c, w)
	if c.ContentType = v.typ.text; what == "" && (v.config == nil || !v.config.equal(&c)) {
		what = "it is kept in another way"
	}
	if what == "" {
		return nil
	}
	return errExists(w.Stream, what)
}

func errExists(name, what string) error {
	return leat.Errorf(leat.CodeExists, "the stream %q exists and is not what is asked for: %s", name, what).
		Advise("Use it as it is, take another name, or delete it first.")
}

// Delete ends a stream as deleted and removes what it holds. Its readers are
// told. A stream that does not exist is an error with leat.CodeNotFound.
func (j *Journal) Delete(ctx context.Context, name string) error {
	s, err := j.hold(name)
	if err != nil {
		return err
	}
	defer j.release(s)
	return j.goes(ctx, s, leat.EndDeleted)
}

// goes ends a stream in a state that leaves nothing to read: deleted, or expired
// if its time has come. What is left for a while is the entry that tells so.
func (j *Journal) goes(ctx context.Context, s *stream, how leat.EndState) error {
	sub, _, err := j.do(ctx, s, task{raw: true, prepare: func(v view) (*submission, error) {
		over := v.lives.over(j.now())
		switch {
		case how == leat.EndExpired && !(v.exists() && over):
			return nil, nil // somebody has used it, or was faster
		case !v.exists() || how == leat.EndDeleted && over:
			return nil, v.missing(s.name)
		}
		sub := newSubmission(s, v)
		sub.whole = true // also behind an end, or in the middle of a character
		sub.records = []leat.Record{{Stream: s.name, Kind: leat.KindEnd, Type: string(how)}}
		if how == leat.EndExpired {
			sub.exact = v.version // a use that comes first wins
		}
		return sub, nil
	}})
	if err != nil || sub == nil {
		return err
	}
	if sub.kept {
		return nil // for its forks
	}
	v, info, err := j.read(ctx, s)
	if err != nil || !v.over.Gone() || v.kept() {
		return err
	}
	return j.clean(ctx, s, v, info)
}

// drop removes what is left of a stream that has gone.
func (j *Journal) drop(ctx context.Context, s *stream, v view) error {
	err := j.st.Drop(ctx, s.name, v.version)
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if s.gen == v.gen {
		s.forget()
	}
	s.ours = s.ours && err != nil
	return nil
}

// prepareWrite completes a submission with what w appends, all of it.
func (j *Journal) prepareWrite(sub *submission, w Write) (*submission, error) {
	sub.whole = true
	n := len(w.Appends)
	if w.End != "" {
		n++
	}
	sub.makeRecords(n)
	for i := range w.Appends {
		a := w.Appends[i]
		a.Stream = w.Stream
		if _, err := j.add(sub, &a); err != nil {
			return nil, err
		}
	}
	sub.keyed = false
	if w.End != "" {
		sub.records = append(sub.records, leat.Record{
			Stream: w.Stream, Kind: leat.KindEnd, Type: string(w.End), Data: []byte(w.Reason),
		})
	}
	return sub, nil
}

// check reports whether w can be a Write at all.
func (w *Write) check() error {
	if w.Producer != nil {
		if err := w.Producer.check(); err != nil {
			return err
		}
	}
	if len(w.Order) > MaxOrder {
		return leat.Errorf(leat.CodeInvalidParameter, "the order of a write has %d bytes, and may have %d", len(w.Order), MaxOrder).
			Advise("Shorten it.")
	}
	switch w.End {
	case "", leat.EndComplete, leat.EndAborted, leat.EndError, leat.EndTruncated:
	default:
		return leat.Errorf(leat.CodeInvalidParameter, "%s is not a way to end a stream", shorten(string(w.End))).
			Advise("Use complete, aborted or error.")
	}
	if len(w.Reason) > MaxReason || !utf8.ValidString(w.Reason) {
		return leat.Errorf(leat.CodeInvalidParameter, "the reason of an end is not UTF-8 text of at most %d bytes", MaxReason).
			Advise("Shorten it.")
	}
	return nil
}
