package leat_test

import (
	"errors"
	"fmt"

	"github.com/leat-dev/leat"
)

func ExampleParseOffset() {
	o, err := leat.ParseOffset("0001763711400123_0000000000000042")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(o.Seq, o.IsStart())
	fmt.Println(o)
	// Output:
	// 42 false
	// 0001763711400123_0000000000000042
}

func ExampleCheckName() {
	fmt.Println(leat.CheckName("orders/eu/42"))
	fmt.Println(leat.CheckName("orders//42"))
	// Output:
	// <nil>
	// "orders//42" cannot name a topic: it has an empty segment. A name is UTF-8 text of at most 512 bytes, segments joined by '/', for example orders/eu/42.
}

func ExamplePattern_Match() {
	p, err := leat.ParsePattern("orders/*")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Match("orders/42"), p.Match("orders"), p.Match("orders/eu/42"))
	// Output: true false false
}

func ExampleParseFilter() {
	f, err := leat.ParseFilter("news/**", "orders/42", "orders/42")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(f.Names(), f.Patterns())
	fmt.Println(f.Match("news/eu/today"), f.Match("orders/43"))
	// Output:
	// [orders/42] [news/**]
	// true false
}

func ExampleError() {
	_, err := leat.ParseOffset("42")
	if errors.Is(err, &leat.Error{Code: leat.CodeInvalidOffset}) {
		e := leat.AsError(err)
		fmt.Println(e.Code, e.Code.Status())
		fmt.Println(e.Detail)
	}
	// Output:
	// invalid_offset 400
	// "42" is not an offset
}
