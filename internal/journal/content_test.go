package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
)

func TestParseContentType(t *testing.T) {
	long := "text/plain; x=" + strings.Repeat("y", MaxContentType-len("text/plain; x="))
	for _, test := range []struct {
		in, text, essence string
		kind              leat.Kind
	}{
		{"application/json", "application/json", "application/json", leat.KindJSON},
		{"Application/JSON ; charset=UTF-8", "application/json; charset=utf-8", "application/json", leat.KindJSON},
		{"application/vnd.api+json", "application/vnd.api+json", "application/vnd.api+json", leat.KindJSON},
		{"text/plain", "text/plain", "text/plain", leat.KindText},
		{"text/plain;charset=US-ASCII", "text/plain; charset=utf-8", "text/plain", leat.KindText},
		{"text/html; charset=\"utf-8\"; x=Y", "text/html; charset=utf-8; x=Y", "text/html", leat.KindText},
		{"application/xml", "application/xml", "application/xml", leat.KindText},
		{"image/svg+xml", "image/svg+xml", "image/svg+xml", leat.KindText},
		{"application/octet-stream; charset=latin1", "application/octet-stream; charset=latin1", "application/octet-stream", leat.KindBinary},
		{"image/png", "image/png", "image/png", leat.KindBinary},
		{"application/x-ndjson", "application/x-ndjson", "application/x-ndjson", leat.KindBinary},
		{long, long, "text/plain", leat.KindText},
	} {
		c, err := parseContentType(test.in)
		if err != nil || c != (contentType{test.text, test.essence, test.kind}) {
			t.Errorf("%q: got %+v, %v", test.in, c, err)
		}
		if again, err := parseContentType(c.text); err != nil || again != c {
			t.Errorf("the normal form %q is not one: %+v, %v", c.text, again, err)
		}
	}
	for _, bad := range []string{
		"", "text", "/", "text/", "/plain", "text/plain; charset", "text/plain, text/html", "*/*", "text/*", "a b/c",
		"text/plain; charset=latin1", "application/json; charset=utf-16", "text/plain; charset=utf-8; charset=ascii", long + "y",
	} {
		_, err := parseContentType(bad)
		wantCode(t, err, leat.CodeMediaType)
	}
}

// The first publish gives the type, and a later one must have the same but
// for parameters and case. Without a type it takes that of the topic.
func TestContentTypeOfStream(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now})
		body := func(stream, contentType, data string) Append {
			return Append{Stream: stream, ContentType: contentType, Data: []byte(data)}
		}
		for _, test := range []struct {
			first  Append
			stored string
			kind   leat.Kind
			fit    []Append
			unfit  []Append
		}{
			{body("j", "application/json", ` {"a" : 1} `), "application/json", leat.KindJSON,
				[]Append{body("j", "application/json; charset=utf-8", "[]"), body("j", "APPLICATION/JSON", "1"), body("j", "", "null")},
				[]Append{body("j", "text/plain", "{}"), body("j", "application/x+json", "{}")}},
			{body("t", "text/plain; charset=ascii", "x"), "text/plain; charset=utf-8", leat.KindText,
				[]Append{body("t", "text/plain", "é"), body("t", "", "")},
				[]Append{body("t", "text/html", "x"), body("t", "application/octet-stream", "x")}},
			{body("b", "", "\xff"), "application/octet-stream", leat.KindBinary,
				[]Append{body("b", "application/octet-stream", "\xff"), body("b", "", "")},
				[]Append{body("b", "image/png", "x")}},
		} {
			name := test.first.Stream
			must(t, j, test.first)
			must(t, j, test.fit...)
			for _, a := range test.unfit {
				refused(t, j, leat.CodeTypeMismatch, a)
			}
			info, err := st.Stream(context.Background(), name)
			if err != nil || info.ContentType != test.stored {
				t.Errorf("%s: stored as %q, %v", name, info.ContentType, err)
			}
			all := records(t, st, name)
			if len(all) != 1+len(test.fit) {
				t.Errorf("%s: %d records", name, len(all))
			}
			for _, r := range all {
				if r.Kind != test.kind || r.Stream != name {
					t.Errorf("%s: a record of kind %s in %s", name, r.Kind, r.Stream)
				}
			}
		}
	})
}

