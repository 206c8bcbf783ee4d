package surface

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/leat-dev/leat"
)

// A Query is the parameters of a URL in their order. There are few, so looking at each
// for one costs less than a map of them.
type Query []parameter

type parameter struct{ name, value string }

// mostParameters bounds the memory of a Query. There is no use for as many.
const mostParameters = 10_000

// ParseQuery reads the query of a request. With an error it returns what could be read.
func ParseQuery(r *http.Request) (q Query, err error) {
	rest := r.URL.RawQuery
	if rest == "" {
		return nil, nil
	}
	n := 1 + strings.Count(rest, "&")
	if n > mostParameters {
		return nil, leat.Errorf(leat.CodeInvalidParameter, "the query of the URL has %d parameters and the limit is %d", n, mostParameters).
			Advise("Use a pattern instead of many names.")
	}
	q = make(Query, 0, n)
	for rest != "" {
		var text string
		if text, rest, _ = strings.Cut(rest, "&"); text == "" {
			continue
		}
		if p, wrong := parseParameter(text); wrong == nil {
			q = append(q, p)
		} else if err == nil {
			err = leat.Errorf(leat.CodeInvalidParameter, "the query of the URL cannot be read: %w", wrong).
				Advise("Percent-encode what is not a letter, a digit or one of -._~ in names and values.")
		}
	}
	return q, err
}

var errSemicolon = errors.New("it has a semicolon, which some take for the end of a parameter")

// parseParameter reads what stands between two & of a query.
func parseParameter(text string) (p parameter, err error) {
	if strings.Contains(text, ";") {
		return p, errSemicolon
	}
	name, value, _ := strings.Cut(text, "=")
	if p.name, err = url.QueryUnescape(name); err == nil {
		p.value, err = url.QueryUnescape(value)
	}
	return p, err
}

// Get returns the first value of a parameter, empty if it is missing.
func (q Query) Get(name string) string {
	for i := range q {
		if q[i].name == name {
			return q[i].value
		}
	}
	return ""
}

// Count returns how often a parameter occurs.
func (q Query) Count(name string) (n int) {
	for i := range q {
		if q[i].name == name {
			n++
		}
	}
	return n
}

// Values returns the values of a parameter.
func (q Query) Values(name string) (values []string) {
	for i := range q {
		if q[i].name == name {
			values = append(values, q[i].value)
		}
	}
	return values
}

// ParseFlag reads a parameter that is 1 or 0, and 0 if it is missing.
func ParseFlag(q Query, name string) (bool, error) {
	switch v := q.Get(name); v {
	case "", "0", "false":
		return false, nil
	case "1", "true":
		return true, nil
	default:
		return false, InvalidParameter(name, v, "It is 1 or 0.")
	}
}

// How many things one list has, unless limit= says otherwise, and at most.
const (
	listNormal = 100
	listMost   = 1000
)

// ParseLimit reads the parameter limit of a request for a list.
func ParseLimit(q Query) (int, error) {
	text := q.Get("limit")
	if text == "" {
		return listNormal, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > listMost {
		return 0, InvalidParameter("limit", text, "It is a number from 1 to "+strconv.Itoa(listMost)+".")
	}
	return n, nil
}

// InvalidParameter is the error of a parameter whose value is not understood.
func InvalidParameter(name, value, advice string) error {
	return leat.Errorf(leat.CodeInvalidParameter, "%s=%s is not understood", name, value).Advise(advice)
}
