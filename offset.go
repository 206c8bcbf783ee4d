package leat

import (
	"cmp"
	"strconv"
)

// An Offset is a position in a log. It names the last record that a reader
// was given, so reading goes on after it. The zero Offset is the start of
// any log.
//
// The text form is epoch and sequence as two decimal numbers of at least 16
// digits, joined by an underscore:
//
//	0001763711400123_0000000000000042
//
// Only digits and an underscore make it safe as an SSE id, in a URL, and
// under CORS as a Last-Event-ID that needs no preflight. It sorts as text.
type Offset struct {
	// Epoch is the time, in microseconds since 1970, at which the store was
	// opened that assigned the sequence. A sequence means the same only
	// within the history that its epoch belongs to.
	Epoch uint64

	// Seq is the place in the log. Sequences never restart, have holes, and
	// begin above 0: sequence 0 is the start of the log in any epoch.
	Seq uint64
}

// MaxSeq is the largest epoch and the largest sequence that an Offset's text
// form takes: 16 decimal digits.
const MaxSeq = 9_999_999_999_999_999

const offsetDigits = 16

// String returns the text form.
func (o Offset) String() string {
	return string(o.AppendTo(make([]byte, 0, 2*offsetDigits+1)))
}

// AppendTo appends the text form to dst and returns the extended slice.
func (o Offset) AppendTo(dst []byte) []byte {
	dst = appendPadded(dst, o.Epoch)
	dst = append(dst, '_')
	return appendPadded(dst, o.Seq)
}

func appendPadded(dst []byte, n uint64) []byte {
	var buf [20]byte
	digits := strconv.AppendUint(buf[:0], n, 10)
	for i := len(digits); i < offsetDigits; i++ {
		dst = append(dst, '0')
	}
	return append(dst, digits...)
}

// IsStart reports whether o is the start of the log, whatever its epoch.
func (o Offset) IsStart() bool { return o.Seq == 0 }

// Compare returns -1, 0 or +1 as o is before, equal to or after p. Epochs of
// one store grow with its sequences, so the order is that of the text forms.
func (o Offset) Compare(p Offset) int {
	if c := cmp.Compare(o.Epoch, p.Epoch); c != 0 {
		return c
	}
	return cmp.Compare(o.Seq, p.Seq)
}

// MarshalText returns the text form; the error is always nil.
func (o Offset) MarshalText() ([]byte, error) {
	return o.AppendTo(make([]byte, 0, 2*offsetDigits+1)), nil
}

// UnmarshalText sets o from its text form, by the rules of [ParseOffset].
func (o *Offset) UnmarshalText(text []byte) error {
	p, err := ParseOffset(string(text))
	if err != nil {
		return err
	}
	*o = p
	return nil
}

// ParseOffset reads the text form of an offset. The two numbers are read as
// numbers, so leading zeros may be missing; each has 1 to 16 digits and
// nothing else is allowed. The error is an [*Error] with code
// [CodeInvalidOffset].
func ParseOffset(s string) (Offset, error) {
	for i := 0; i < len(s); i++ {
		if s[i] != '_' {
			continue
		}
		epoch, ok1 := parseDigits(s[:i])
		seq, ok2 := parseDigits(s[i+1:])
		if ok1 && ok2 {
			return Offset{Epoch: epoch, Seq: seq}, nil
		}
		break
	}
	return Offset{}, Errorf(CodeInvalidOffset, "%s is not an offset", quote(s)).
		Advise("An offset is an id that Leat gave you: two numbers of up to 16 digits joined by an underscore, such as 0001763711400123_0000000000000042. Pass it back as it was.")
}

func parseDigits(s string) (uint64, bool) {
	if len(s) == 0 || len(s) > offsetDigits {
		return 0, false
	}
	var n uint64
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}
