package ingest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"net/url"
	"strings"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
)

func TestForm(t *testing.T) {
	form := func(text string) (journal.Append, error) {
		return Form(Body{Reader: strings.NewReader(text), MaxRecord: 100})
	}
	a, err := form("topic=orders%2F42&data=a+b%26%C3%A9&type=price&key=k%201")
	want := journal.Append{Stream: "orders/42", Type: "price", Key: "k 1", Form: journal.FormText, Data: []byte("a b&é")}
	if err != nil || a.Stream != want.Stream || a.Type != want.Type || a.Key != want.Key || a.Form != want.Form || !bytes.Equal(a.Data, want.Data) {
		t.Errorf("got %+v, %v", a, err)
	}
	if a, err := form("topic=a&data="); err != nil || len(a.Data) != 0 {
		t.Errorf("an empty data field: %+v, %v", a, err)
	}
	for _, test := range []struct {
		text string
		code leat.Code
	}{
		{"", leat.CodeNoTopic},
		{"data=x", leat.CodeNoTopic},
		{"topic=&data=x", leat.CodeNoTopic},
		{"topic=a", leat.CodeInvalidBody},
		{"topic=a&data=x&data=y", leat.CodeInvalidBody},
		{"topic=a&topic=b&data=y", leat.CodeInvalidBody},
		{"topic=a&data=x&id=7", leat.CodeInvalidBody},
		{"topic=a&data=%zz", leat.CodeInvalidBody},
		{"topic=a;data=x", leat.CodeInvalidBody},
	} {
		_, err := form(test.text)
		if leat.CodeOf(err) != test.code {
			t.Errorf("%q: got %v, want %s", test.text, err, test.code)
		}
	}

	// Whatever the bytes, a record at the limit can be sent.
	data := bytes.Repeat([]byte{0xff}, 100)
	if a, err := form("topic=a&data=" + url.QueryEscape(string(data))); err != nil || !bytes.Equal(a.Data, data) {
		t.Errorf("got %q, %v", a.Data, err)
	}
}

func TestEnvelope(t *testing.T) {
	for _, test := range []struct {
		text string
		want journal.Append
	}{
		{`{"topic":"a","data":1}`, journal.Append{Stream: "a", Data: []byte("1")}},
		{` { "data" : { "x" : [ "}" , "\"" ] } , "topic" : "a/b" } `, journal.Append{Stream: "a/b", Data: []byte(`{ "x" : [ "}" , "\"" ] }`)}},
		{`{"topic":"a","type":"price","key":"k\u0031","data":"x\n"}`, journal.Append{Stream: "a", Type: "price", Key: "k1", Data: []byte(`"x\n"`)}},
		{`{"topic":"a","data":null}`, journal.Append{Stream: "a", Data: []byte("null")}},
		{`{"t\u006fpic":"\ud83d\ude00","data":-1.50e+3}`, journal.Append{Stream: "😀", Data: []byte("-1.50e+3")}},
		{`{"topic":"a","data":"aGk=","encoding":"base64"}`, journal.Append{Stream: "a", Form: journal.FormBytes, Data: []byte("hi")}},
		{`{"topic":"a","data":"","encoding":"base64"}`, journal.Append{Stream: "a", Form: journal.FormBytes, Data: []byte{}}},
		{`{"id":"1_2","topic":"a","time":17,"data":true}`, journal.Append{Stream: "a", Data: []byte("true")}},
		{`{"id":{"x":[]},"topic":"a","time":null,"data":true}`, journal.Append{Stream: "a", Data: []byte("true")}},
		{`{"topic":"a","type":"","key":"","data":[]}`, journal.Append{Stream: "a", Data: []byte("[]")}},
	} {
		if test.want.Form == 0 {
			test.want.Form = journal.FormValue
		}
		a, err := Envelope(Body{Reader: strings.NewReader(test.text), MaxRecord: 100})
		if err != nil || !same(a, test.want) {
			t.Errorf("%s\n got %+v, %v\nwant %+v", test.text, a, err, test.want)
		}
	}
}

func same(a, b journal.Append) bool {
	return a.Stream == b.Stream && a.Type == b.Type && a.Key == b.Key && a.Form == b.Form &&
		a.ContentType == b.ContentType && bytes.Equal(a.Data, b.Data)
}

