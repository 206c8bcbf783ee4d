//go:build race

package live_test

func init() { raceDetector = true }
