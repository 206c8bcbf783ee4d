// Package examples has only tests: they run every example, its clients and its page.
package examples
