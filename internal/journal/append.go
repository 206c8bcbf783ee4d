package journal

import (
	"context"
	"time"

	"github.com/leat-dev/leat"
)

// An Append is one record to be appended to a stream, as a publisher sent it.
type Append struct {
	// Stream is the name of the stream. It is made if it does not exist,
	// unless Existing is set: then that is an error.
	Stream   string
	Existing bool

	// Type is the event type, empty for none.
	Type string

	// Key is the publisher's own name for the record, empty for none. If a
	// record of the last Options.KeyWindow in the same stream has it, this
	// one is not stored again. A record that has been removed since may have
	// been forgotten.
	Key string

	// Form says how Data is to be read.
	Form Form

	// ContentType is the type that the publisher declared, for FormBody
	// only, empty if it declared none.
	ContentType string

	// Cut says that Data is a piece of a longer text: it may begin and end in
	// the middle of a character, and the piece that is appended next goes on
	// there.
	Cut bool

	// Data is the payload in that form. It is immutable from the call on:
	// stores and readers may share it for as long as they live.
	Data []byte
}

// A Form says what a publisher has told of a payload. What becomes of it
// depends on the content type of the stream, which only the journal knows.
type Form uint8

const (
	// FormBody is a body as it came, of the ContentType given. Without one
	// it takes the type that the stream has, or makes an
	// application/octet-stream.
	FormBody Form = iota

	// FormText is text that came without a type of its own, such as a field
	// of a form. It takes the type that the stream has, or makes a
	// text/plain.
	FormText

	// FormValue is the JSON text that is the data of an envelope: the value
	// itself in a JSON stream, and a string in a text stream, whose text is
	// the payload. A string makes a text/plain, any other value an
	// application/json.
	FormValue

	// FormBytes is bytes that an envelope marked as such by its encoding.
	// They fit any binary stream and no other, and make an
	// application/octet-stream.
	FormBytes
)

// An Appended says where a record is.
type Appended struct {
	Offset leat.Offset
	Time   time.Time

	// Duplicate says that nothing was stored: Offset and Time are those of
	// the record that was stored with this key before.
	Duplicate bool
}

// Append appends records, each an atomic append of its own, and returns when
// they have reached the durability class of the store.
//
// It is exact about failure. Records are stored in order, and nothing that
// stands after one that was not stored is ever stored. The results are those
// of the records that are in the log, and if they are fewer than the arguments
// the error says why the next one is not. For that, records of another stream
// are not submitted before those that stand in front of them are durable: one
// commit for each run of records of one stream. Who needs no order between
// streams calls Append from several goroutines.
//
// If ctx ends, its error is returned as it is, and records after those in the
// results may have been stored or may still be. The same holds for an error
// of the store that leaves open what it stored. Publishers that want to be
// sure repeat the call with the same keys.
//
// The error may be shared with other callers. It must not be changed.
func (j *Journal) Append(ctx context.Context, as ...Append) ([]Appended, error) {
	done := make([]Appended, 0, len(as))
	for len(done) < len(as) {
		run := as[len(done):]
		for i := range run {
			if run[i].Stream != run[0].Stream {
				run = run[:i]
				break
			}
		}
		var err error
		if done, err = j.appendRun(ctx, run, done); err != nil {
			return done, err
		}
	}
	return done, nil
}

// maxTries bounds how often in a row an append is computed without any of it
// being stored. Conflicts come from other processes or from a stream that is
// removed at the same moment; a hundred local callers conflict with nobody.
const maxTries = 256

// appendRun appends records of one stream, and adds their results to done.
func (j *Journal) appendRun(ctx context.Context, run []Append, done []Appended) ([]Appended, error) {
	s, err := j.hold(run[0].Stream)
	if err != nil {
		return done, err
	}
	defer j.release(s)
	keyed := j.keyed(run)
	for len(run) > 0 {
		sub, _, err := j.do(ctx, s, task{keyed: keyed, make: !run[0].Existing, run: run})
		if err != nil {
			return done, err
		}
		for _, r := range sub.results {
			done = append(done, r.Appended)
		}
		run = run[len(sub.results):]
	}
	return done, nil
}

// A task is something to be done to a stream.
type task struct {
	keyed bool // the keys of the stream must be known
	make  bool // what is left of a stream that has gone is cleared away
	raw   bool // a stream whose time has come is left as it is

	claimed bool // the caller has claimed the name

	// run is what is to be appended. Other tasks have prepare, which makes a
	// submission for the state that the stream is known to have. Without one
	// the error, which may be nil, is the answer.
	run     []Append
	prepare func(v view) (*submission, error)

	by        *Producer   // whose request it is, nil for nobody's
	last      bool        // the newest entry of the stream decides
	producers []*producer // of which the state is to be known; by's is the first
}