// What each form makes of each kind of stream.
func TestForms(t *testing.T) {
	j := open(t, memstore.New(memstore.Options{}), Options{})
	type want struct {
		data string
		code leat.Code
	}
	ok := func(data string) want { return want{data: data} }
	no := func(code leat.Code) want { return want{code: code} }
	mismatch, invalid := no(leat.CodeTypeMismatch), no(leat.CodeInvalidBody)
	for _, test := range []struct {
		form               Form
		data               string
		makes              string
		json, text, binary want
	}{
		{FormBody, `{ "a":1.50 }`, typeBinary, ok(`{"a":1.50}`), ok(`{ "a":1.50 }`), ok(`{ "a":1.50 }`)},
		{FormBody, "\xff", typeBinary, invalid, invalid, ok("\xff")},
		{FormBody, "", typeBinary, invalid, ok(""), ok("")},
		{FormText, `{ "a":1 }`, typeText, ok(`{"a":1}`), ok(`{ "a":1 }`), ok(`{ "a":1 }`)},
		{FormText, `hello`, typeText, invalid, ok(`hello`), ok(`hello`)},
		{FormValue, `"a\u00e9\n\/"`, typeText, ok(`"a\u00e9\n\/"`), ok("aé\n/"), mismatch},
		{FormValue, ` "" `, typeText, ok(`""`), ok(""), mismatch},
		{FormValue, `[ 1, 2 ]`, typeJSON, ok(`[1,2]`), mismatch, mismatch},
		{FormValue, `null`, typeJSON, ok(`null`), mismatch, mismatch},
		{FormBytes, "\x00\xff", typeBinary, mismatch, mismatch, ok("\x00\xff")},
		{FormBytes, `{}`, typeBinary, mismatch, mismatch, ok(`{}`)},
	} {
		a := Append{Stream: "s", Form: test.form, Data: []byte(test.data)}
		c, err := typeFor(&a)
		if err != nil || c.text != test.makes {
			t.Errorf("form %d, %q: makes a %q, %v; want %s", test.form, test.data, c.text, err, test.makes)
		}
		for essence, want := range map[string]want{typeJSON: test.json, typeText: test.text, "image/png": test.binary} {
			sub := &submission{stream: &stream{name: "s"}, typ: storedType(essence)}
			data := ""
			_, err := j.add(sub, &a)
			if err == nil {
				data = string(sub.records[0].Data)
			}
			if data != want.data || leat.CodeOf(err) != want.code {
				t.Errorf("form %d, %q in %s: got %q, %v; want %q %s", test.form, test.data, essence, data, err, want.data, want.code)
			}
		}
	}
}

// All that is not white space is kept: the text of numbers, the order of
// members, duplicates, escapes.
func TestCompact(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, test := range []struct{ in, out string }{
		{" {\n\"b\" : 1.0E+2 ,\t\"a\":[ -0 , 12345678901234567890 ],\r\"b\":\" \\u003c< \\ud800\u2028\" } ", "{\"b\":1.0E+2,\"a\":[-0,12345678901234567890],\"b\":\" \\u003c< \\ud800\u2028\"}"},
		{" 1 ", "1"},
		{`"x"`, `"x"`},
		{deep(10000), deep(10000)},
	} {
		out, err := compact([]byte(test.in))
		if err != nil || string(out) != test.out {
			t.Errorf("%.80q: got %.80q, %v", test.in, out, err)
		}
	}
	for _, bad := range []string{"", " ", "{", "{}{}", "01", "nul", `{"a":}`, "\"\xff\"", "\ufeff1", "\"\n\"", deep(10001)} {
		_, err := compact([]byte(bad))
		wantCode(t, err, leat.CodeInvalidBody)
	}
	// What the store keeps has no slack to speak of.
	out, _ := compact([]byte("[" + strings.Repeat(" ", 1000) + "]"))
	if cap(out) > 16 {
		t.Errorf("2 bytes are kept in %d", cap(out))
	}
}

