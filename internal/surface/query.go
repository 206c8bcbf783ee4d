package surface

import (
	"net/http"
	"net/url"

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

// InvalidParameter is the error of a parameter whose value is not understood.
func InvalidParameter(name, value, advice string) error {
	return leat.Errorf(leat.CodeInvalidParameter, "%s=%s is not understood", name, value).Advise(advice)
}