// do does a task. It reads what is not known of the stream, prepares a submission
// for it and submits that; what turns out to be computed from a state that is
// not current goes round again. It returns the submission once all or part of it
// is stored. If there was nothing to store it returns none but the answer, and
// the state of the stream for which that is true.
func (j *Journal) do(ctx context.Context, s *stream, t task) (*submission, state, error) {
	if t.by != nil {
		p := j.holdProducer(s, t.by.key())
		defer j.leaveProducer(s, p)
		t.producers = []*producer{p}
	}
	for tries := range maxTries {
		v, err := j.knowFor(ctx, s, &t)
		if err != nil {
			return nil, state{}, err
		}
		if !t.raw {
			if again, err := j.clear(ctx, s, v, t); err != nil {
				return nil, state{}, err
			} else if again {
				continue
			}
		}
		var sub *submission
		var answer error
		if t.prepare == nil {
			sub, answer = j.prepare(s, v, t.run) // without a closure for each append
		} else {
			sub, answer = t.prepare(v)
		}
		if sub == nil {
			now, current, err := j.confirm(ctx, s, v, &t)
			if err != nil {
				return nil, state{}, err
			}
			if current && !j.alone && (t.by != nil || t.last) {
				// A read may lag behind what this sender was told elsewhere, and even
				// be of an earlier stream of that name.
				current, err = j.prove(ctx, s, v)
				if err != nil {
					return nil, state{}, err
				}
			}
			if current {
				return nil, now, answer
			}
			continue
		}
		sub.again, sub.raw = tries > 0, t.raw
		if t.by != nil {
			sub.producer = t.producers[0]
		}
		if err := j.submit(ctx, sub); err != nil {
			return nil, state{}, err
		}
		if sub.unsure {
			if err := j.confirmDuplicates(ctx, sub); err != nil {
				return nil, state{}, err
			}
		}
		if sub.stored {
			return sub, state{}, nil
		}
	}
	return nil, state{}, errBusy(s.name)
}

func errBusy(name string) error {
	return leat.Errorf(leat.CodeConflict, "others changed the topic %q again and again meanwhile", name).
		Advise("Repeat the request, with the same key if it has one.")
}

// clear ends a stream whose time has come, and clears away what is left of one
// that has gone if a new one is to be made. It reports whether it did anything.
func (j *Journal) clear(ctx context.Context, s *stream, v view, t task) (bool, error) {
	switch {
	case v.mortal() && v.exists() && v.lives.over(j.now()):
		return true, j.goes(ctx, s, leat.EndExpired)
	case v.over.Gone() && t.make && v.fork != nil && !v.kept():
		return true, j.dropFork(ctx, s, t.claimed)
	case v.over.Gone() && t.make && !v.kept():
		return true, j.drop(ctx, s, v)
	}
	return false, nil
}

// keyed reports whether the keys of the stream must be known to append run.
func (j *Journal) keyed(run []Append) bool {
	if j.window < 0 {
		return false
	}
	for i := range run {
		if run[i].Key != "" {
			return true
		}
	}
	return false
}

// prepare makes a submission of the records of run that the stream takes, up
// to the first that it refuses, and no more than fit into a Tx. If the very
// first is refused there is no submission, and the error is the reason.
func (j *Journal) prepare(s *stream, v view, run []Append) (*submission, error) {
	switch {
	case !v.exists() && run[0].Existing, v.kept():
		return nil, v.missing(s.name)
	case v.over != "":
		// Whoever repeats what was stored before the end is told so.
		if run = run[:j.repeated(s, run)]; len(run) == 0 {
			return nil, errEnded(s.name, v.over)
		}
	}
	sub := newSubmission(s, v)
	sub.repeats = v.over != ""
	sub.makeRecords(min(len(run), j.maxTxRecords))
	bytes := 0
	for i := range run {
		a := &run[i]
		if i == 0 && sub.made {
			typ, err := typeFor(a)
			if err != nil {
				return nil, err
			}
			sub.typ = typ
		}
		if i > 0 && i == j.maxTxRecords {
			break
		}
		n, err := j.add(sub, a)
		if err != nil && i == 0 {
			return nil, err
		}
		if bytes += n; err != nil || i > 0 && bytes > min(j.maxTxBytes, maxGroupBytes) {
			sub.records = sub.records[:i]
			break
		}
	}
	return sub, nil
}