func TestUnquote(t *testing.T) {
	for _, bad := range []string{``, `1`, `"`, `"\ud800"`, `"\udc00\ud800"`, `"\ud800x"`, `"\ud800\n"`, `"\ud800\ud800"`, `"\x"`, "\"\xff\"", `"a" "b"`} {
		_, err := Unquote([]byte(bad))
		if leat.CodeOf(err) != leat.CodeInvalidBody {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

// FuzzUnquote: the text is that of encoding/json, unless that had to replace
// something.
func FuzzUnquote(f *testing.F) {
	for _, seed := range []string{`"a"`, ` "\"\\\/\b\f\n\r\tA" `, `"\ud83d\ude00é"`, `"\ud800"`, "\"\xff\"", `"\ufffd"`, `"\uD83D\uDE00\u00e9"`, `{}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Unquote(data)
		var want string
		jsonErr := json.Unmarshal(data, &want)
		if err != nil {
			if jsonErr == nil && isString(data) && utf8.Valid(data) && !strings.ContainsRune(want, utf8.RuneError) {
				t.Fatalf("%q was refused: %v", data, err)
			}
			return
		}
		if jsonErr != nil || string(got) != want {
			t.Fatalf("%q: got %q, want %q, %v", data, got, want, jsonErr)
		}
	})
}

// FuzzCompact: what is stored means the same, is valid UTF-8, and compacting
// it again changes nothing.
func FuzzCompact(f *testing.F) {
	for _, seed := range []string{` { "a" : [ 1.0 , "\u0041 " ] } `, `1`, "\"\xff\"", "[[[ ]]]", "", `"\ud800"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := compact(data)
		if err != nil {
			if json.Valid(data) && utf8.Valid(data) {
				t.Fatalf("%q was refused: %v", data, err)
			}
			return
		}
		again, err := compact(out)
		if err != nil || !bytes.Equal(again, out) || !utf8.Valid(out) {
			t.Fatalf("%q became %q and then %q, %v", data, out, again, err)
		}
		var a, b any
		da, db := json.NewDecoder(bytes.NewReader(data)), json.NewDecoder(bytes.NewReader(out))
		da.UseNumber()
		db.UseNumber()
		if da.Decode(&a) != nil || db.Decode(&b) != nil {
			t.Fatalf("%q became %q", data, out)
		}
		ta, _ := json.Marshal(a)
		tb, _ := json.Marshal(b)
		if !bytes.Equal(ta, tb) {
			t.Fatalf("%q became %q", data, out)
		}
	})
}

// The limits of names that publishers give, at their edge.
func TestTypesAndKeys(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now})
		for _, word := range []string{"", "price", "é 😀", strings.Repeat("x", 256), "leat", "Leat.x", "xleat."} {
			a := text("s", "x")
			a.Type, a.Key = word, word
			must(t, j, a)
		}
		for _, r := range records(t, st, "s") {
			if r.Type != r.Key {
				t.Errorf("type %q, key %q", r.Type, r.Key)
			}
		}
		a := text("s", "x")
		a.Key = "leat.key" // only types are reserved
		must(t, j, a)
		for _, word := range []string{strings.Repeat("x", 257), "\xff", "a\nb", "a\rb", "\x00", "\x7f", "\u0085"} {
			a := text("s", "x")
			a.Type = word
			refused(t, j, leat.CodeInvalidType, a)
			a = text("s", "x")
			a.Key = word
			refused(t, j, leat.CodeInvalidKey, a)
		}
		for _, word := range []string{"leat.", "leat.gap"} {
			a := text("s", "x")
			a.Type = word
			refused(t, j, leat.CodeInvalidType, a)
		}
		refused(t, j, leat.CodeInvalidName, text("a/*", "x"))
		refused(t, j, leat.CodeInvalidName, text("", "x"))
	})
}
