module github.com/leat-dev/leat/examples

go 1.26.0

require (
	github.com/coder/websocket v1.8.15
	github.com/leat-dev/leat v0.0.0
)

require golang.org/x/sys v0.50.0 // indirect

replace github.com/leat-dev/leat => ../
