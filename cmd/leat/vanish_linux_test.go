package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat/server"
)

// "A reader that vanishes without FIN": its network goes while it is connected,
// and the server notices: by heartbeats, or what else it sends, which is not
// acknowledged, or by probes where nothing is sent, since bytes have no heartbeat. The
// reader is a process on a host of its own, a network namespace, which takes root.
func TestReaderVanishes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("making a network namespace takes root; CI runs as root")
	}
	for _, loops := range []int{0, -1} {
		for _, test := range []struct {
			name, path string
			write      bool
		}{
			{"events", "/events?topic=a&heartbeat=1s", false},
			{"quiet bytes", "/streams/a?follow=1", false},
			{"bytes that are sent", "/streams/a?follow=1", true},
		} {
			t.Run(fmt.Sprintf("%s, Loops %d", test.name, loops), func(t *testing.T) {
				t.Parallel()
				host, vanish, in := network(t)
				probes := net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 2}
				if test.write {
					probes = net.KeepAliveConfig{}
				}
				ln, err := (&net.ListenConfig{KeepAliveConfig: probes}).Listen(t.Context(), "tcp", host+":0")
				if err != nil {
					t.Fatal(err)
				}
				url := serveOn(t, ln, server.Options{StallTimeout: 2 * time.Second, Loops: loops})
				publish := func() {
					resp, err := http.Post(url+"/events?topic=a", "text/plain", strings.NewReader("x"))
					if err != nil || resp.StatusCode != 200 {
						t.Fatal(resp, err)
					}
					resp.Body.Close()
				}
				publish() // there is such a stream
				reader := in("curl", "-sN", url+test.path)
				if err := reader.Start(); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					reader.Process.Kill()
					reader.Wait()
				})
				awaitSubscribers(t, url, 1)
				vanish()
				if test.write {
					publish()
				}
				awaitSubscribers(t, url, 0)
			})
		}
	}
}

// network makes a host with a network of its own. vanish takes its link away, and in
// makes a command that runs there.
func network(t *testing.T) (here string, vanish func(), in func(args ...string) *exec.Cmd) {
	// A network of its own for each run that there may be at a time. Links go
	// a moment after their namespace, so their names are not used again.
	run := rand.IntN(1 << 16)
	ns := fmt.Sprintf("leat%d", run)
	network := fmt.Sprintf("10.%d.%d", 128+run>>8&63, run&255)
	ip(t, "netns", "add", ns)
	t.Cleanup(func() { ip(t, "netns", "del", ns) }) // the link goes with it
	ip(t, "link", "add", ns+"a", "type", "veth", "peer", "name", ns+"b", "netns", ns)
	ip(t, "addr", "add", network+".1/30", "dev", ns+"a")
	ip(t, "link", "set", ns+"a", "up")
	ip(t, "-n", ns, "addr", "add", network+".2/30", "dev", ns+"b")
	ip(t, "-n", ns, "link", "set", ns+"b", "up")
	return network + ".1",
		func() { ip(t, "-n", ns, "link", "set", ns+"b", "down") },
		func(args ...string) *exec.Cmd {
			return exec.Command("ip", append([]string{"netns", "exec", ns}, args...)...)
		}
}

// awaitSubscribers waits until the server has that many readers. The kernel's
// time-outs are what is tested, so real time passes.
func awaitSubscribers(t *testing.T, url string, want int) {
	t.Helper()
	got := -1
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-time.After(100 * time.Millisecond) {
		resp, err := http.Get(url + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		var health struct{ Subscribers int }
		err = json.NewDecoder(resp.Body).Decode(&health)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if got = health.Subscribers; got == want {
			return
		}
	}
	t.Fatalf("the server has %d readers, want %d", got, want)
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s(this test needs Debian's iproute2)", strings.Join(args, " "), err, out)
	}
}
