//go:build race

package examples

// buildFlags: with the race detector the programs have it too.
var buildFlags = []string{"build", "-race"}
