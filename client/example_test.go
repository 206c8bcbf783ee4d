package client_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/leat-dev/leat/client"
)

func ExampleSubscribe() {
	ctx := context.Background()
	url := exampleServer()
	for event, err := range client.Subscribe(ctx, url, client.SubscribeOptions{}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s: %s\n", event.ID, event.Data)
	}
	// Output:
	// 1: one
	// 2: two
}

func ExampleClient_Publish() {
	ctx := context.Background()
	c := &client.Client{URL: exampleServer()}
	receipt, err := c.Publish(ctx, client.Text("news", "one"), client.Text("news", "two"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d records, the last is %s\n", receipt.Count, receipt.Last)
	// Output:
	// 2 records, the last is 2
}

func ExamplePublisher() {
	ctx := context.Background()
	c := &client.Client{URL: exampleServer()}
	p, err := c.Publisher(client.PublisherOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range 2 {
		if err := p.Publish(ctx, client.Text("numbers", fmt.Sprint(i))); err != nil {
			break // Close returns it too
		}
	}
	receipt, err := p.Close(ctx)
	fmt.Println(receipt.Count, err)
	// Output:
	// 2 <nil>
}

// exampleServer returns the URL of a server that has two events, and then no
// more. It takes whatever is published.
func exampleServer() string {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == "POST":
			body, _ := io.ReadAll(r.Body)
			lines := 0
			for _, c := range body {
				if c == '\n' {
					lines++
				}
			}
			fmt.Fprintf(w, `{"count":%d,"last":"%d"}`, lines, lines)
		case r.Header.Get("Last-Event-ID") == "2":
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "retry: 100\nid: 1\ndata: one\n\nid: 2\ndata: two\n\n")
		}
	})).URL
}
