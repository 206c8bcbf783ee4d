package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// "A reader that vanishes without FIN": its network goes while it is connected,
// and the server notices, because what it sends is not acknowledged. The reader
// is a process on a host of its own, a network namespace, which takes root.
func TestReaderVanishes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("making a network namespace takes root; CI runs as root")
	}
	// A network of its own for each run that there may be at a time. Links go
	// a moment after their namespace, so their names are not used again.
	run := rand.IntN(1 << 16)
	ns := fmt.Sprintf("leat%d", run)
	network := fmt.Sprintf("10.%d.%d", 128+run>>8&63, run&255)
	host, peer := network+".1", network+".2"
	ip(t, "netns", "add", ns)
	t.Cleanup(func() { ip(t, "netns", "del", ns) }) // the link goes with it
	ip(t, "link", "add", ns+"a", "type", "veth", "peer", "name", ns+"b", "netns", ns)
	ip(t, "addr", "add", host+"/30", "dev", ns+"a")
	ip(t, "link", "set", ns+"a", "up")
	ip(t, "-n", ns, "addr", "add", peer+"/30", "dev", ns+"b")
	ip(t, "-n", ns, "link", "set", ns+"b", "up")

	ln, err := listenWith(t.Context(), host+":0", 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	url := serveOn(t, ln)
	reader := exec.Command("ip", "netns", "exec", ns, "curl", "-sN", url+"/events?topic=a&heartbeat=1s")
	if err := reader.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		reader.Process.Kill()
		reader.Wait()
	})
	awaitSubscribers(t, url, 1)
	ip(t, "-n", ns, "link", "set", ns+"b", "down")
	awaitSubscribers(t, url, 0)
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
