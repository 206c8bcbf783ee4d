package streams

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
)

// Fields of a POST that say which request of whom it is, and for which state of the
// stream, and of its answer.
const (
	fieldProducer = "Producer-Id"
	fieldEpoch    = "Producer-Epoch"
	fieldSeq      = "Producer-Seq"
	fieldExpected = "Producer-Expected-Seq"
	fieldReceived = "Producer-Received-Seq"
	fieldOrder    = "Stream-Seq"
	fieldMatch    = "If-Match"
)

// producerOf returns the producer that the head of a request names, nil for none.
func producerOf(h http.Header) (*journal.Producer, error) {
	has := 0
	for _, name := range []string{fieldProducer, fieldEpoch, fieldSeq} {
		if len(h[name]) > 0 {
			has++
		}
	}
	if has == 0 {
		return nil, nil
	}
	p := &journal.Producer{ID: field(h, fieldProducer)}
	switch {
	case has < 3:
		return nil, leat.Errorf(leat.CodeInvalidParameter, "some of %s, %s and %s are missing", fieldProducer, fieldEpoch, fieldSeq).
			Advise("Send all three or none.")
	case p.ID == "":
		return nil, badField(fieldProducer, p.ID, "it is empty", "Name the producer, for example by a UUID.")
	case len(p.ID) > journal.MaxProducer:
		return nil, badField(fieldProducer, p.ID, "it has more than "+strconv.Itoa(journal.MaxProducer)+" bytes", "Name the producer by something shorter.")
	}
	for name, n := range map[string]*uint64{fieldEpoch: &p.Epoch, fieldSeq: &p.Seq} {
		text := field(h, name)
		var err error
		if *n, err = strconv.ParseUint(text, 10, 64); err != nil || *n > journal.MaxCount || strings.Trim(text, "0123456789") != "" {
			return nil, badField(name, text, "it is no number from 0 to 2^53-1", "Send decimal digits.")
		}
	}
	return p, nil
}

// orderOf returns the Stream-Seq of a request, empty for none.
func orderOf(h http.Header) (string, error) {
	order := field(h, fieldOrder)
	switch {
	case order == "" && len(h[fieldOrder]) > 0:
		return "", badField(fieldOrder, order, "it is empty", "Send a text that is greater, byte by byte, than the one before.")
	case len(order) > journal.MaxOrder:
		return "", badField(fieldOrder, order, "it has more than "+strconv.Itoa(journal.MaxOrder)+" bytes", "Shorten it.")
	}
	return order, nil
}

// statesOf returns the offsets that an If-Match asks for, nil if it asks for none. It
// takes entity tags, of content and of answers to an offset, of which the state counts
// in which they end and not how much was trimmed of it, and the Stream-Next-Offset of
// any answer, in quotation marks or without.
func statesOf(h http.Header) []leat.Offset {
	fields := h[fieldMatch]
	if len(fields) == 0 {
		return nil
	}
	at := []leat.Offset{}
	for text := range strings.SplitSeq(strings.Join(fields, ","), ",") {
		text = strings.TrimSpace(text)
		if text == "*" {
			return nil // what is appended to must exist
		}
		if t, ok := parseTag(text); ok {
			at = append(at, t.mark)
		} else if t, ok := parseChunkTag(text); ok {
			at = append(at, t.mark())
		} else if o, err := leat.ParseOffset(strings.Trim(text, `"`)); err == nil {
			at = append(at, o)
		}
	}
	return at
}

// setProducer says which request of a producer is the newest that was taken.
func setProducer(h http.Header, p journal.Producer) {
	h.Set(fieldEpoch, strconv.FormatUint(p.Epoch, 10))
	h.Set(fieldSeq, strconv.FormatUint(p.Seq, 10))
}

// explainRefusal sets what a producer needs to know of an error.
func explainRefusal(h http.Header, err error) {
	fields := leat.AsError(err).Fields
	for field, name := range map[string]string{fieldEpoch: "epoch", fieldExpected: "expected", fieldReceived: "received"} {
		if n, ok := fields[name].(uint64); ok {
			h.Set(field, strconv.FormatUint(n, 10))
		}
	}
}

// A run appends the records of one body, each as a request of its own of a producer.
type run struct {
	journal *journal.Journal
	next    journal.Producer
	newest  *journal.Producer // that was taken, nil as long as none was
}

// Append appends the records that come next.
func (r *run) Append(ctx context.Context, as ...journal.Append) ([]journal.Appended, error) {
	if len(as) == 0 {
		return nil, nil
	}
	done, newest, err := r.journal.Produce(ctx, r.next, as...)
	if len(done) > 0 {
		r.newest = &newest
	}
	r.next.Seq += uint64(len(done))
	return done, err
}
