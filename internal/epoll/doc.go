// Package epoll waits for what happens to many descriptors with one goroutine, which
// sleeps as any other, and has what else is done to those of connections that were taken
// over. It is there on Linux only.
package epoll
