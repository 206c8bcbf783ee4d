package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
)

// requestFlags are those of commands that send a request of the user's.
type requestFlags struct {
	Header []string `short:"H" help:"Header to send, such as 'Authorization: Bearer …'. May be repeated." placeholder:"'NAME: VALUE'" sep:"none"`
	Method string   `short:"X" help:"Method, for a URL: GET, or POST with --data." placeholder:"METHOD"`
	Data   *string  `short:"d" help:"Body to send, for a URL; @FILE has that of a file. Its type is application/json if it is JSON, or what -H says." placeholder:"BODY"`
}

// request returns the method and the body. A type that the header does not have is
// added to it.
func (f *requestFlags) request(header http.Header) (method string, body []byte, err error) {
	method = strings.ToUpper(f.Method)
	if f.Data == nil {
		return method, nil, nil
	}
	if method == "" {
		method = http.MethodPost
	}
	body = []byte(*f.Data)
	if name, ok := strings.CutPrefix(*f.Data, "@"); ok {
		if body, err = os.ReadFile(name); err != nil {
			return "", nil, fmt.Errorf("reading the body failed: %w", err)
		}
	}
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/x-www-form-urlencoded") // as curl has it
		if json.Valid(body) {
			header.Set("Content-Type", "application/json")
		}
	}
	return method, body, nil
}

// parseHeaders reads lines like "Name: value".
func parseHeaders(lines []string) (http.Header, error) {
	h := http.Header{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, usageError(fmt.Sprintf("%q is not a header: write 'Name: value'", line))
		}
		h.Add(name, strings.TrimSpace(value))
	}
	return h, nil
}
