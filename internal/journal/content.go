package journal

import (
	"fmt"
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/leat-dev/leat"
)

// The limits of what a publisher names, in bytes.
const (
	MaxType        = 256 // an event type
	MaxKey         = 256 // a key
	MaxContentType = 256 // a content type, written in its normal form
)

// The content types of streams that are made without one.
const (
	typeBinary = "application/octet-stream"
	typeText   = "text/plain"
	typeJSON   = "application/json"
)

// A contentType is that of a stream.
type contentType struct {
	text    string    // in normal form, as the store keeps it
	essence string    // type/subtype in lower case: two types are the same if it is
	kind    leat.Kind // how payloads read
}

// parseContentType normalises a content type. The kind decides what payloads
// must be: JSON for application/json and +json, UTF-8 for text, anything for
// the rest.
func parseContentType(s string) (contentType, error) {
	essence, params, err := mime.ParseMediaType(s)
	major, minor, _ := strings.Cut(essence, "/")
	if err != nil || major == "" || minor == "" || strings.Contains(essence, "*") {
		return contentType{}, leat.Errorf(leat.CodeMediaType, "%s is not a content type", shorten(s)).
			Advise("A content type is a type and a subtype, such as application/json or text/plain; charset=utf-8.")
	}
	c := contentType{essence: essence, kind: KindOf(essence)}
	if charset, ok := params["charset"]; ok && c.kind != leat.KindBinary {
		switch strings.ToLower(charset) {
		case "utf-8", "utf8", "us-ascii", "ascii":
			// Later records may have more than ASCII, so the type of the
			// stream says what holds for all of them.
			params["charset"] = "utf-8"
		default:
			return contentType{}, leat.Errorf(leat.CodeMediaType, "text in the charset %s cannot be stored", shorten(charset)).
				Advise("Send it in UTF-8.")
		}
	}
	c.text = mime.FormatMediaType(essence, params)
	if c.text == "" || len(c.text) > MaxContentType {
		return contentType{}, leat.Errorf(leat.CodeMediaType, "the content type %s cannot be kept: its normal form has more than %d bytes", shorten(s), MaxContentType).
			Advise("Leave its parameters away.")
	}
	return c, nil
}

// storedType returns the content type of a stream that is there, whoever made
// it: what does not parse is binary.
func storedType(text string) contentType {
	c, err := parseContentType(text)
	if err != nil {
		c = contentType{essence: text, kind: leat.KindBinary}
	}
	c.text = text
	return c
}

// KindOf returns how payloads of a content type read, given as its type and subtype
// in lower case, without parameters.
func KindOf(essence string) leat.Kind {
	switch {
	case essence == typeJSON, strings.HasSuffix(essence, "+json"):
		return leat.KindJSON
	case strings.HasPrefix(essence, "text/"), essence == "application/xml", strings.HasSuffix(essence, "+xml"):
		return leat.KindText
	}
	return leat.KindBinary
}

// typeFor returns the content type of a stream that is made by a record.
func typeFor(a *Append) (contentType, error) {
	switch a.Form {
	case FormBody:
		if a.ContentType != "" {
			return parseContentType(a.ContentType)
		}
		return parseContentType(typeBinary)
	case FormText:
		return parseContentType(typeText)
	case FormValue:
		if isString(a.Data) {
			return parseContentType(typeText)
		}
		return parseContentType(typeJSON)
	default:
		return parseContentType(typeBinary)
	}
}

// payload returns what is stored of a record in a stream of content type c,
// or why the stream does not take it.
func payload(c contentType, a *Append) ([]byte, error) {
	switch a.Form {
	case FormBody:
		if a.ContentType == "" || a.ContentType == c.text {
			break
		}
		declared, err := parseContentType(a.ContentType)
		if err != nil {
			return nil, err
		}
		if declared.essence != c.essence {
			return nil, mismatch(c, a, declared.essence)
		}
	case FormValue:
		switch {
		case c.kind == leat.KindJSON:
		case c.kind == leat.KindText && isString(a.Data):
			return Unquote(a.Data)
		case c.kind == leat.KindText:
			return nil, mismatch(c, a, "a JSON value that is no string")
		default:
			return nil, mismatch(c, a, "data without an encoding")
		}
	case FormBytes:
		if c.kind != leat.KindBinary {
			return nil, mismatch(c, a, "data in base64")
		}
	}
	if c.kind == leat.KindJSON {
		return compact(a.Data)
	}
	return a.Data, nil
}

