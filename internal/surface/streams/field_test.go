package streams

import (
	"net/http"
	"testing"
)

// What is looked up in a head as in a map is named as net/http has it there.
func TestFieldsAreCanonical(t *testing.T) {
	for _, name := range []string{fieldNext, fieldProducer, fieldEpoch, fieldSeq, fieldOrder, fieldTrim, fieldMatch} {
		if canonical := http.CanonicalHeaderKey(name); name != canonical {
			t.Errorf("%s is written %s in a head", name, canonical)
		}
	}
}
