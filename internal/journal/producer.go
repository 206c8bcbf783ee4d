package journal

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leat-dev/leat"
)

// The limits of what a producer says of itself.
const (
	// MaxProducer is how long the name of a producer may be, in bytes.
	MaxProducer = 1024

	// MaxCount is the largest epoch and sequence of a producer: 2^53-1, the
	// largest integer that every client can count to.
	MaxCount = 1<<53 - 1

	// MaxOrder is how long a Write.Order may be, in bytes.
	MaxOrder = 256
)

// A Producer says which request of which sender this is, so that one that is
// repeated is known. A sender counts its requests to a stream from 0, and begins a
// new epoch, at 0 again, when it does not know where it was: whoever still sends
// with an older one is refused from then on.
type Producer struct {
	ID         string // not empty
	Epoch, Seq uint64
}

// producerKeys is what the keys begin with of what a stream's state has of producers.
const producerKeys = "p:"

// key returns the key of what the stream's state has of a producer. In place of a long
// name stands a digest of it, so that many find room in one Tx.
func (p *Producer) key() string {
	var sum [sha256.Size]byte
	if len(p.ID) <= base64.RawURLEncoding.EncodedLen(len(sum)) {
		return producerKeys + "=" + p.ID
	}
	sum = sha256.Sum256([]byte(p.ID))
	return producerKeys + "#" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// request names one request of a producer.
func (p *Producer) request() string { return fmt.Sprintf("%d %d %s", p.Epoch, p.Seq, p.key()) }

func (p *Producer) check() error {
	switch {
	case p.ID == "" || len(p.ID) > MaxProducer:
		return leat.Errorf(leat.CodeInvalidParameter, "the name of a producer has %d bytes: it must have 1 to %d", len(p.ID), MaxProducer).
			Advise("Name it by something short that nobody else uses, such as a UUID.")
	case p.Epoch > MaxCount || p.Seq > MaxCount:
		return leat.Errorf(leat.CodeInvalidParameter, "an epoch or a sequence of a producer is greater than 2^53-1").
			Advise("Count requests from 0, and from 0 again in a new epoch.")
	}
	return nil
}

// accepted is the newest request of a producer that a stream has taken. The zero
// value is none.
type accepted struct {
	epoch, seq uint64
	at         time.Time // in whole microseconds; zero if there was none
}

func (a accepted) equal(b accepted) bool {
	return a.epoch == b.epoch && a.seq == b.seq && a.at.Equal(b.at)
}

func (a accepted) encode() []byte {
	return fmt.Appendf(nil, "%d %d %d", a.epoch, a.seq, a.at.UnixMicro())
}

func decodeAccepted(name string, text []byte) (a accepted, err error) {
	if text == nil {
		return a, nil
	}
	var micros int64
	if _, err := fmt.Sscanf(string(text), "%d %d %d", &a.epoch, &a.seq, &micros); err != nil {
		return a, leat.Errorf(leat.CodeStoreFailed, "what is known of a producer of the stream %q cannot be read: %w", name, err).
			Advise("Was the store written by a newer version of Leat? Use that.")
	}
	a.at = time.UnixMicro(micros)
	return a, nil
}

// A verdict is what is to be done with a request of a producer.
type verdict int

const (
	isNext verdict = iota
	isDuplicate
	isGap      // requests between are missing
	isStale    // a newer epoch has begun
	isMidEpoch // an epoch that does not begin at 0
)

// judge returns what is to be done with a request of a producer of which a is the
// newest that was taken. What was forgotten by now is as if it had never been.
func (j *Journal) judge(a accepted, p *Producer, now time.Time) verdict {
	switch {
	case j.forgotten(a, now):
		if p.Seq == 0 {
			return isNext
		}
		return isGap
	case p.Epoch < a.epoch:
		return isStale
	case p.Epoch > a.epoch && p.Seq > 0:
		return isMidEpoch
	case p.Epoch > a.epoch, p.Seq == a.seq+1:
		return isNext
	case p.Seq <= a.seq:
		return isDuplicate
	}
	return isGap
}

// forgotten reports whether nothing is known of a producer any more.
func (j *Journal) forgotten(a accepted, now time.Time) bool {
	return a.at.IsZero() || j.producerWindow >= 0 && now.Sub(a.at) >= j.producerWindow
}

// refuse returns the error for a request that is not the next.
func (j *Journal) refuse(name string, why verdict, a accepted, p *Producer, now time.Time) error {
	switch why {
	case isStale:
		return leat.Errorf(leat.CodeStaleEpoch, "the producer %s has begun epoch %d of the stream %q, and this is of epoch %d", shorten(p.ID), a.epoch, name, p.Epoch).
			Advise("Another process sends as this producer. Stop, or begin a greater epoch, with sequence 0.").With("epoch", a.epoch)
	case isMidEpoch:
		return leat.Errorf(leat.CodeInvalidParameter, "epoch %d of the producer %s begins with sequence %d", p.Epoch, shorten(p.ID), p.Seq).
			Advise("Begin each epoch with sequence 0.")
	}
	expected := a.seq + 1
	if j.forgotten(a, now) {
		expected = 0
	}
	return leat.Errorf(leat.CodeSequenceGap, "sequence %d of the producer %s is expected by the stream %q, and this is %d", expected, shorten(p.ID), name, p.Seq).
		Advise("Send again what is missing, in order, or begin a greater epoch with sequence 0.").With("expected", expected).With("received", p.Seq)
}

// A census is how many producers the store has something of, beside a stream, and
// when the first of them may be forgotten.
type census struct {
	count int
	due   time.Time // zero if there are none, or they are never forgotten
}

func (c census) equal(d census) bool { return c.count == d.count && c.due.Equal(d.due) }

func (c census) encode() []byte {
	switch {
	case c.count == 0:
		return nil
	case c.due.IsZero():
		return strconv.AppendInt(nil, int64(c.count), 10)
	}
	return fmt.Appendf(nil, "%d %d", c.count, c.due.UnixMicro())
}

func decodeCensus(text []byte) (c census) {
	count, due, _ := strings.Cut(string(text), " ")
	c.count, _ = strconv.Atoi(count)
	c.due = decodeTime([]byte(due))
	return c
}

// Produce appends records of one stream that exists, each as a request of its own of
// a producer: the first has the sequence of p, and those after it the ones that
// follow. Those that were appended before are Duplicates; where they are is not
// told. Keys are stored and not looked for. It returns the newest request that was
// taken of the producer, too. Otherwise it is Append.
func (j *Journal) Produce(ctx context.Context, p Producer, as ...Append) (done []Appended, newest Producer, err error) {
	done, newest = make([]Appended, 0, len(as)), p
	if len(as) == 0 {
		return done, newest, nil
	}
	if err := p.check(); err != nil {
		return done, newest, err
	}
	s, err := j.hold(as[0].Stream)
	if err != nil {
		return done, newest, err
	}
	defer j.release(s)
	if p.Seq > MaxCount-uint64(len(as)-1) {
		return done, newest, (&Producer{p.ID, p.Epoch, MaxCount + 1}).check()
	}
	for len(as) > 0 {
		duplicates := 0
		next := p
		sub, _, err := j.do(ctx, s, task{by: &next, prepare: func(v view) (*submission, error) {
			duplicates = 0
			newest.Epoch, newest.Seq = v.accepted.epoch, v.accepted.seq
			return j.prepareRun(s, v, &next, as, &duplicates)
		}})
		if err != nil {
			return done, newest, err
		}
		n := duplicates
		if sub != nil {
			n = len(sub.results)
			for _, r := range sub.results {
				done = append(done, r.Appended)
			}
			newest.Epoch, newest.Seq = p.Epoch, p.Seq+uint64(n-1)
		} else {
			for range n {
				done = append(done, Appended{Duplicate: true})
			}
		}
		as, p.Seq = as[n:], p.Seq+uint64(n)
	}
	return done, newest, nil
}

// prepareRun makes a submission of the first records of a run that are not there
// yet, or says how many are.
func (j *Journal) prepareRun(s *stream, v view, p *Producer, as []Append, duplicates *int) (*submission, error) {
	if !v.exists() {
		return nil, v.missing(s.name)
	}
	// Unlike one request, a run that is repeated may have stopped half-way before:
	// what was taken of it is a duplicate after the end too.
	now := j.now()
	why := j.judge(v.accepted, p, now)
	switch {
	case why == isDuplicate:
		*duplicates = int(min(v.accepted.seq-p.Seq+1, uint64(len(as))))
		return nil, nil
	case v.over != "":
		return nil, errEnded(s.name, v.over)
	case why != isNext && !j.hopes(v, p, now):
		return nil, j.refuse(s.name, why, v.accepted, p, now)
	}
	if err := j.crowdedBy(s.name, v); err != nil {
		return nil, err
	}
	run := slices.Clone(as)
	for i := range run {
		if err := checkKey(as[i].Key); err != nil {
			if run = run[:i]; i == 0 {
				return nil, err
			}
			break
		}
		run[i].Key = "" // it is not looked for
	}
	sub, err := j.prepare(s, v, run)
	if sub != nil {
		sub.by = p
		for i := range sub.records {
			sub.records[i].Key = as[i].Key
		}
	}
	return sub, err
}

// hopes reports whether a request is the next, or a duplicate, once those are stored
// that wait: then it waits too.
func (j *Journal) hopes(v view, p *Producer, now time.Time) bool {
	if !v.hoping {
		return false
	}
	why := j.judge(v.hope, p, now)
	return why == isNext || why == isDuplicate
}

// crowdedBy returns an error if the stream takes no more producers, and that of the
// view is a new one.
func (j *Journal) crowdedBy(name string, v view) error {
	if !v.accepted.at.IsZero() || v.census.count < j.maxProducers {
		return nil
	}
	return leat.Errorf(leat.CodeTooManyProducers, "the stream %q remembers %d producers and takes no more", name, v.census.count).
		Advise("Use fewer names, such as one for each process and not one for each request. Those that send nothing are forgotten after a while.")
}