func TestEnvelopeRefused(t *testing.T) {
	for _, test := range []struct {
		text string
		code leat.Code
	}{
		{``, leat.CodeInvalidBody},
		{`[]`, leat.CodeInvalidBody},
		{`"topic"`, leat.CodeInvalidBody},
		{`{}`, leat.CodeNoTopic},
		{`{"data":1}`, leat.CodeNoTopic},
		{`{"topic":"","data":1}`, leat.CodeNoTopic},
		{`{"topic":"a"}`, leat.CodeInvalidBody},
		{`{"topic":null,"data":1}`, leat.CodeInvalidBody},
		{`{"topic":["a"],"data":1}`, leat.CodeInvalidBody},
		{`{"topic":"a","data":1,"type":null}`, leat.CodeInvalidBody},
		{`{"topic":"a","data":1,"key":7}`, leat.CodeInvalidBody},
		{`{"topic":"a","data":1}{}`, leat.CodeInvalidBody},
		{`{"topic":"a","data":1`, leat.CodeInvalidBody},
		{`{"topic":"a","data":01}`, leat.CodeInvalidBody},
		// Members are compared exactly, and none may be there twice.
		{`{"Topic":"a","data":1}`, leat.CodeInvalidBody},
		{`{"topic":"a","data":1,"more":2}`, leat.CodeInvalidBody},
		{`{"topic":"a","data":1,"data":2}`, leat.CodeInvalidBody},
		{`{"topic":"a","data":1,"d\u0061ta":2}`, leat.CodeInvalidBody},
		{`{"topic":"a","data":1,"id":1,"id":2}`, leat.CodeInvalidBody},
		{`{"topic":"a","data":1,"\ud800":2}`, leat.CodeInvalidBody},
		// What encoding/json would replace is refused.
		{"{\"topic\":\"a\xff\",\"data\":1}", leat.CodeInvalidBody},
		{"{\"topic\":\"a\",\"data\":\"\xff\"}", leat.CodeInvalidBody},
		{`{"topic":"a","key":"\ud800","data":1}`, leat.CodeInvalidBody},
		{`{"topic":"a","data":"aGk","encoding":"base64"}`, leat.CodeInvalidBody},
		{`{"topic":"a","data":"aGl=","encoding":"base64"}`, leat.CodeInvalidBody}, // bits left over
		{`{"topic":"a","data":1,"encoding":"base64"}`, leat.CodeInvalidBody},
		{`{"topic":"a","data":"aGk=","encoding":"hex"}`, leat.CodeInvalidBody},
		{`{"topic":"a","data":"aGk=","encoding":""}`, leat.CodeInvalidBody},
		{`{"topic":"a","data":"aGk=","encoding":null}`, leat.CodeInvalidBody},
	} {
		_, err := Envelope(Body{Reader: strings.NewReader(test.text), MaxRecord: 100})
		e := wantCode(t, err, test.code)
		if e.Detail == "" {
			t.Errorf("%s: no detail", test.text)
		}
	}
}

// Any record at the limit can be sent as an envelope, and one byte over the
// envelope's own limit is refused.
func TestEnvelopeLimit(t *testing.T) {
	const limit = 100
	word := strings.Repeat(`\u00e9`, 128)
	text := `{"topic":"` + strings.Repeat(`\u0041`, 512) + `","type":"` + word + `","key":"` + word +
		`","data":"` + strings.Repeat(`\u0001`, limit) + `"}`
	if _, err := Envelope(Body{Reader: strings.NewReader(text), MaxRecord: limit}); err != nil {
		t.Error(err)
	}
	text += strings.Repeat(" ", envelopeLimit(limit)-len(text))
	if _, err := Envelope(Body{Reader: strings.NewReader(text), MaxRecord: limit}); err != nil {
		t.Error(err)
	}
	_, err := Envelope(Body{Reader: strings.NewReader(text + " "), MaxRecord: limit})
	wantCode(t, err, leat.CodeTooLarge)

	// A journal without a limit gives the largest int.
	if n := envelopeLimit(math.MaxInt); n < math.MaxInt-2 {
		t.Error(n)
	}
	if _, err := Envelope(Body{Reader: strings.NewReader(text), MaxRecord: math.MaxInt}); err != nil {
		t.Error(err)
	}
}

// FuzzEnvelope: what decode takes, encoding/json takes too and reads as the
// same; what was read and written down again is read as the same.
func FuzzEnvelope(f *testing.F) {
	for _, seed := range []string{
		`{"topic":"a","data":1}`, `{"topic":"a","type":"t","key":"k","data":{"x":[1,"}\""]},"id":"1_2","time":3}`,
		`{"topic":"a","data":"aGk=","encoding":"base64"}`, `{"t\u006fpic":"\ud83d\ude00","data":null}`, `{"topic":"a","data":"\ud800"}`,
		` { } `, `{"topic":"a" , "data" : [ ] }`, "{\"topic\":\"\xff\"}", `{"topic":"a","topic":"b"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := decode(text)
		if err != nil {
			return
		}
		var m map[string]json.RawMessage
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatalf("took %q, which encoding/json does not: %v", text, err)
		}
		var e struct{ Topic, Type, Key, Encoding string }
		if err := json.Unmarshal(text, &e); err != nil {
			t.Fatal(err)
		}
		if a.Stream != e.Topic || a.Type != e.Type || a.Key != e.Key || (a.Form == journal.FormBytes) != (e.Encoding == "base64") {
			t.Fatalf("read %q as %+v", text, a)
		}
		if a.Form == journal.FormValue && !bytes.Equal(a.Data, m["data"]) {
			t.Fatalf("the data of %q became %q", text, a.Data)
		}
		again, err := decode(encode(t, a))
		if err != nil || !same(a, again) {
			t.Fatalf("%+v became %+v, %v", a, again, err)
		}
	})
}

// encode writes an envelope as a publisher would.
func encode(t *testing.T, a journal.Append) []byte {
	m := map[string]any{"topic": a.Stream, "type": a.Type, "key": a.Key, "data": json.RawMessage(a.Data)}
	if a.Form == journal.FormBytes {
		m["data"], m["encoding"] = base64.StdEncoding.EncodeToString(a.Data), "base64"
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if a.Form == journal.FormValue {
		// json.Marshal compacts and escapes raw messages: put it in as it is.
		m["data"] = 0
		text, _ = json.Marshal(m)
		text = bytes.Replace(text, []byte(`"data":0`), append([]byte(`"data":`), a.Data...), 1)
	}
	return text
}
