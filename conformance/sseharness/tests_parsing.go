package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// tests returns all tests.
func tests() []test {
	var all []test
	for _, group := range [][]test{parsingTests(), bomTests(), commentTests(), lineEndTests(), strictTests(), httpTests(), reconnectTests()} {
		all = append(all, group...)
	}
	return all
}

// A vector is a stream, and the events in it.
type vector struct {
	name   string
	pieces []string
	want   []event
}

// test makes a test of v. What ends a vector is an event of its own, so that
// nothing can come late.
func (v vector) test(group, needs string) test {
	return test{group + "/" + v.name, needs, func(t *T) {
		t.start(nil)
		for _, e := range v.want {
			t.listens(e.kind)
		}
		c := t.connection().open()
		c.send(v.pieces...)
		t.wants(v.want...)
		c.send("id: end\ndata: end\n\n")
		t.wants(event{"message", "end", "end"})
	}}
}

func vectors(group, needs string, all []vector) []test {
	var made []test
	for _, v := range all {
		made = append(made, v.test(group, needs))
	}
	return made
}

func message1(data string) event { return event{"message", data, ""} }

// part returns the first and the second half of s.
func part(s string) []string { return []string{s[:len(s)/2], s[len(s)/2:]} }

// large is a text of n bytes in which no part is like another.
func large(n int) string {
	b := make([]byte, 0, n+10)
	for i := 1_000_000; len(b) < n; i++ {
		b = append(strconv.AppendInt(b, int64(i), 10), ' ')
	}
	return string(b[:n])
}

func parsingTests() []test {
	hello, world := message1("Hello"), message1("World")
	greeting := event{"greeting", "Hello", "abc"}
	all := []vector{
		{"one line, in one piece", []string{"data: Hello\n\n"}, []event{hello}},
		{"one line, in two pieces", []string{"data: Hel", "lo\n\n"}, []event{hello}},
		{"two lines, in one piece", []string{"data: Hello\ndata:World\n\n"}, []event{message1("Hello\nWorld")}},
		{"two lines, in two pieces", []string{"data: Hello\nda", "ta:World\n\n"}, []event{message1("Hello\nWorld")}},
		{"two events, in one piece", []string{"data: Hello\n\ndata: World\n\n"}, []event{hello, world}},
		{"two events, in two pieces", []string{"data: Hello\n\n", "data: World\n\n"}, []event{hello, world}},
		{"empty data", []string{"data:\n\n"}, []event{message1("")}},
		{"empty data before an event", []string{"data: \n\ndata: Hello\n\n"}, []event{message1(""), hello}},
		{"type", []string{"event: greeting\ndata: Hello\n\n"}, []event{{"greeting", "Hello", ""}}},
		{"type, and then the default type", []string{"event: greeting\ndata: Hello\n\ndata: World\n\n"}, []event{{"greeting", "Hello", ""}, world}},
		{"id", []string{"id: abc\ndata: Hello\n\n"}, []event{{"message", "Hello", "abc"}}},
		{"id with NUL is ignored", []string{"id: a\x00bc\ndata: Hello\n\n"}, []event{hello}},
		{"id stays", []string{"id: abc\ndata: Hello\n\ndata: World\n\n"}, []event{{"message", "Hello", "abc"}, {"message", "World", "abc"}}},
		{"id is reset by an empty one", []string{"id: abc\ndata: Hello\n\nid: \ndata: World\n\n"}, []event{{"message", "Hello", "abc"}, world}},
		{"type and id", []string{"event: greeting\nid: abc\ndata: Hello\n\n"}, []event{greeting}},
		{"fields the other way round", []string{"data: Hello\nid: abc\nevent: greeting\n\n"}, []event{greeting}},
		{"unknown fields are ignored", []string{"event: greeting\ncolor: blue\ndata: Hello\n\n"}, []event{{"greeting", "Hello", ""}}},
		{"no space behind the colon", []string{"event:greeting\nid:abc\ndata:Hello\n\n"}, []event{greeting}},
		{"only one space is dropped", []string{"event:  greeting\ndata:  Hello\n\n"}, []event{{" greeting", " Hello", ""}}},
		{"characters of several bytes", []string{"data: €豆腐\n\n"}, []event{message1("€豆腐")}},
		{"characters of several bytes, cut", []string{"data: \xe2\x82", "\xac\xe8\xb1", "\x86\xe8", "\x85\x90\n\n"}, []event{message1("€豆腐")}},
	}
	made := vectors("parsing", "", all)
	// Two of the size of real snapshots: one line of a JSON document, 7 and 13 MB.
	for _, size := range []int{7_000_000, 14_000_000} {
		name := fmt.Sprintf("an event of %d MB", size/1_000_000)
		made = append(made, test{"parsing/" + name, "", func(t *T) {
			data := large(size)
			vector{name, []string{"event: snapshot\ndata: " + data[:size/3], data[size/3:] + "\n\n"}, []event{{"snapshot", data, ""}}}.test("", "").run(t)
		}})
	}
	return made
}

