// Package epoll waits for what happens to many descriptors with one goroutine, which
// sleeps as any other. It is there on Linux only.
package epoll
