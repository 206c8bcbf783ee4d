module github.com/leat-dev/leat/bench

go 1.26
