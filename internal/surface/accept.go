package surface

import (
	"mime"
	"strconv"
	"strings"

	"github.com/leat-dev/leat"
)

// Negotiate returns which of the media types on offer an Accept field prefers
// (RFC 9110, section 12.5.1): the one of the highest quality, and among equals
// the one offered first. Without an Accept field that is the first. Parts of
// the field that cannot be parsed are passed over. The error is a
// leat.CodeNotAcceptable that lists the offers.
func Negotiate(accept []string, offers ...string) (string, error) {
	field := strings.Join(accept, ",")
	if strings.TrimSpace(field) == "" {
		return offers[0], nil
	}
	best, bestQuality := "", 0.0
	for _, offer := range offers {
		if q := quality(field, offer); q > bestQuality {
			best, bestQuality = offer, q
		}
	}
	if best == "" {
		return "", leat.Errorf(leat.CodeNotAcceptable, "Accept asks for %s, and there is only %s", field, strings.Join(offers, ", ")).
			Advise("Ask for one of these, or for */*.").With("available", offers)
	}
	return best, nil
}

// quality returns the weight that field gives to a media type: that of the most
// specific range that matches, 0 if none does.
func quality(field, offer string) float64 {
	weight, specificity := 0.0, 0
	for part := range strings.SplitSeq(field, ",") {
		mediaRange, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		s := specificityOf(mediaRange, offer)
		if s <= specificity {
			continue
		}
		specificity, weight = s, 1
		if text, ok := params["q"]; ok {
			if weight, err = strconv.ParseFloat(text, 64); err != nil || weight < 0 || weight > 1 {
				weight = 0
			}
		}
	}
	return weight
}

// specificityOf returns 3 for a range that is the offer, 2 for its type with
// any subtype, 1 for any type, 0 for a range that does not match.
func specificityOf(mediaRange, offer string) int {
	kind, _, _ := strings.Cut(offer, "/")
	switch mediaRange {
	case offer:
		return 3
	case kind + "/*":
		return 2
	case "*/*":
		return 1
	}
	return 0
}
