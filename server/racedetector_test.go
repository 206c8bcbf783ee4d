//go:build race

package server_test_test

func init() { raceDetector = true }
