//go:build race && linux

package server_test

func init() { raceDetector = true }
