// Package migrate is what stays the same when a hand-written event stream moves to
// Leat: the page. The programs are in before and after.
package migrate

import _ "embed"

// Page is the page of both programs.
//
//go:embed index.html
var Page []byte
