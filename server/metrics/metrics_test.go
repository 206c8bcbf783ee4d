package metrics_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/server/metrics"
	"github.com/leat-dev/leat/store/memstore"
)

func newServer(t testing.TB) *server.Server {
	st := memstore.New(memstore.Options{})
	srv, err := server.New(server.Options{Store: st, Metrics: metrics.Handler})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		st.Close()
	})
	return srv
}

// What the server counts is there, by its name and with its labels.
func TestCollector(t *testing.T) {
	srv := newServer(t)
	if _, err := srv.Publish(t.Context(), server.Message{Topic: "a", Data: []byte("12345")}); err != nil {
		t.Fatal(err)
	}
	if _, err := srv.Publish(t.Context(), server.Message{Topic: "a//b"}); err == nil {
		t.Fatal("that is no name")
	}
	for _, err := range srv.Subscribe(t.Context(), server.Subscription{Topics: []string{"a"}, From: "1_1"}) {
		if err != nil {
			t.Fatal(err)
		}
		const want = `
# HELP leat_published_bytes_total Bytes of payload in these.
# TYPE leat_published_bytes_total counter
leat_published_bytes_total 5
# HELP leat_publishes_refused_total Requests to publish that were answered with an error, by its code.
# TYPE leat_publishes_refused_total counter
leat_publishes_refused_total{code="invalid_name"} 1
# HELP leat_readers Readers at present.
# TYPE leat_readers gauge
leat_readers{format="record",surface="server",transport="go"} 1
# HELP leat_readers_left_total Readers whose answer ended, by the reason.
# TYPE leat_readers_left_total counter
leat_readers_left_total{reason="broken"} 0
leat_readers_left_total{reason="cut"} 0
leat_readers_left_total{reason="dismissed"} 0
leat_readers_left_total{reason="ended"} 0
leat_readers_left_total{reason="gone"} 0
leat_readers_left_total{reason="shutdown"} 0
leat_readers_left_total{reason="slow"} 0
leat_readers_left_total{reason="stalled"} 0
# HELP leat_store_up 1 if the store takes publishes.
# TYPE leat_store_up gauge
leat_store_up{durability="memory"} 1
`
		err := testutil.CollectAndCompare(metrics.NewCollector(srv), strings.NewReader(want),
			"leat_published_bytes_total", "leat_publishes_refused_total", "leat_readers", "leat_readers_left_total", "leat_store_up")
		if err != nil {
			t.Error(err)
		}
		break
	}
	if problems, err := testutil.CollectAndLint(metrics.NewCollector(srv)); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// "docs/operations.md has the same list": every metric is in its table, with each reason, and nothing else.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, found := range regexp.MustCompile("(?m)^\\| `(leat_[a-z_]+)").FindAllStringSubmatch(string(doc), -1) {
		documented[found[1]] = true
	}
	descs := make(chan *prometheus.Desc, 100)
	metrics.NewCollector(newServer(t)).Describe(descs)
	close(descs)
	name := regexp.MustCompile(`fqName: "([^"]+)"`)
	for desc := range descs {
		n := name.FindStringSubmatch(desc.String())[1]
		if !documented[n] {
			t.Errorf("%s is not documented", n)
		}
		delete(documented, n)
	}
	for n := range documented {
		t.Errorf("%s is documented and does not exist", n)
	}
	m := newServer(t).Metrics()
	for metric, reasons := range map[string]map[string]int64{"readers_left_total": m.Left, "readers_turned_away_total": m.TurnedAway, "gaps_total": m.Gaps} {
		row := regexp.MustCompile("(?m)^\\| `leat_" + metric + "`.*$").Find(doc)
		for reason := range reasons {
			if !strings.Contains(string(row), "`"+reason+"`") {
				t.Errorf("leat_%s: the reason %s is not documented", metric, reason)
			}
		}
	}
}

// The handler is what a scraper asks, in the format that it asks for.
func TestHandler(t *testing.T) {
	hs := httptest.NewServer(newServer(t))
	defer hs.Close()
	for accept, want := range map[string]string{
		"":                             "text/plain; version=0.0.4",
		"application/openmetrics-text": "application/openmetrics-text",
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", hs.URL+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || !strings.HasPrefix(resp.Header.Get("Content-Type"), want) && accept == "" || !strings.Contains(string(body), "leat_commit_seconds_bucket{le=") || !strings.Contains(string(body), "go_goroutines") {
			t.Errorf("Accept %q: %s, %d bytes, %v", accept, resp.Header.Get("Content-Type"), len(body), err)
		}
	}
}

// A program with a registry of its own registers the collector there.
func ExampleNewCollector() {
	st := memstore.New(memstore.Options{})
	defer st.Close()
	srv, err := server.New(server.Options{Store: st})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Shutdown(context.Background())
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.NewCollector(srv))
	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, family := range families {
		if strings.HasPrefix(family.GetName(), "leat_store") {
			fmt.Println(family.GetName(), family.GetMetric()[0].GetGauge().GetValue())
		}
	}
	// Output:
	// leat_store_bytes 0
	// leat_store_up 1
}
