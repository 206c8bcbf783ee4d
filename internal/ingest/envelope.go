package ingest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"net/url"
	"unicode/utf8"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
)

// maxHead is what an envelope or form may have beside its data, in bytes: a
// topic, a type and a key at their limits with each byte written as \u00XX,
// and the other members.
const maxHead = 8 << 10

// textLimit returns how long a text may be that has one record of up to
// maxRecord bytes in it, if a byte can take up to factor bytes.
func textLimit(maxRecord, factor int) int {
	if maxRecord > (math.MaxInt-maxHead)/factor-2 {
		return math.MaxInt - 2 // room to count one more byte, and a CR
	}
	return factor*maxRecord + maxHead
}

// envelopeLimit returns how long an envelope may be: any record can be sent as
// one, even if its text is all control characters, 6 bytes each in JSON.
func envelopeLimit(maxRecord int) int { return textLimit(maxRecord, 6) }

// formLimit returns how long a form may be: %XX is 3 bytes for one.
func formLimit(maxRecord int) int { return textLimit(maxRecord, 3) }

// Form returns the record that the fields topic, data, type and key of a form
// make.
func Form(b Body) (journal.Append, error) {
	text, err := b.readText(formLimit(b.MaxRecord))
	if err != nil {
		return journal.Append{}, err
	}
	fields, err := url.ParseQuery(string(text))
	if err != nil {
		return journal.Append{}, leat.Errorf(leat.CodeInvalidBody, "the body is not a form: %w", err).
			Advise("Send fields such as topic=a&data=hello, percent-encoded.")
	}
	for name, values := range fields {
		switch name {
		case "topic", "data", "type", "key":
		default:
			return journal.Append{}, leat.Errorf(leat.CodeInvalidBody, "the form has the unknown field %.64q", name).
				Advise("The fields are topic, data, type and key. To send a form as it is, name the topic in the URL.")
		}
		if len(values) > 1 {
			return journal.Append{}, leat.Errorf(leat.CodeInvalidBody, "the form has the field %q %d times", name, len(values)).
				Advise("Send one record in one form.")
		}
	}
	switch {
	case fields.Get("topic") == "":
		return journal.Append{}, noTopic("form", "field")
	case !fields.Has("data"):
		return journal.Append{}, leat.Errorf(leat.CodeInvalidBody, "the form has no field data").
			Advise("Send fields such as topic=a&data=hello.")
	}
	return journal.Append{
		Stream: fields.Get("topic"),
		Type:   fields.Get("type"),
		Key:    fields.Get("key"),
		Form:   journal.FormText,
		Data:   []byte(fields.Get("data")),
	}, nil
}

// Envelope returns the record that the body is the envelope of.
func Envelope(b Body) (journal.Append, error) {
	text, err := b.readText(envelopeLimit(b.MaxRecord))
	if err != nil {
		return journal.Append{}, err
	}
	return decode(text)
}

func (b *Body) readText(limit int) ([]byte, error) {
	if err := b.checkEncoding(); err != nil {
		return nil, err
	}
	return b.readAll(limit, tooLarge)
}

func noTopic(what, part string) error {
	return leat.Errorf(leat.CodeNoTopic, "the %s has no topic", what).
		Advise("Name the topic in the " + part + " topic, for example orders/42.")
}

// The members of an envelope, in the order of decode's values.
var members = []string{"topic", "data", "type", "key", "encoding", "id", "time"}

const envelopeAdvice = `An envelope looks like {"topic":"a","type":"price","key":"k1","data":…}, type and key may be missing, and binary data is a base64 string with "encoding":"base64".`

func invalid(format string, args ...any) *leat.Error {
	return leat.Errorf(leat.CodeInvalidBody, format, args...).Advise(envelopeAdvice)
}

// decode reads an envelope. It keeps no part of text.
func decode(text []byte) (a journal.Append, err error) {
	values, err := split(text)
	if err != nil {
		return journal.Append{}, err
	}
	word := func(i int) string {
		if values[i] == nil || err != nil {
			return ""
		}
		var s []byte
		if s, err = journal.Unquote(values[i]); err != nil {
			err = invalid("the member %q is not a string that has a text: %w", members[i], err)
		}
		return string(s)
	}
	a.Stream, a.Type, a.Key = word(0), word(2), word(3)
	encoding, data := word(4), values[1]
	switch {
	case err != nil:
	case a.Stream == "":
		err = noTopic("envelope", "member")
	case data == nil:
		err = invalid("the envelope has no data")
	case values[4] == nil:
		a.Form, a.Data = journal.FormValue, bytes.Clone(data)
	case encoding != "base64":
		err = invalid("the encoding %.64q is not known", encoding)
	default:
		a.Form = journal.FormBytes
		a.Data, err = fromBase64(data)
	}
	if err != nil {
		return journal.Append{}, err
	}
	return a, nil
}

func fromBase64(data []byte) ([]byte, error) {
	text, err := journal.Unquote(data)
	if err != nil {
		return nil, invalid("the data is not a base64 string: %w", err)
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(out, text)
	if err != nil {
		return nil, invalid("the data is not in base64: %w", err)
	}
	return out[:n], nil
}

// split returns the values of an envelope's members, nil for those that it
// does not have. Names are compared exactly, and none may occur twice: what
// encoding/json does with such texts is a guess.
func split(text []byte) ([][]byte, error) {
	if !utf8.Valid(text) {
		return nil, invalid("the envelope is not valid UTF-8")
	}
	if !json.Valid(text) {
		var raw json.RawMessage
		return nil, invalid("the envelope is not one JSON text: %w", json.Unmarshal(text, &raw))
	}
	values := make([][]byte, len(members))
	s := scanner{text: text}
	if s.next() != '{' {
		return nil, invalid("the envelope is not a JSON object")
	}
	for s.pos++; s.next() != '}'; {
		if s.next() == ',' {
			s.pos++
			s.next()
		}
		name := s.value()
		s.next()
		s.pos++ // the colon
		s.next()
		value := s.value()
		i := member(name)
		if i < 0 {
			return nil, invalid("the envelope has the unknown member %.64s", name)
		}
		if values[i] != nil {
			return nil, invalid("the envelope has the member %q twice", members[i])
		}
		values[i] = value
	}
	return values, nil
}

// member returns which member has a name, given as a JSON string, or -1.
func member(name []byte) int {
	if bytes.IndexByte(name, '\\') >= 0 {
		text, err := journal.Unquote(name)
		if err != nil {
			return -1
		}
		name = text
	} else {
		name = name[1 : len(name)-1]
	}
	for i, m := range members {
		if string(name) == m {
			return i
		}
	}
	return -1
}
