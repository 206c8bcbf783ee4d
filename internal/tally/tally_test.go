package tally

import (
	"maps"
	"sync"
	"testing"
	"time"
)

func TestNames(t *testing.T) {
	names := NewNames("a", "b")
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for range 100 {
				names.Add("a")
				names.Add("new")
			}
		})
	}
	running.Wait()
	got := names.Read()
	if want := map[string]int64{"a": 400, "b": 0, "new": 400}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	got["a"] = 0
	if names.Read()["a"] != 400 {
		t.Error("the map that Read returned is not the caller's")
	}
	var zero Names
	if zero.Add("x"); zero.Read()["x"] != 1 {
		t.Error("the zero value does not count")
	}
}

func TestTimes(t *testing.T) {
	last := len(bounds) - 1
	var times Times
	for _, d := range []time.Duration{0, bounds[0], bounds[0] + 1, bounds[last], bounds[last] + 1} {
		times.Add(d)
	}
	got := times.Read()
	if got.Count != 5 || got.Sum != 2*bounds[0]+2+2*bounds[last] {
		t.Errorf("%+v", got)
	}
	for i, want := range map[int]int64{0: 2, 1: 3, last - 1: 3, last: 4} {
		if got.UpTo[i].Count != want || got.UpTo[i].Bound != bounds[i] {
			t.Errorf("class %d is %+v, want %d", i, got.UpTo[i], want)
		}
	}
	for i := range bounds[1:] {
		if bounds[i] >= bounds[i+1] {
			t.Errorf("bound %d is not below the next", i)
		}
	}
}
