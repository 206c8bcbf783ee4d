//go:build linux

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestReadAllComparesEveryByte(t *testing.T) {
	for body, same := range map[string]bool{"ababab": true, "abab": false, "abaxab": false, "abababa": false} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) }))
		if err := readAll(s.URL, []byte("ab"), 3); (err == nil) != same {
			t.Errorf("%q: %v", body, err)
		}
		s.Close()
	}
}
