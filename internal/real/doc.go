// Package real has no code, only tests: of the binary as it is built for its
// users, together with programs that are not ours. curl goes away and comes
// back, Chromium plays and listens, nginx stands in between, and the kernel says
// how much memory the server takes.
//
// The tests are not built with the race detector: they measure, and the binary
// that they run is the product. scripts/check real runs them, on their own. A
// program that is missing is a skipped test on a developer's machine and a
// failure where the environment has CI=true.
package real
