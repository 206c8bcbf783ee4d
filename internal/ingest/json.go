package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/leat-dev/leat"
)

// jsonSpace is the white space of JSON.
const jsonSpace = " \t\r\n"

// checkJSON reports whether text is one JSON text. The error has the number of
// the byte that is wrong, counted from 1, or that of the last one if the text
// is cut short, in the field "at".
func checkJSON(what string, text []byte) error {
	if at := invalidUTF8(text); at >= 0 { // encoding/json lets it pass inside strings
		return leat.Errorf(leat.CodeInvalidBody, "%s is not valid UTF-8 at byte %d", what, at+1).
			Advise("JSON is sent in UTF-8.").
			With("at", at+1)
	}
	if json.Valid(text) {
		return nil
	}
	at, why := len(text), errCutShort
	if !cutShort(text) {
		var raw json.RawMessage
		why = json.Unmarshal(text, &raw)
		if s := (*json.SyntaxError)(nil); errors.As(why, &s) {
			at = int(s.Offset)
		}
	}
	return leat.Errorf(leat.CodeInvalidBody, "%s is not one JSON text: at byte %d: %w", what, at, why).
		Advise("Send one JSON text in the body or, as application/x-ndjson, on each line.").
		With("at", at)
}

var errCutShort = errors.New("it is cut short")

// cutShort reports whether text, which is no JSON text, is the beginning of
// one. Of a number or literal that is cut short json.Unmarshal says that a
// space is wrong which is not there.
func cutShort(text []byte) bool {
	var raw json.RawMessage
	err := json.NewDecoder(bytes.NewReader(text)).Decode(&raw)
	return err == io.EOF || err == io.ErrUnexpectedEOF
}

// invalidUTF8 returns where text stops being valid UTF-8, or -1.
func invalidUTF8(text []byte) int {
	if utf8.Valid(text) {
		return -1
	}
	at := 0
	for {
		r, n := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && n <= 1 {
			return at
		}
		at += n
	}
}
