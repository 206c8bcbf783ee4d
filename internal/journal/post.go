package journal

import (
	"context"
	"errors"
)

// Post appends a record as Append does, and does not wait for it. What Append would have
// returned is told to then, once: before Post returns, or by another goroutine. then must
// not wait, nor call the journal, nor take a lock that somebody holds who calls it.
// What waits for the store already may be stored, and is told so, though ctx ends. Of
// what waits at the same time any may be the first.
//
// A record of a stream that is known costs no goroutine. For what has to be read first,
// and for what is refused, there is one.
func (j *Journal) Post(ctx context.Context, a Append, then func([]Appended, error)) {
	s, err := j.hold(a.Stream)
	if err != nil {
		then(nil, err)
		return
	}
	sub := j.prepareKnown(s, a)
	if sub == nil {
		j.release(s)
		j.postSlowly(ctx, a, then)
		return
	}
	by := j.publisherOf(ctx)
	sub.then = func() { // mu is held
		j.queued.Add(-sub.cost)
		j.pause.answers(by)
		if sub.unsure {
			j.goPost(ctx, a, sub, then) // and s is held meanwhile
			return
		}
		j.unpin(s)
		switch {
		case sub.err != nil:
			then(nil, sub.err)
		case sub.stored:
			then([]Appended{sub.results[0].Appended}, nil)
		default: // it was computed from a state that is not current
			j.goPost(ctx, a, nil, then)
		}
	}
	if err := j.enqueue(sub, by); err != nil {
		j.release(s)
		j.pause.answers(by)
		then(nil, err)
	}
}

// prepareKnown returns a submission for what is known of a stream. If something has to be
// read, cleared away or refused first there is none.
func (j *Journal) prepareKnown(s *stream, a Append) *submission {
	run := []Append{a}
	j.mu.Lock()
	v := view{state: s.state, gen: s.gen}
	known := s.known && (!j.keyed(run) || s.keysCurrent())
	j.mu.Unlock()
	if !known || v.over != "" || v.mortal() && v.lives.over(j.now()) {
		return nil
	}
	sub, err := j.prepare(s, v, run)
	if err != nil {
		return nil
	}
	return sub
}

// postSlowly is the rest of Post for a record that has to be waited for.
func (j *Journal) postSlowly(ctx context.Context, a Append, then func([]Appended, error)) {
	j.mu.Lock()
	closed := j.closed
	if !closed {
		j.goPost(ctx, a, nil, then)
	}
	j.mu.Unlock()
	if closed {
		then(nil, errClosed)
	}
}

// goPost appends on a goroutine of its own, which Close ends and waits for. A submission
// that is unsure is confirmed first, and its stream let go. mu is held.
func (j *Journal) goPost(ctx context.Context, a Append, unsure *submission, then func([]Appended, error)) {
	j.running.Go(func() {
		ctx, cancel := context.WithCancelCause(ctx)
		stop := context.AfterFunc(j.ctx, func() { cancel(errClosed) })
		var done []Appended
		var err error
		if unsure != nil {
			err = j.confirmDuplicates(ctx, unsure)
			j.release(unsure.stream)
		}
		switch {
		case err != nil:
		case unsure != nil && unsure.stored:
			done = []Appended{unsure.results[0].Appended}
		default:
			done, err = j.Append(ctx, a)
		}
		if errors.Is(err, context.Canceled) && context.Cause(ctx) == errClosed {
			err = errClosed
		}
		stop()
		cancel(nil)
		then(done, err)
	})
}
