package surface

import (
	"mime"
	"slices"
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
			Advise("Ask for one of these, or for */*.").With("available", slices.Clone(offers))
	}
	return best, nil
}

// An Offer is a form in which an answer can be had: the name that as= has for it
// and its media types, the one for those who do not choose first.
type Offer struct {
	As    string
	Types []string
}

// Choose returns the offer to answer with, and the media type: what as names if
// it is not empty, otherwise what the Accept field prefers.
func Choose(accept []string, as string, offers ...Offer) (Offer, string, error) {
	var room [8]string // so that nothing is allocated for a request that will last
	types := room[:0]
	for _, o := range offers {
		if as == o.As {
			contentType, err := Negotiate(accept, o.Types...)
			if err != nil {
				contentType = o.Types[0] // as= wins
			}
			return o, contentType, nil
		}
		types = append(types, o.Types...)
	}
	if as != "" {
		var names []string
		for _, o := range offers {
			names = append(names, o.As)
		}
		return Offer{}, "", InvalidParameter("as", as, "It is one of "+strings.Join(names, ", ")+".")
	}
	contentType, err := Negotiate(accept, types...)
	if err != nil {
		return Offer{}, "", err
	}
	i := slices.IndexFunc(offers, func(o Offer) bool { return slices.Contains(o.Types, contentType) })
	return offers[i], contentType, nil
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