func bomTests() []test {
	hello := message1("Hello")
	const mark = "\uFEFF"
	return vectors("BOM", "bom", []vector{
		{"dropped at the start", []string{mark + "data: Hello\n\n"}, []event{hello}},
		{"dropped in two pieces, cut behind the first byte", []string{mark[:1], mark[1:] + "data: Hello\n\n"}, []event{hello}},
		{"dropped in two pieces, cut behind the second byte", []string{mark[:2], mark[2:] + "data: Hello\n\n"}, []event{hello}},
		{"dropped byte by byte", []string{mark[:1], mark[1:2], mark[2:], "data: Hello\n\n"}, []event{hello}},
		{"dropped before an id and a type", []string{mark + "id: abc\nevent: greeting\ndata: Hello\n\n"}, []event{{"greeting", "Hello", "abc"}}},
		{"dropped before a comment", []string{mark + ": comment\ndata: Hello\n\n"}, []event{hello}},
		{"dropped before an empty line", []string{mark + "\ndata: Hello\n\n"}, []event{hello}},
		{"only one is dropped", []string{mark + mark + "data: no\n\ndata: Hello\n\n"}, []event{hello}},
		{"a later one is kept in data", []string{"data: 1\n\ndata: " + mark + "2\n\n"}, []event{message1("1"), message1(mark + "2")}},
		{"a later one belongs to its field name", []string{"data: Hello\n\n" + mark + "data: no\n\n"}, []event{hello}},
		{"a part of one is none", []string{mark[:2], "data: no\n\ndata: Hello\n\n"}, []event{hello}},
	})
}

func commentTests() []test {
	one := func(name, text string, comments ...string) test {
		return test{"comments/" + name, "comments", func(t *T) {
			c := t.open(nil)
			c.send(text)
			t.comments(comments...)
			c.send("data: Hello\n\n")
			t.wants(message1("Hello"))
		}}
	}
	return []test{
		one("a line", ":hello\n", "hello"),
		one("a line and a space", ": hello\n", "hello"),
		one("two lines", ":hello\n:world\n\n", "hello", "world"),
		{"comments/in an event", "", func(t *T) {
			c := t.open(nil)
			c.send("event: message\n:hello\ndata: Hello\n: data: no\n\n")
			t.wants(message1("Hello"))
		}},
	}
}

// lineEndTests are the inputs that have to mean the same with every line end
// and however they are cut.
func lineEndTests() []test {
	inputs := []vector{
		{"one line", []string{"data: Hello\n\n"}, []event{message1("Hello")}},
		{"several lines", []string{"data: Hello\ndata: World\n\n"}, []event{message1("Hello\nWorld")}},
		{"several fields", []string{"event: greeting\ndata: Hello\nid: abc\n\n"}, []event{{"greeting", "Hello", "abc"}}},
		{"several events", []string{"event: greeting\ndata: Hello\nid: abc\n\ndata: World\n\n"}, []event{{"greeting", "Hello", "abc"}, {"message", "World", "abc"}}},
		{"empty lines of data", []string{"data:\ndata: \ndata: Hello\ndata:\n\n"}, []event{message1("\n\nHello\n")}},
		{"comments and empty lines", []string{"\n:\n\n: c\n\n\ndata: Hello\n\n\n\n"}, []event{message1("Hello")}},
	}
	var made []test
	for _, end := range []struct{ name, text string }{{"LF", "\n"}, {"CRLF", "\r\n"}, {"CR", "\r"}} {
		for _, input := range inputs {
			text := strings.ReplaceAll(input.pieces[0], "\n", end.text)
			for _, size := range []int{len(text), 1, 2} {
				v := vector{name: fmt.Sprintf("%s, %s, whole", end.name, input.name), want: input.want}
				if size < len(text) {
					v.name = fmt.Sprintf("%s, %s, in pieces of %d", end.name, input.name, size)
				}
				for at := 0; at < len(text); at += size {
					v.pieces = append(v.pieces, text[at:min(at+size, len(text))])
				}
				made = append(made, v.test("line ends", ""))
			}
		}
	}
	return append(made, vector{
		"CRLF cut between CR and LF", []string{"data: Hello\r", "\ndata: World\r", "\n\r", "\ndata: 3\r\n\r\n"},
		[]event{message1("Hello\nWorld"), message1("3")},
	}.test("line ends", ""))
}

