package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/leat-dev/leat"
)

// compact returns a JSON text without its insignificant white space. All else
// stays as it was, byte for byte: the text of numbers, the order of members,
// duplicates, escapes. Text that is nested deeper than encoding/json goes
// (10,000) is refused.
func compact(data []byte) ([]byte, error) {
	// encoding/json lets invalid UTF-8 inside strings pass.
	if at := invalidUTF8(data); at >= 0 {
		return nil, leat.Errorf(leat.CodeInvalidBody, "the data is not valid UTF-8 at byte %d", at).
			Advise("JSON is sent in UTF-8.")
	}
	// Compacting never lengthens, so buf does not grow.
	buf := bytes.NewBuffer(make([]byte, 0, len(data)))
	if err := json.Compact(buf, data); err != nil {
		e := leat.Errorf(leat.CodeInvalidBody, "the data is not one JSON text: %w", err).
			Advise("Send one JSON text, or name another content type.")
		if s := (*json.SyntaxError)(nil); errors.As(err, &s) {
			e.With("at", s.Offset)
		}
		return nil, e
	}
	if buf.Len() < len(data)*7/8 {
		return bytes.Clone(buf.Bytes()), nil // the store keeps it: waste no memory
	}
	return buf.Bytes(), nil
}

// isString reports whether a JSON text is a string.
func isString(data []byte) bool {
	data = bytes.TrimLeft(data, " \t\r\n")
	return len(data) > 0 && data[0] == '"'
}

var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// Unquote returns the text of a JSON string in valid UTF-8. Unlike
// encoding/json it refuses what has no text, half of a surrogate pair or
// invalid UTF-8, instead of putting a replacement character there. The error
// is a *leat.Error with leat.CodeInvalidBody.
func Unquote(data []byte) ([]byte, error) {
	if !json.Valid(data) || !isString(data) {
		return nil, leat.Errorf(leat.CodeInvalidBody, "%s is not a JSON string", shorten(string(data)))
	}
	if at := invalidUTF8(data); at >= 0 {
		return nil, leat.Errorf(leat.CodeInvalidBody, "a JSON string is not valid UTF-8 at byte %d", at).
			Advise("JSON is sent in UTF-8.")
	}
	data = bytes.Trim(data, " \t\r\n")
	data = data[1 : len(data)-1]
	text := make([]byte, 0, len(data))
	for {
		i := bytes.IndexByte(data, '\\')
		if i < 0 {
			return append(text, data...), nil
		}
		text = append(text, data[:i]...)
		c := data[i+1]
		data = data[i+2:]
		if c != 'u' {
			text = append(text, escapes[c])
			continue
		}
		r := hex4(data)
		data = data[4:]
		if utf16.IsSurrogate(r) {
			if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
				return nil, loneSurrogate(r)
			}
			pair := utf16.DecodeRune(r, hex4(data[2:]))
			if pair == utf8.RuneError {
				return nil, loneSurrogate(r)
			}
			r, data = pair, data[6:]
		}
		text = utf8.AppendRune(text, r)
	}
}

func loneSurrogate(r rune) error {
	return leat.Errorf(leat.CodeInvalidBody, `a JSON string has half of a surrogate pair, \u%04x, which is no text`, r).
		Advise("Send both halves, or bytes that are no text in base64.")
}

// hex4 returns the number that 4 hexadecimal digits stand for. Their being
// digits was checked with the JSON text as a whole.
func hex4(data []byte) (n rune) {
	for _, c := range data[:4] {
		switch {
		case c >= 'a':
			c -= 'a' - 10
		case c >= 'A':
			c -= 'A' - 10
		default:
			c -= '0'
		}
		n = n<<4 | rune(c)
	}
	return n
}
