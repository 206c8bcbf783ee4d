package client

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/leat-dev/leat"
)

// endOf reads the Leat-End of an answer, nil if it has none: the stream is all
// there, or goes on.
func endOf(h http.Header) *End {
	state, parameters, _ := strings.Cut(h.Get("Leat-End"), ";")
	if state = strings.TrimSpace(state); state == "" || state == string(leat.EndComplete) {
		return nil
	}
	reason, _ := strings.CutPrefix(strings.TrimSpace(parameters), "reason=")
	return &End{State: leat.EndState(state), Reason: unquote(reason)}
}

// endHeader is a Leat-End.
func endHeader(state leat.EndState, reason string) string {
	if reason == "" {
		return string(state)
	}
	return string(state) + "; reason=" + quote(reason)
}

// quote writes a string of RFC 9651, or a display string if s is not printable
// ASCII.
func quote(s string) string {
	var plain, display bytes.Buffer
	isPlain := true
	for _, c := range []byte(s) {
		printable := c >= ' ' && c < 0x7f
		isPlain = isPlain && printable
		if c == '"' || c == '\\' {
			plain.WriteByte('\\')
		}
		plain.WriteByte(c)
		if !printable || c == '%' || c == '"' {
			fmt.Fprintf(&display, "%%%02x", c)
		} else {
			display.WriteByte(c)
		}
	}
	if isPlain {
		return `"` + plain.String() + `"`
	}
	return `%"` + display.String() + `"`
}

// unquote reads a string or a display string of RFC 9651. What is neither is "".
func unquote(s string) string {
	display := strings.HasPrefix(s, "%")
	s = strings.TrimPrefix(s, "%")
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return ""
	}
	s = s[1 : len(s)-1]
	var out bytes.Buffer
	for i := 0; i < len(s); i++ {
		switch {
		case !display && s[i] == '\\' && i+1 < len(s):
			i++
			out.WriteByte(s[i])
		case display && s[i] == '%' && i+2 < len(s):
			c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return ""
			}
			out.WriteByte(byte(c))
			i += 2
		default:
			out.WriteByte(s[i])
		}
	}
	return strings.ToValidUTF8(out.String(), "\uFFFD")
}
