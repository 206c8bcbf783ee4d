package main

import (
	_ "embed"
	"hash/fnv"
	"iter"
	"math/rand/v2"
	"strings"
)

//go:embed text.txt
var text string

// generate stands in for a language model: it has read one text, and says after each
// two words one that followed them there. The same question has the same answer.
func generate(question string) iter.Seq[string] {
	words := strings.Fields(text)
	follow := map[[2]string][]string{}
	var starts [][2]string
	for i := 2; i < len(words); i++ {
		pair := [2]string{words[i-2], words[i-1]}
		follow[pair] = append(follow[pair], words[i])
		if i == 2 || strings.HasSuffix(words[i-3], ".") {
			starts = append(starts, pair)
		}
	}
	seed := fnv.New64a()
	_, _ = seed.Write([]byte(question)) // a hash takes everything
	chance := rand.New(rand.NewPCG(seed.Sum64(), 0))
	return func(yield func(string) bool) {
		pair := starts[chance.IntN(len(starts))]
		if !yield(pair[0]) || !yield(" "+pair[1]) {
			return
		}
		for n := 2; n < 60 && (n < 25 || !strings.HasSuffix(pair[1], ".")); n++ {
			next := follow[pair]
			if next == nil { // the last words of the text
				return
			}
			pair = [2]string{pair[1], next[chance.IntN(len(next))]}
			if !yield(" " + pair[1]) {
				return
			}
		}
	}
}
