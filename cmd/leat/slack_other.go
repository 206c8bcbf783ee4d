//go:build !linux

package main

import "time"

// giveSlack does nothing: other systems have no such setting.
func giveSlack(time.Duration) {}
