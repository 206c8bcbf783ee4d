package client

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/leat-dev/leat"
)

// A Message is what is published: a record that has no offset and no time
// yet.
type Message struct {
	// Topic is the name of the topic. It is made by the first publish to
	// it, with a content type that follows from Kind.
	Topic string

	// Kind says how Data reads, and has to agree with the topic: KindJSON
	// in one of JSON, KindText in one of text, KindBinary (the zero value)
	// in any other.
	Kind leat.Kind

	// Data is the payload.
	Data []byte

	// Type is the event type. It may be empty.
	Type string

	// Key names the message, so that it is stored once even if it is
	// published again: the server forgets a key after its --key-window, 5
	// minutes by default. Empty means one that is made up, which protects
	// the message from being doubled by the attempts of one call.
	Key string
}

// Text returns a message of text.
func Text(topic, text string) Message {
	return Message{Topic: topic, Kind: leat.KindText, Data: []byte(text)}
}

// JSON returns a message with the JSON text of v, by the rules of
// [json.Marshal]. The error is a *leat.Error with code leat.CodeInvalidBody.
func JSON(topic string, v any) (Message, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return Message{}, leat.Errorf(leat.CodeInvalidBody, "the value cannot be written as JSON: %w", err)
	}
	return Message{Topic: topic, Kind: leat.KindJSON, Data: data}, nil
}

// An Envelope is a record with all that belongs to it, as a subscription with
// [Query].Envelope delivers it.
type Envelope struct {
	ID    string    `json:"id"`
	Topic string    `json:"topic"`
	Type  string    `json:"type,omitempty"`
	Key   string    `json:"key,omitempty"`
	Time  time.Time `json:"time"`

	// Data is the payload: the JSON value itself in a topic of JSON, a JSON
	// string in one of text, and a JSON string of base64 if Encoding is
	// "base64". Bytes returns what was published.
	Data     json.RawMessage `json:"data"`
	Encoding string          `json:"encoding,omitempty"`
}

// Bytes returns the payload as text, as bytes, or as a JSON text. A JSON
// string comes back without its quotes, since an envelope does not tell it
// from text.
func (e *Envelope) Bytes() ([]byte, error) {
	var err error
	switch {
	case e.Encoding == "base64":
		var data []byte
		if err = json.Unmarshal(e.Data, &data); err == nil {
			return data, nil
		}
	case e.Encoding != "":
		return nil, leat.Errorf(leat.CodeInvalidBody, "the envelope %s has the unknown encoding %q", e.ID, e.Encoding)
	case len(e.Data) > 0 && e.Data[0] == '"':
		var text string
		if err = json.Unmarshal(e.Data, &text); err == nil {
			return []byte(text), nil
		}
	default:
		return e.Data, nil
	}
	return nil, leat.Errorf(leat.CodeInvalidBody, "the data of envelope %s cannot be read: %w", e.ID, err)
}

// line returns the message as an envelope on one line, with a key to use if
// it has none.
func (m *Message) line(key string) ([]byte, error) {
	if m.Key != "" {
		key = m.Key
	}
	if err := leat.CheckName(m.Topic); err != nil {
		return nil, err
	}
	// What is not UTF-8 would be changed on its way through JSON, and what
	// is stored would not be what was given.
	switch {
	case !utf8.ValidString(m.Type):
		return nil, leat.Errorf(leat.CodeInvalidType, "the event type %q is not valid UTF-8", m.Type)
	case !utf8.ValidString(key):
		return nil, leat.Errorf(leat.CodeInvalidKey, "the key %q is not valid UTF-8", key)
	case m.Kind != leat.KindBinary && !utf8.Valid(m.Data):
		return nil, leat.Errorf(leat.CodeInvalidBody, "the %s for topic %s is not valid UTF-8", m.Kind, m.Topic).
			Advise("Publish it as binary data, to a topic of its own.")
	}
	out := struct {
		Topic    string `json:"topic"`
		Type     string `json:"type,omitempty"`
		Key      string `json:"key"`
		Data     any    `json:"data"`
		Encoding string `json:"encoding,omitempty"`
	}{Topic: m.Topic, Type: m.Type, Key: key}
	switch m.Kind {
	case leat.KindJSON:
		out.Data = json.RawMessage(m.Data)
		if m.Data == nil {
			out.Data = json.RawMessage{} // nil would be null
		}
	case leat.KindText:
		out.Data = string(m.Data)
	default:
		out.Data, out.Encoding = base64.StdEncoding.EncodeToString(m.Data), "base64"
	}
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false) // members of JSON data stay as they were written
	if err := enc.Encode(out); err != nil {
		return nil, leat.Errorf(leat.CodeInvalidBody, "the data for topic %s is not one JSON text: %w", m.Topic, err).
			Advise("Check it, or publish it as text.")
	}
	return line.Bytes(), nil
}
