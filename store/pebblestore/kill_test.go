package pebblestore

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/leat-dev/leat/store"
)

// childEnv makes the test binary a child that writes until it is killed: its
// value is the class and the directory.
const childEnv = "LEAT_PEBBLESTORE_CHILD"

const childWriters = 4

func TestMain(m *testing.M) {
	if class, dir, child := strings.Cut(os.Getenv(childEnv), ":"); child {
		err := writeUntilKilled(store.Class(class), dir)
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeUntilKilled appends numbers, to a stream for each writer, and prints
// each once it is acknowledged. It goes on from what is there.
func writeUntilKilled(class store.Class, dir string) error {
	s, err := Open(dir, Options{Durability: class, memtableSize: 256 << 10})
	if err != nil {
		return err
	}
	failed := make(chan error)
	for w := range childWriters {
		go func() { // ends with the process
			name := fmt.Sprint("w", w)
			rnd := rand.New(rand.NewPCG(uint64(w), uint64(os.Getpid())))
			for n := version0(s, name); ; n++ {
				payload := fmt.Sprint(n, " ", strings.Repeat("x", rnd.IntN(3000)))
				if err := appendTo(s, name, text(payload)); err != nil {
					failed <- err
					return
				}
				// One write(2): what was printed was acknowledged.
				if _, err := fmt.Fprintf(os.Stdout, "%d %d\n", w, n); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	return <-failed
}

// version0 returns the number of records of a stream.
func version0(s *Store, name string) int {
	info, err := s.Stream(background, name)
	if err != nil {
		return -1
	}
	return int(info.Records)
}

// A process that is killed at any moment has lost nothing that it
// acknowledged, in both classes: in class os too the log is not in the memory
// of the process but the system's.
func TestKill(t *testing.T) {
	for _, class := range []store.Class{store.ClassDisk, store.ClassOS} {
		t.Run(string(class), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			acked := make([]int, childWriters)
			rounds := 20
			if os.Getenv("LEAT_SOAK") == "1" {
				rounds = 400
			}
			for range rounds {
				writeAndKill(t, class, dir, acked)
				checkKilled(t, dir, acked)
			}
			t.Logf("%d rounds, %v records acknowledged", rounds, acked)
		})
	}
}

// writeAndKill runs a child and kills it after some acknowledgements. It
// notes how many each writer has got.
func writeAndKill(t *testing.T, class store.Class, dir string, acked []int) {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+string(class)+":"+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewReader(out)
	kill := rand.IntN(120)
	for n := 0; ; n++ {
		line, err := lines.ReadString('\n')
		if err != nil {
			if n <= kill {
				t.Errorf("the child ended by itself after %d lines", n)
			}
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			break
		}
		if n == kill {
			must(t, cmd.Process.Kill()) // and read on: what it has printed counts
		}
		w, num, _ := strings.Cut(strings.TrimSpace(line), " ")
		writer, err1 := strconv.Atoi(w)
		number, err2 := strconv.Atoi(num)
		must(t, errors.Join(err1, err2))
		acked[writer] = max(acked[writer], number+1)
	}
	_ = cmd.Wait() // "signal: killed"
}

// checkKilled opens what a killed child has left.
func checkKilled(t *testing.T, dir string, acked []int) {
	t.Helper()
	s, err := Open(dir, Options{Logger: quiet})
	must(t, err)
	defer s.Close()
	for w, n := range acked {
		found := payloads(t, s, fmt.Sprint("w", w))
		if len(found) < n {
			t.Fatalf("writer %d: %d records were acknowledged and %d are there", w, n, len(found))
		}
		for i, p := range found {
			if number, _, _ := strings.Cut(p, " "); number != strconv.Itoa(i) {
				t.Fatalf("writer %d: record %d is %.10q", w, i, p)
			}
		}
	}
}
