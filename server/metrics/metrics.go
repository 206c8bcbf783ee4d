// Package metrics shows what a server counts to Prometheus. Package server has the same
// as data, for any other system, and does without this one.
//
//	srv, err := server.New(server.Options{Store: st, Metrics: metrics.Handler})
//
// serves them at /metrics of the server itself. NewCollector is for programs with a
// registry of their own.
package metrics

import (
	"maps"
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/store"
)

// Handler returns a handler that answers with the metrics of a server, of the Go runtime
// and of the process. It is for server.Options.Metrics, or for a path elsewhere.
func Handler(srv *server.Server) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(NewCollector(srv), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry})
}

// NewCollector returns what collects the metrics of a server.
func NewCollector(srv *server.Server) prometheus.Collector { return collector{srv} }

type collector struct{ srv *server.Server }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("leat_"+name, help, labels, nil)
}

// The metrics. docs/operations.md has the same list.
var (
	readers          = describe("readers", "Readers at present.", "surface", "format", "transport")
	takenOver        = describe("readers_taken_over", "Readers whose connections were taken over from net/http.")
	left             = describe("readers_left_total", "Readers whose answer ended, by the reason.", "reason")
	turnedAway       = describe("readers_turned_away_total", "Readers that were asked to come back later, by the reason.", "reason")
	gaps             = describe("gaps_total", "Gaps that readers were told, or refused for, by the reason.", "reason")
	publishers       = describe("publishers_taken_over", "Connections of publishers that were taken over from net/http.")
	deliveredRecords = describe("delivered_records_total", "Records sent to readers.")
	deliveredBytes   = describe("delivered_bytes_total", "Bytes of these, as they were sent.")
	publishedRecords = describe("published_records_total", "Records stored.")
	publishedBytes   = describe("published_bytes_total", "Bytes of payload in these.")
	refused          = describe("publishes_refused_total", "Requests to publish that were answered with an error, by its code.", "code")
	waiting          = describe("waiting_bytes", "Bytes that wait to be stored.")
	commits          = describe("commit_seconds", "How long commits to the store took.")
	syncs            = describe("sync_seconds", "How long syncs of the disk took that commits waited for.")
	storeUp          = describe("store_up", "1 if the store takes publishes.", "durability")
	storeBytes       = describe("store_bytes", "Size of the store, by its own count.")
	head             = describe("head_sequence", "Sequence of the end of the log.")
	cacheBytes       = describe("cache_bytes", "Memory that holds records for readers.")
	memoryBytes      = describe("memory_bytes", "Memory that the Go runtime has from the system.")
)

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		readers, takenOver, left, turnedAway, gaps, publishers, deliveredRecords, deliveredBytes, publishedRecords, publishedBytes, refused,
		waiting, commits, syncs, storeUp, storeBytes, head, cacheBytes, memoryBytes,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	m := c.srv.Metrics()
	one := func(d *prometheus.Desc, kind prometheus.ValueType, value int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, float64(value), labels...)
	}
	byName := func(d *prometheus.Desc, counts map[string]int64) {
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			one(d, prometheus.CounterValue, counts[name], name)
		}
	}
	for _, r := range m.Readers {
		one(readers, prometheus.GaugeValue, r.Count, r.Surface, r.Format, r.Transport)
	}
	one(takenOver, prometheus.GaugeValue, int64(m.TakenOver))
	byName(left, m.Left)
	byName(turnedAway, m.TurnedAway)
	byName(gaps, m.Gaps)
	one(publishers, prometheus.GaugeValue, int64(m.Publishers))
	one(deliveredRecords, prometheus.CounterValue, m.Delivered.Records)
	one(deliveredBytes, prometheus.CounterValue, m.Delivered.Bytes)
	one(publishedRecords, prometheus.CounterValue, m.Published.Records)
	one(publishedBytes, prometheus.CounterValue, m.Published.Bytes)
	byName(refused, m.Refused)
	one(waiting, prometheus.GaugeValue, m.Waiting)
	ch <- histogram(commits, m.Commits)
	ch <- histogram(syncs, m.Syncs)
	up := int64(1)
	if m.Failed != nil {
		up = 0
	}
	one(storeUp, prometheus.GaugeValue, up, string(m.Durability))
	one(storeBytes, prometheus.GaugeValue, m.StoreBytes)
	one(head, prometheus.GaugeValue, int64(m.Head.Seq))
	one(cacheBytes, prometheus.GaugeValue, m.CacheBytes)
	one(memoryBytes, prometheus.GaugeValue, m.MemoryBytes)
}

func histogram(d *prometheus.Desc, t store.Times) prometheus.Metric {
	buckets := make(map[float64]uint64, len(t.UpTo))
	for _, up := range t.UpTo {
		buckets[up.Bound.Seconds()] = uint64(up.Count)
	}
	return prometheus.MustNewConstHistogram(d, uint64(t.Count), t.Sum.Seconds(), buckets)
}