// carry returns the Carry of a record with the payload given, in a text that
// ended with an unfinished character, or why the two together are no text.
func carry(before string, a *Append, data []byte) ([]byte, error) {
	text := data
	if before != "" {
		text = append([]byte(before), data...)
	}
	whole := text[:len(text)-leat.Unfinished(text)]
	at := invalidUTF8(whole)
	if at < 0 && len(whole) < len(text) && !a.Cut {
		at = len(whole)
	}
	switch {
	case at < 0 && before == "":
		return nil, nil
	case at < 0:
		return []byte(before), nil // a piece of text would keep all of it alive
	case at < len(before):
		return nil, leat.Errorf(leat.CodeInvalidBody, "the text of %q ends in the middle of a character so far, and the data does not go on with its next byte", a.Stream).
			Advise("Append the rest of the character first.")
	}
	return nil, leat.Errorf(leat.CodeInvalidBody, "the data is not valid UTF-8 at byte %d, and the topic %q holds text", at-len(before), a.Stream).
		Advise("Send text in UTF-8, or bytes with the content type application/octet-stream to a topic of their own.")
}

// tailOf returns the unfinished character that the text of a stream ends with
// when r is its last record.
func tailOf(r *leat.Record) string {
	if r.Kind != leat.KindText {
		return ""
	}
	text := r.Data
	if len(text) < utf8.UTFMax {
		text = append(r.Carry[:len(r.Carry):len(r.Carry)], text...)
	}
	return string(text[len(text)-leat.Unfinished(text):])
}

func mismatch(c contentType, a *Append, what string) error {
	advice := "Send that, or publish to another topic."
	switch {
	case a.Form == FormValue && c.kind == leat.KindBinary:
		advice = `Send the data as a base64 string with "encoding":"base64", or publish to another topic.`
	case a.Form == FormValue && c.kind == leat.KindText:
		advice = "Send the data as a JSON string, or publish to another topic."
	}
	return leat.Errorf(leat.CodeTypeMismatch, "the topic %q holds %s and this is %s", a.Stream, c.text, what).Advise(advice)
}

// invalidUTF8 returns where data stops being valid UTF-8, or -1.
func invalidUTF8(data []byte) int {
	if utf8.Valid(data) {
		return -1
	}
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// checkType reports whether an event type may be used.
func checkType(s string) error {
	why := wordFault(s, MaxType)
	if why == "" && strings.HasPrefix(s, "leat.") {
		why = "types that begin with leat. are the server's own"
	}
	if why == "" {
		return nil
	}
	return leat.Errorf(leat.CodeInvalidType, "%s cannot be an event type: %s", shorten(s), why).
		Advise("An event type is UTF-8 text of at most 256 bytes without control characters, such as price.")
}

// checkKey reports whether a publisher's key may be used.
func checkKey(s string) error {
	why := wordFault(s, MaxKey)
	if why == "" {
		return nil
	}
	return leat.Errorf(leat.CodeInvalidKey, "%s cannot be a key: %s", shorten(s), why).
		Advise("A key is UTF-8 text of at most 256 bytes without control characters, such as a UUID.")
}

func wordFault(s string, most int) string {
	if len(s) > most {
		return fmt.Sprintf("it has %d bytes and the limit is %d", len(s), most)
	}
	if !utf8.ValidString(s) {
		return "it is not valid UTF-8"
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return fmt.Sprintf("it has the control character %U", r)
		}
	}
	return ""
}

// shorten quotes s for a message.
func shorten(s string) string {
	const most = 64
	if len(s) > most {
		return fmt.Sprintf("%.*q…", most, s)
	}
	return fmt.Sprintf("%q", s)
}
