// Package js has the JavaScript client as it is built, for programs in Go that serve
// it to their pages.
package js

import _ "embed"

// Module is the ES module leat.js, without dependencies, to be served as
// text/javascript.
//
//go:embed dist/leat.js
var Module []byte
