package subscription

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/leat-dev/leat"
)

// The types of subscriptions.
const (
	Webhook  = "webhook"   // a worker is woken by a request to it
	PullWake = "pull-wake" // workers read a stream of wakes, and one of them claims each
)

// MaxID and MaxWorker bound the ids of subscriptions and the names of workers, and
// MaxConfig what a Config takes in the store without its Streams, all in bytes.
const (
	MaxID     = 128
	MaxWorker = 256
	MaxConfig = 3 << 10
)

// A Config is what a subscription is asked to be.
type Config struct {
	Type string

	// Pattern and Streams say which streams it is linked to. One of them is needed.
	Pattern string
	Streams []string

	URL        string // of the webhook
	WakeStream string // that wakes are appended to
	Lease      time.Duration

	Description string
}

// normal checks a Config, and returns it in the form in which equal ones are equal.
func (m *Manager) normal(c Config) (Config, error) {
	c.Pattern, c.WakeStream = relative(c.Pattern), relative(c.WakeStream)
	g, err := parseGlob(c.Pattern)
	if err != nil {
		return c, err
	}
	if c.Streams, err = normalStreams(c.Streams); err != nil {
		return c, err
	}
	if c.Lease == 0 {
		c.Lease = DefaultLease
	}
	switch {
	case c.Type != Webhook && c.Type != PullWake:
		return c, invalid("the type %.64q is neither webhook nor pull-wake", c.Type)
	case c.Pattern == "" && len(c.Streams) == 0:
		return c, invalid("there is neither a pattern nor a stream")
	case c.Lease < MinLease || c.Lease > MaxLease:
		return c, invalid("a lease lasts %d to %d ms", MinLease.Milliseconds(), MaxLease.Milliseconds())
	case !isText(c.Description):
		return c, invalid("the description has control characters, or is no UTF-8 text")
	case len(c.Streams) > m.streams:
		return c, m.errStreams()
	}
	if c.Type == Webhook {
		c.WakeStream = ""
		return c, m.targets.check(c.URL)
	}
	c.URL = ""
	if c.WakeStream == "" {
		return c, invalid("there is no wake_stream, which a subscription of type pull-wake needs")
	}
	if err := leat.CheckName(c.WakeStream); err != nil {
		return c, err
	}
	if g.match(c.WakeStream) || slices.Contains(c.Streams, c.WakeStream) {
		return c, invalid("the subscription is linked to its own wake_stream: each wake would be work for the next")
	}
	return c, nil
}

func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// relative returns a path as it stands behind the root of streams.
func relative(path string) string { return strings.Trim(path, "/") }

func normalStreams(names []string) ([]string, error) {
	normal := make([]string, len(names))
	for i, name := range names {
		normal[i] = strings.Clone(relative(name))
		if err := leat.CheckName(normal[i]); err != nil {
			return nil, err
		}
	}
	slices.Sort(normal)
	return slices.Compact(normal), nil
}

// A document is what the store keeps of a Config, and of the request that it came with.
// Its Streams are links; Hash is of all.
type document struct {
	Type        string `json:"type"`
	Pattern     string `json:"pattern,omitempty"`
	URL         string `json:"url,omitempty"`
	WakeStream  string `json:"wake,omitempty"`
	Lease       int64  `json:"lease"` // ms
	Description string `json:"description,omitempty"`
	Created     string `json:"created"`
	Root        string `json:"root"` // the URL of the streams, with a slash at its end
	Hash        string `json:"hash"`
}

func (c *Config) document(root string, now time.Time) (document, error) {
	all, err := json.Marshal(c)
	if err != nil {
		return document{}, err
	}
	hash := sha256.Sum256(all)
	d := document{
		Type: c.Type, Pattern: c.Pattern, URL: c.URL, WakeStream: c.WakeStream, Lease: c.Lease.Milliseconds(),
		Description: c.Description, Created: now.UTC().Format("2006-01-02T15:04:05.000Z"), Root: root, Hash: hex.EncodeToString(hash[:]),
	}
	if n := len(encode(d)); n > MaxConfig {
		return d, invalid("the subscription takes %d bytes, and may take %d", n, MaxConfig).Advise("Shorten its description, or its URLs.")
	}
	return d, nil
}

func (d *document) lease() time.Duration { return time.Duration(d.Lease) * time.Millisecond }

// checkID reports whether id can be that of a subscription.
func checkID(id string) error {
	if id == "" || len(id) > MaxID || strings.Contains(id, "/") || !isText(id) {
		return invalid("%.64q cannot be the id of a subscription", id).
			Advise("An id is text of 1 to 128 bytes without control characters and slashes.")
	}
	return nil
}
