package socket

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"time"
)

// A goroutine keeps the largest stack that it needed for as long as it waits. Over HTTP/2
// each answer has a goroutine, that of its request, which does little else than wait. So
// what takes more of a stack is done aside, by goroutines that end with it, and the one
// that waits goes on with the stack it was made with.

// A Rest is what is left of an answer: its Run may wait for hours. So whoever has begun an
// answer returns its Rest, and the outermost of them runs it.
type Rest interface{ Run() }

// Later returns a Rest that is to do all of something.
func Later(do func()) Rest { return later(do) }

type later func()

func (do later) Run() { do() }

// Aside has begin called by another goroutine, and returns what that returns. A panic
// goes on in the caller, whose stack does not grow by any of this.
func Aside(begin func() Rest) Rest {
	b := beginning{begin: begin, over: make(chan struct{})}
	go b.run() // it belongs to the caller, who waits for its end
	<-b.over
	if b.panic != nil {
		panic(b.panic)
	}
	return b.rest
}

// A beginning is an Aside under way.
type beginning struct {
	begin func() Rest
	over  chan struct{} // closed when the rest is there, or the panic is
	rest  Rest
	panic any
}

func (b *beginning) run() {
	defer close(b.over)
	b.panic = http.ErrAbortHandler // if the goroutine is ended: then it does not panic
	defer func() {
		if v := recover(); v != nil {
			b.panic = elsewhere(v)
		}
	}()
	b.rest = b.begin()
	b.panic = nil
}

// elsewhere returns the value with which a panic goes on in another goroutine, the stack
// of which does not show where it came from.
func elsewhere(v any) any {
	if v == http.ErrAbortHandler {
		return v
	}
	return fmt.Errorf("%v\n\n%s", v, debug.Stack())
}

// The states of a Serving whose looks are made aside.
const (
	resting = iota
	looking // a goroutine is
	again   // it is to look again: the bell was rung meanwhile
	over    // the last look is over
)

// A look aside costs two microseconds more than one in place. Who is sent something so
// often is not idle, and has its looks in place from then on.
const (
	soon  = time.Second // after the last write
	often = 8           // times in a row
)

// await is Run while looks are made aside: it has them made, and waits. It returns when
// all is over, and when looks are to be made in place.
func (s *Serving) await() {
	// It is made here and once, so that there is nothing to allocate at each look: that
	// may take more of a stack than there is.
	look := s.lookAside
	for {
		switch s.state.Load() {
		case resting: // so that it is all ours
			if s.isBusy() {
				return
			}
			s.state.Store(looking)
			go look() // it belongs to the caller, who does not return before it rests
		case looking:
			if !s.state.CompareAndSwap(looking, again) {
				continue // it looks no more
			}
		case over:
			if s.panic != nil {
				panic(s.panic)
			}
			return
		}
		<-s.Bell.rung
	}
}

// isBusy notes that there is to be a look, and reports whether there are many.
func (s *Serving) isBusy() bool {
	if begun := s.silence != nil; begun && s.writer.now()-s.lastWrite < soon {
		s.hurried++
	} else {
		s.hurried = 0
	}
	return s.hurried > often
}

// lookAside looks until the bell was not rung meanwhile. Then the Serving rests, and is
// another goroutine's from that moment on, or it is over.
func (s *Serving) lookAside() {
	rests := false
	defer func() {
		if rests {
			return
		}
		if v := recover(); v != nil {
			s.panic = elsewhere(v)
		} else if s.reason == "" {
			s.panic = http.ErrAbortHandler // the goroutine is ended
		}
		s.state.Store(over)
		s.Bell.Wake()
	}()
	for !rests && s.reason == "" {
		s.state.Store(looking)
		s.reason = s.look()
		rests = s.reason == "" && s.state.CompareAndSwap(looking, resting)
	}
}
