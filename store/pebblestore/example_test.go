package pebblestore_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/pebblestore"
)

// A record that was committed is there when the directory is opened again.
func Example() {
	dir, err := os.MkdirTemp("", "leat")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	st, err := pebblestore.Open(dir, pebblestore.Options{})
	if err != nil {
		log.Fatal(err)
	}
	tx := store.Tx{
		Stream: "greetings", ContentType: "text/plain",
		Records: []leat.Record{{Kind: leat.KindText, Data: []byte("hello")}},
	}
	results, err := st.Commit(ctx, []store.Tx{tx})
	if err != nil || results[0].Err != nil {
		log.Fatal(err, results)
	}
	st.Close()

	if st, err = pebblestore.Open(dir, pebblestore.Options{}); err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	b, err := st.ReadStream(ctx, "greetings", 0, 0, 1<<20)
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range b.Records {
		fmt.Printf("%s: %s\n", r.Stream, r.Data)
	}
	// Output: greetings: hello
}

// A backup is made while the store works, and is a directory to open.
func ExampleStore_Backup() {
	dir, err := os.MkdirTemp("", "leat")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	st, err := pebblestore.Open(filepath.Join(dir, "data"), pebblestore.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	if err := st.Backup(context.Background(), filepath.Join(dir, "monday")); err != nil {
		log.Fatal(err)
	}
	restored, err := pebblestore.Open(filepath.Join(dir, "monday"), pebblestore.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer restored.Close()
	fmt.Println("everything up to", st.Head(), "is in it:", restored.Head() > st.Head())
	// Output: everything up to 1 is in it: true
}
