package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCmd struct{}

// Set by the linker in `make build`, for trees that go knows nothing about.
var stampedVersion, stampedCommit string

// Run prints the version, the commit, and what it was built with.
func (versionCmd) Run(std *streams) error {
	_, err := fmt.Fprintf(std.out, "leat %s commit %s %s %s/%s\n", version(), commit(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// version is what was built: a release, or what git calls it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return cmp.Or(stampedVersion, info.Main.Version, "(unknown)")
}

// commit is the one that was built, with -dirty if it was not exactly that.
func commit() string {
	revision, dirty := "", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				revision = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = "-dirty"
			}
		}
	}
	if revision != "" {
		revision += dirty
	}
	return cmp.Or(stampedCommit, revision, "(unknown)")
}
