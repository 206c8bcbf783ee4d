package streams

import (
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// parseText reads a string of a structured field: printable ASCII between
// quotation marks, with \" and \\ for these two, or behind a percent sign UTF-8
// text with %xx for all other bytes (RFC 9651, sections 3.3.3 and 3.3.8).
func parseText(text string) (string, bool) {
	text, display := strings.CutPrefix(text, "%")
	if len(text) < 2 || text[0] != '"' || text[len(text)-1] != '"' {
		return "", false
	}
	text = text[1 : len(text)-1]
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '"', !printable(c):
			return "", false
		case display && c == '%':
			var decoded [1]byte
			if i+3 > len(text) || strings.ContainsAny(text[i+1:i+3], "ABCDEF") {
				return "", false
			}
			if _, err := hex.Decode(decoded[:], []byte(text[i+1:i+3])); err != nil {
				return "", false
			}
			c, i = decoded[0], i+2
		case !display && c == '\\':
			i++
			if i == len(text) || text[i] != '"' && text[i] != '\\' {
				return "", false
			}
			c = text[i]
		}
		out = append(out, c)
	}
	return string(out), utf8.Valid(out)
}

// formatText writes UTF-8 text as a string of a structured field, and one that is
// not printable ASCII as a display string.
func formatText(text string) string {
	display := false
	for i := range len(text) {
		display = display || !printable(text[i])
	}
	var b strings.Builder
	if display {
		b.WriteByte('%')
	}
	b.WriteByte('"')
	for i := range len(text) {
		switch c := text[i]; {
		case display && (c == '%' || c == '"' || !printable(c)):
			b.WriteByte('%')
			b.WriteString(hex.EncodeToString([]byte{c}))
		case !display && (c == '"' || c == '\\'):
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func printable(c byte) bool { return 0x20 <= c && c <= 0x7e }
