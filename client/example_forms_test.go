package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/client"
	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/store/memstore"
)

// A server of lines that is no Leat: a wrong line is told, and does not end the
// others.
func ExampleSubscribe_lines() {
	ctx := context.Background()
	url := answer("application/x-ndjson", `{"n":1}`+"\noops\n"+`{"n":2}`+"\n")
	for event, err := range client.Subscribe(ctx, url, client.SubscribeOptions{Form: client.FormLines}) {
		if leat.CodeOf(err) == client.CodeLine {
			fmt.Printf("line %v is wrong: %s\n", leat.AsError(err).Fields["line"], event.Data)
			continue
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(string(event.Data))
	}
	// Output:
	// {"n":1}
	// line 2 is wrong: oops
	// {"n":2}
}

// The elements of a JSON array are there before the array is.
func ExampleSubscribe_array() {
	ctx := context.Background()
	url := answer("application/json", `[{"hit":"a"},{"hit":"b"}]`)
	for event, err := range client.Subscribe(ctx, url, client.SubscribeOptions{Form: client.FormArray}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		var result struct{ Hit string }
		if err := json.Unmarshal(event.Data, &result); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(result.Hit)
	}
	// Output:
	// a
	// b
}

// A language model is asked by POST, which is sent once, and says [DONE] when
// it has. If it breaks off before, that is an error.
func ExampleSubscribe_post() {
	ctx := context.Background()
	url := answer("text/event-stream", "data: Hello\n\ndata:  world\n\ndata: [DONE]\n\n")
	isDone := func(e client.Event) bool { return string(e.Data) == "[DONE]" }
	o := client.SubscribeOptions{
		Method: "POST", Body: []byte(`{"stream":true}`),
		Header: http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer …"}},
		Last:   isDone,
	}
	for event, err := range client.Subscribe(ctx, url, o) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if !isDone(event) {
			fmt.Print(string(event.Data))
		}
	}
	// Output: Hello world
}

// A download that goes on after a cut, and shows how far it is.
func ExampleOpen() {
	ctx := context.Background()
	url := answer("application/octet-stream", "0123456789")
	var percent int64
	body, err := client.Open(ctx, url, client.OpenOptions{
		Progress: func(offset, size int64) { percent = 100 * offset / size },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer body.Close()
	if _, err := io.Copy(os.Stdout, body); err != nil {
		fmt.Println(err) // cut, or changed: body.Offset() bytes are good
	}
	fmt.Println("", percent, "%")
	// Output: 0123456789 100 %
}

// Each append is stored once, however often it has to be sent.
func ExampleProducer() {
	ctx := context.Background()
	c := leatServer()
	if err := c.Create(ctx, "orders/eu", client.CreateOptions{ContentType: "application/json"}); err != nil {
		fmt.Println(err)
		return
	}
	p, err := c.Producer("orders/eu", client.ProducerOptions{ContentType: "application/json"})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := p.Append(ctx, []byte(`{"order":1}`)); err != nil {
		fmt.Println(err)
		return
	}
	receipt, err := p.AppendLines(ctx, json.RawMessage(`{"order":2}`), json.RawMessage(`{"order":3}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(receipt.Count, "more")
	if err := p.End(ctx, leat.EndComplete, ""); err != nil {
		fmt.Println(err)
		return
	}
	for event, err := range c.Subscribe(ctx, client.Query{Topics: []string{"orders/eu"}, From: "start"}, client.SubscribeOptions{}) {
		switch {
		case err != nil:
			fmt.Println(err)
		case event.End != nil:
			fmt.Println("the end:", event.End.State)
			return
		default:
			fmt.Println(string(event.Data))
		}
	}
	// Output:
	// 2 more
	// {"order":1}
	// {"order":2}
	// {"order":3}
	// the end: complete
}

// Whoever follows the stream reads it while it is uploaded.
func ExampleClient_Upload() {
	ctx := context.Background()
	c := leatServer()
	if err := c.Create(ctx, "logs/build", client.CreateOptions{ContentType: "text/plain"}); err != nil {
		fmt.Println(err)
		return
	}
	output := strings.NewReader("compiling…\ndone\n") // of a program, say
	stored, err := c.Upload(ctx, "logs/build", output, client.UploadOptions{ContentType: "text/plain", End: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(stored.Bytes, "bytes")
	// Output: 18 bytes
}

// answer returns the URL of a server that has one answer.
func answer(contentType, body string) string {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		io.WriteString(w, body)
	})).URL
}

// leatServer returns a Leat server that keeps its records in memory.
func leatServer() *client.Client {
	srv, err := server.New(server.Options{Store: memstore.New(memstore.Options{})})
	if err != nil {
		panic(err)
	}
	return &client.Client{URL: httptest.NewServer(srv).URL}
}