// strictTests are the rules of the standard that clients break although they
// pass all the others.
func strictTests() []test {
	hello := message1("Hello")
	made := vectors("strict", "", []vector{
		{"a block without data is no event", []string{"event: greeting\n\nid: 7\n\n\n\ndata: Hello\n\n"}, []event{{"message", "Hello", "7"}}},
		{"the type of a block without data is forgotten", []string{"event: greeting\n\ndata: Hello\n\n"}, []event{hello}},
		{"a field without a colon", []string{"data\n\ndata\ndata\n\nevent\nid\ndata: Hello\n\n"}, []event{message1(""), message1("\n"), hello}},
		{"an empty type is message", []string{"event:\ndata: Hello\n\n"}, []event{hello}},
		{"names are compared as they are", []string{"Data: 1\n data: 2\ndata : 3\ndata\x00: 4\ndatas: 5\nda-ta: 6\ndata: Hello\n\n"}, []event{hello}},
		{"a line of spaces is not empty", []string{"data: Hel\n  \ndata: lo\n\n"}, []event{message1("Hel\nlo")}},
		{"a tab is not dropped", []string{"data:\tHello\n\n"}, []event{message1("\tHello")}},
		{"spaces at the end stay", []string{"data: Hello  \n\n"}, []event{message1("Hello  ")}},
		{"colons in a value", []string{"data: a: b:c\n\n"}, []event{message1("a: b:c")}},
		{"NUL in data stays", []string{"data: a\x00b\n\n"}, []event{message1("a\x00b")}},
		{"no line ends but CR, LF and CRLF", []string{"data: a\vb\fc\x1cd\x1de\x1ef\u0085g\u2028h\u2029i\n\n"}, []event{message1("a\vb\fc\x1cd\x1de\x1ef\u0085g\u2028h\u2029i")}},
		{"bytes that are no UTF-8 are replaced", []string{"data: a\xffb\xc3\n\n"}, []event{message1("a\uFFFDb\uFFFD")}},
		{"the last of several ids and types counts", []string{"id: 1\nevent: one\nid: 2\nevent: two\ndata: Hello\n\n"}, []event{{"two", "Hello", "2"}}},
		{"many lines of data", []string{strings.Repeat("data: x\n", 1000) + "\n"}, []event{message1(strings.Repeat("x\n", 999) + "x")}},
		{"a long line in many pieces", append(append([]string{"data: "}, part(large(100_000))...), "\n\n"), []event{message1(large(100_000))}},
	})
	return append(made, test{"strict/a line that ends with CR is complete at once", "", func(t *T) {
		c := t.open(nil)
		c.send("data: Hello\r\r")
		t.wants(message1("Hello"))
		c.send("\ndata: World\n\n")
		t.wants(message1("World"))
	}}, test{"strict/an event at the end without its empty line is none", "", func(t *T) {
		c := t.open(nil)
		c.send("data: Hello\n\ndata: no\n")
		t.wants(message1("Hello"))
		c.end()
		t.reopens().send("data: World\n\n")
		t.mayFail()
		t.wants(message1("World"))
	}}, test{"strict/retry counts, of digits only", "", func(t *T) {
		c := t.open(nil)
		c.send("retry: 1000\nretry: 60000x\nretry: -1\nretry:\nretry\nretry: 6e4\ndata: Hello\n\n")
		t.wants(message1("Hello"))
		began := time.Now()
		c.end()
		t.connection()
		if took := time.Since(began); took < 900*time.Millisecond {
			t.fail("the client asks again after %v, and the server said 1s", took)
		}
	}})
}
