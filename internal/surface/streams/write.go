package streams

import (
	"context"
	"net/http"
	"strconv"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/ingest"
	"github.com/leat-dev/leat/internal/journal"
	"github.com/leat-dev/leat/internal/surface"
	"github.com/leat-dev/leat/internal/upload"
)

// create answers PUT: 201 for a stream that it made, 200 for one that is there
// as it is asked for.
func (s *Surface) create(w http.ResponseWriter, r *http.Request, name string, in *upload.Body) error {
	config, err := configOf(r.Header)
	if err != nil {
		return err
	}
	end, err := endingOf(r.Header)
	if err != nil {
		return err
	}
	fork, err := s.forkOf(r.Header)
	if err != nil {
		return err
	}
	write := journal.Write{Stream: name, End: end.state, Reason: end.reason, Anew: isAnew(r.Header)}
	if !in.Empty() {
		body := in.Ingest(r, s.o.Journal.MaxRecord())
		kind, err := s.kindOf(r.Context(), name, fork, config.ContentType)
		if err != nil {
			return err
		}
		if write.Appends, err = recordsOf(body, kind == leat.KindJSON); err != nil {
			return err
		}
	}
	made, written, err := s.createAs(r.Context(), fork, config, write)
	if err != nil {
		s.explainState(w.Header(), r, name, err)
		return err
	}
	m, err := s.o.Journal.Stat(r.Context(), name, false)
	if err != nil && leat.CodeOf(err) != leat.CodeNotFound { // it may have gone by now
		return err
	}
	h := w.Header()
	if m.ContentType != "" {
		h.Set("Content-Type", m.ContentType)
	}
	setEnd(h, written.Last, end)
	if !made {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	h.Set("Location", location(r))
	w.WriteHeader(http.StatusCreated)
	return nil
}

// isAnew reports whether a PUT is to make a stream or nothing.
func isAnew(h http.Header) bool { return field(h, "If-None-Match") == "*" }

// explainState tells with an error where the stream stands, as far as it is still
// there, if that is what the request is refused for.
func (s *Surface) explainState(h http.Header, r *http.Request, name string, err error) {
	switch leat.CodeOf(err) {
	case leat.CodeEnded, leat.CodeExists, leat.CodePrecondition, leat.CodeTypeMismatch,
		leat.CodeStaleEpoch, leat.CodeSequenceGap, leat.CodeOutOfOrder:
		if m, err := s.o.Journal.Stat(r.Context(), name, false); err == nil {
			setEnd(h, m.Last, ending{m.Over, m.Reason})
		}
	}
}

// recordsOf returns the records that a body makes which is stored as a whole: the
// elements of a JSON array, or one.
func recordsOf(body ingest.Body, isJSON bool) ([]journal.Append, error) {
	if isJSON {
		return ingest.Array(body)
	}
	a, err := ingest.Record(body)
	a.Cut = true
	return []journal.Append{a}, err
}

// append answers POST.
func (s *Surface) append(w http.ResponseWriter, r *http.Request, name string, in *upload.Body) error {
	if _, ok := r.Header[fieldTrim]; ok {
		return s.trim(w, r, name, in)
	}
	u := &uploading{s: s, r: r, name: name, in: in}
	err := u.parse()
	if err == nil {
		err = u.store(w)
	}
	if err != nil {
		s.explainState(w.Header(), r, name, err)
		explainRefusal(w.Header(), err)
	}
	return err
}

// uploading is a POST under way.
type uploading struct {
	s    *Surface
	r    *http.Request
	name string
	in   *upload.Body

	// What the request says.
	typ, key string
	streamed bool // append=stream
	end      ending
	body     ingest.Body
	producer *journal.Producer // nil: whose request it is is not said
	order    string            // Stream-Seq
	at       []leat.Offset     // If-Match; nil: whatever the state

	stream journal.Meta
}

// parse reads what the head of the request says.
func (u *uploading) parse() error {
	q, err := surface.ParseQuery(u.r)
	if err != nil {
		return err
	}
	if u.producer, err = producerOf(u.r.Header); err != nil {
		return err
	}
	if u.order, err = orderOf(u.r.Header); err != nil {
		return err
	}
	u.at = statesOf(u.r.Header)
	if u.end, err = endingOf(u.r.Header); err != nil {
		return err
	}
	u.body = u.in.Ingest(u.r, u.s.o.Journal.MaxRecord())
	mode, err := single(q, "append")
	if err == nil {
		u.typ, err = single(q, "type")
	}
	if err == nil {
		u.key, err = single(q, "key")
	}
	if u.streamed = mode == "stream"; err == nil && mode != "" && !u.streamed {
		err = surface.InvalidParameter("append", mode, "It is stream, or left out.")
	}
	if err == nil && u.key != "" && u.producer == nil && (u.order != "" || u.at != nil) {
		err = surface.InvalidParameter("key", u.key, "A record that is not stored again because of its key cannot be the next by "+fieldOrder+" or If-Match too. Leave out one of them.")
	}
	return err
}

// single returns the value of a parameter that may occur once.
func single(q surface.Query, name string) (string, error) {
	if q.Count(name) > 1 {
		return "", leat.Errorf(leat.CodeInvalidParameter, "%s occurs %d times", name, q.Count(name)).Advise("Give it once.")
	}
	return q.Get(name), nil
}

// store stores the body in the way that its type and that of the stream ask for,
// and answers. What can be refused without the body is refused before a byte of it
// is read: a client that waits for 100 Continue is spared sending it.
func (u *uploading) store(w http.ResponseWriter) error {
	if u.r.ContentLength == 0 && u.end.state == "" {
		return errNothing()
	}
	how, refusal, err := u.look()
	if err != nil {
		return err
	}
	// What the stream has ended with comes before what its type is, but for the type
	// that is not said.
	refused := refusal
	switch {
	case u.stream.EndedBy(u.producer):
		refused = nil // it has been done, whatever it has
	case refusal == nil && (how != whole || u.key != "" && u.producer == nil):
		// It may have been stored before: the journal knows.
	case u.stream.Over != "" && (refusal == nil || leat.CodeOf(refusal) == leat.CodeTypeMismatch):
		refused = u.stream.Ended()
	}
	if refused != nil && u.end.state == "" {
		return refused
	}
	u.in.SetPace(how.pace())
	switch {
	case u.in.Empty() && u.end.state == "":
		return errNothing()
	case u.in.Empty(), u.stream.EndedBy(u.producer):
		return u.write(w, nil) // without a body its type does not matter
	case refused != nil:
		return refused
	case how == whole:
		return u.storeWhole(w)
	case u.typ != "" || u.key != "":
		return errOneRecord("many")
	}
	return u.storeMany(w, how)
}

// look finds out what the stream is, and so how the body is to be read, or why it
// does not fit. What is remembered of the stream is enough if it does.
func (u *uploading) look() (how manner, refusal, err error) {
	essence, known := essenceOf(u.body.ContentType), false
	if u.stream, known = u.s.o.Journal.Glance(u.name); known {
		if how, refusal = mannerOf(u.stream, essence, u.streamed); refusal == nil {
			return how, nil, nil
		}
	}
	if u.stream, err = u.s.o.Journal.Stat(u.r.Context(), u.name, false); err != nil {
		if u.body.ContentType == "" && !u.streamed && u.r.ContentLength > 0 {
			return 0, nil, errNoType("text/plain") // which comes first
		}
		return 0, nil, err
	}
	how, refusal = mannerOf(u.stream, essence, u.streamed)
	return how, refusal, nil
}

func errOneRecord(records string) error {
	return leat.Errorf(leat.CodeInvalidParameter, "type and key are those of one record, and the body is %s", records).
		Advise("Send the records one by one, or as text/event-stream with an event and an id each.")
}

func errNothing() error {
	return leat.Errorf(leat.CodeInvalidBody, "there is nothing to append").
		Advise("Send a body that is not empty, or " + fieldClosed + ": true to end the stream.")
}

// storeWhole stores a body as one record, or the elements of a JSON array, all or
// none of them.
func (u *uploading) storeWhole(w http.ResponseWriter) error {
	appends, err := recordsOf(u.body, u.stream.Kind == leat.KindJSON)
	switch {
	case err != nil:
	case len(appends) == 0:
		err = errNothing()
	case len(appends) > 1 && (u.typ != "" || u.key != ""):
		err = errOneRecord(strconv.Itoa(len(appends)))
	}
	if err != nil {
		if u.producer == nil && u.order == "" && u.at == nil {
			return err
		}
		return u.writeAll(w, journal.Write{Wrong: err}) // of which they say whether it is news
	}
	appends[0].Type, appends[0].Key = u.typ, u.key
	if u.key == "" || u.producer != nil {
		return u.write(w, appends)
	}
	// It may be there already, by its key. Ending the stream is a step of its own
	// then: it can be repeated too.
	u.complete(&appends[0])
	got, err := u.s.o.Journal.Append(u.r.Context(), appends[0])
	if err != nil {
		return err
	}
	last, err := u.finish(u.end.state, got[0].Offset)
	if err != nil {
		return err
	}
	u.answer(w, last)
	return nil
}

// write stores appends, and the end if it was asked for, at once.
func (u *uploading) write(w http.ResponseWriter, appends []journal.Append) error {
	return u.writeAll(w, journal.Write{Appends: appends})
}

// writeAll does a Write that has what the head of the request says, too.
func (u *uploading) writeAll(w http.ResponseWriter, write journal.Write) error {
	write.Stream, write.End, write.Reason = u.name, u.end.state, u.end.reason
	write.Producer, write.Order, write.At = u.producer, u.order, u.at
	ctx := u.r.Context()
	if write.Wrong != nil {
		ctx = context.WithoutCancel(ctx) // which has ended with a body that was late or broke off
	}
	written, err := u.s.o.Journal.Write(ctx, write)
	if err != nil {
		return err
	}
	status := http.StatusNoContent
	if u.producer != nil {
		setProducer(w.Header(), written.Accepted)
		if !written.Duplicate && len(write.Appends) > 0 {
			status = http.StatusOK
		}
	}
	end := u.end
	if u.stream.Over != "" {
		end.reason = u.stream.Reason
	}
	end.state = written.Over
	setEnd(w.Header(), written.Last, end)
	w.WriteHeader(status)
	return nil
}

// answer answers that what was sent has been stored.
func (u *uploading) answer(w http.ResponseWriter, last leat.Offset) {
	setEnd(w.Header(), last, u.end)
	w.WriteHeader(http.StatusNoContent)
}

// complete makes an append one of this stream, which must exist.
func (u *uploading) complete(a *journal.Append) {
	a.Stream, a.Existing, a.Cut = u.name, true, u.streamed || a.Cut
}

// storeMany stores records as they arrive. If that fails because the body broke
// off, and it was to be the last, the stream has ended too: as truncated, never as
// complete.
func (u *uploading) storeMany(w http.ResponseWriter, how manner) error {
	switch {
	case u.order != "" || u.at != nil:
		return leat.Errorf(leat.CodeInvalidParameter, "%s and If-Match are for one append, and the body is many", fieldOrder).
			Advise("Leave them out, or send the records one by one, or as one JSON array.")
	case u.producer != nil && how == chunks:
		return leat.Errorf(leat.CodeInvalidParameter, "%s cannot be used with append=stream: where the body is cut is not the same when it is repeated", fieldProducer).
			Advise("Leave it out, or send pieces of your own, each with the next " + fieldSeq + ".")
	}
	u.body.ContentType = u.stream.ContentType
	as := &run{journal: u.s.o.Journal}
	if u.producer != nil {
		as.next = *u.producer
	}
	count, err := u.storeAs(how, as)
	if err != nil {
		// A producer sends it again, and the rest with it.
		if u.end.state != "" && u.producer == nil && (u.in.Broken() || u.r.Context().Err() != nil) {
			// Whether it can be ended is no news to a client that has gone.
			_, _ = u.finish(leat.EndTruncated, leat.Offset{})
		}
		return err
	}
	last := u.stream.Last
	if count.Last != nil {
		last = *count.Last
	}
	if u.producer != nil {
		u.producer = &as.next // the end is one more
	}
	newest := as.newest
	if last, err = u.finish(u.end.state, last); err != nil {
		return count.Explain(err)
	}
	switch {
	case u.producer != nil && u.end.state != "":
		newest = u.producer
		fallthrough
	case newest != nil:
		setProducer(w.Header(), *newest)
	}
	setEnd(w.Header(), last, u.end)
	surface.WriteJSON(w, http.StatusOK, count)
	return nil
}

// storeAs stores what arrives, and all that has arrived: when a connection breaks
// the context of its request ends before the last that it brought is read.
func (u *uploading) storeAs(how manner, as *run) (upload.Count, error) {
	ctx, j := context.WithoutCancel(u.r.Context()), u.s.o.Journal
	var to upload.Appender = j
	if u.producer != nil {
		to = as
	}
	switch how {
	case chunks:
		from := ingest.NewChunks(u.body, u.in.Interrupt)
		defer from.Close()
		return upload.StoreChunks(ctx, j, from, u.complete)
	case values:
		return upload.Store(ctx, to, ingest.NewValues(u.body), u.complete, ingest.AtLine)
	}
	from := ingest.NewEvents(u.body)
	count, err := upload.Store(ctx, to, from, u.complete, ingest.AtEvent)
	if err == nil && from.Pending() {
		err = count.Explain(leat.Errorf(leat.CodeInvalidBody, "the body ends inside an event, after %d that were whole", count.Count).
			Advise("An event ends with an empty line. Send the last one again, with it."))
	}
	return count, err
}

// finish ends the stream in a state, if that is not empty, and returns where the
// stream then stands, as far as this request knows. All has been stored that was
// sent: whether the client still hears of it makes no difference.
func (u *uploading) finish(state leat.EndState, last leat.Offset) (leat.Offset, error) {
	if u.stream.Last.Compare(last) > 0 {
		last = u.stream.Last // that of a record that was there
	}
	if state == "" {
		return last, nil
	}
	ctx := context.WithoutCancel(u.r.Context())
	written, err := u.s.o.Journal.Write(ctx, journal.Write{Stream: u.name, End: state, Reason: u.end.reason, Producer: u.producer})
	return written.Last, err
}