// add adds the record that an append makes to a submission, and returns the size
// of its payload, or why the stream does not take it.
func (j *Journal) add(sub *submission, a *Append) (int, error) {
	data, err := j.check(sub.typ, a)
	if err != nil {
		return 0, err
	}
	r := leat.Record{Stream: sub.stream.name, Kind: sub.typ.kind, Type: a.Type, Key: a.Key, Data: data}
	if r.Kind == leat.KindText {
		if r.Carry, err = carry(sub.after, a, data); err == nil {
			sub.after = tailOf(&r)
		} else if sub.whole || j.repeated(sub.stream, []Append{*a}) == 0 {
			return 0, err
		} else {
			// What goes on in a text went on when it was stored first. It must
			// not be stored now.
			sub.known = append(sub.known, len(sub.records))
		}
	}
	sub.keyed = sub.keyed || a.Key != "" && j.window >= 0
	sub.records = append(sub.records, r)
	return len(data), nil
}

// check returns the payload that a record has in a stream of a content type,
// or why the stream does not take it.
func (j *Journal) check(typ contentType, a *Append) ([]byte, error) {
	if err := checkType(a.Type); err != nil {
		return nil, err
	}
	if err := checkKey(a.Key); err != nil {
		return nil, err
	}
	data, err := payload(typ, a)
	if err != nil {
		return nil, err
	}
	if len(data) > j.maxRecord {
		return nil, leat.Errorf(leat.CodeTooLarge, "the record has %d bytes and the limit is %d", len(data), j.maxRecord).
			Advise("Send smaller records, or start the server with a larger --max-record.")
	}
	return data, nil
}

// repeated returns how many of the first records of run are in the stream
// already, by their keys.
func (j *Journal) repeated(s *stream, run []Append) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	since := j.since()
	for i := range run {
		if run[i].Key == "" || j.window < 0 || s.keys == nil {
			return i
		}
		if _, ok := s.keys.find(run[i].Key, since); !ok {
			return i
		}
	}
	return len(run)
}

// confirm reports whether the state for which something was refused is that of
// the store, in all that matters, and returns that. The refusal is an answer like
// any other: it must be true of the store, not of a hint. With keys every record
// matters, as any may be the one that is repeated.
func (j *Journal) confirm(ctx context.Context, s *stream, v view, t *task) (state, bool, error) {
	var key []string
	if t.by != nil {
		key = []string{t.producers[0].key}
	}
	info, err := j.info(ctx, s, key...)
	if err != nil {
		return state{}, false, err
	}
	now, err := stateOf(&info)
	if err != nil {
		return state{}, false, err
	}
	same := now.version == 0 && v.version == 0 ||
		now.version != 0 && v.version != 0 && now.typ.text == v.typ.text && now.over == v.over && now.tail == v.tail &&
			now.config.equal(v.config) && now.pins == v.pins && now.fork.equal(v.fork) &&
			now.expiry.Equal(v.expiry) && now.order == v.order && now.closer == v.closer &&
			(!t.keyed && !t.last || now.last == v.last)
	if same && t.by != nil && now.version != 0 {
		a, err := decodeAccepted(s.name, info.State[key[0]])
		if err != nil {
			return state{}, false, err
		}
		same = a.equal(v.accepted) && now.census.equal(v.census)
	}
	if same {
		return now, true, nil
	}
	j.forget(s, v.gen)
	return state{}, false, nil
}

// prove reports whether the store has the version of a stream that v is a view of, by a
// Tx that does nothing. Unlike what is read, a commit is never of a moment before.
func (j *Journal) prove(ctx context.Context, s *stream, v view) (bool, error) {
	if v.version == 0 {
		return true, nil // as far as anybody can tell
	}
	sub := newSubmission(s, v)
	sub.whole, sub.exact, sub.raw, sub.proof = true, v.version, true, true
	err := j.submit(ctx, sub)
	return sub.stored, err
}

// confirmDuplicates checks the results of a submission that had nothing to
// commit: all of it are duplicates by what the journal remembers. A commit
// would have proved that the stream is still the one that has those records.
// Without one a read must: a stream that was made later has an ID that is
// greater than all of their sequences, and one that has gone has none. What is
// not confirmed is dropped.
func (j *Journal) confirmDuplicates(ctx context.Context, sub *submission) error {
	info, err := j.info(ctx, sub.stream)
	if err != nil {
		return err
	}
	gone := info.Version == 0 || leat.EndState(info.State[stateEnd]).Gone()
	for i, d := range sub.results {
		if gone || info.ID > d.Offset.Seq {
			sub.results = sub.results[:i]
			sub.stored = i > 0
			j.forget(sub.stream, sub.gen)
			break
		}
	}
	return nil
}
