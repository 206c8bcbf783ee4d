package surface

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/leat-dev/leat"
)

// ParseQuery is r.URL.Query() with its errors told.
func ParseQuery(r *http.Request) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, leat.Errorf(leat.CodeInvalidParameter, "the query of the URL cannot be read: %w", err).
			Advise("Percent-encode what is not a letter, a digit or one of -._~ in names and values.")
	}
	return q, nil
}

// ParseFlag reads a parameter that is 1 or 0, and 0 if it is missing.
func ParseFlag(q url.Values, name string) (bool, error) {
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
func ParseLimit(q url.Values) (int, error) {
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
