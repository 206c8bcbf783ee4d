package streams

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/ingest"
	"github.com/leat-dev/leat/internal/subscription"
	"github.com/leat-dev/leat/internal/surface"
	"github.com/leat-dev/leat/internal/upload"
)

// What stands behind the root of the streams for subscriptions, where no stream can be:
// the name is reserved.
const (
	controlPrefix = "__ds/"
	subPrefix     = "subscriptions/"
	keysPath      = "jwks.json"
)

// MaxControlBody bounds the body of a request about a subscription, in bytes.
const MaxControlBody = 1 << 20

// control answers a request about subscriptions. Its errors are the protocol's own.
func (s *Surface) control(w http.ResponseWriter, r *http.Request, path string, in *upload.Body) {
	c := &controlling{s: s, m: s.o.Subscriptions, w: w, r: r, in: in}
	handle, allow := c.route(path)
	w.Header().Set("Cache-Control", "no-store")
	err := c.none(path)
	if allow != "" {
		if do := handle[r.Method]; do != nil {
			err = do()
		} else {
			w.Header().Set("Allow", allow)
			err = leat.Errorf(leat.CodeMethodNotAllowed, "%s does not have the method %s", r.URL.Path, r.Method).Advise("It has " + allow + ".")
		}
	}
	if err != nil {
		in.Leave()
		s.writeControlError(w, r, err)
	}
}

// controlling is a request about a subscription under way.
type controlling struct {
	s  *Surface
	m  *subscription.Manager
	w  http.ResponseWriter
	r  *http.Request
	in *upload.Body

	id, stream string
}

// methodsOf has what answers each method of a resource.
type methodsOf map[string]func() error

// route returns what there is at a path: nothing if the methods are none.
func (c *controlling) route(path string) (handle methodsOf, allow string) {
	if path == keysPath {
		return methodsOf{"GET": c.keys, "HEAD": c.keys}, "GET, HEAD"
	}
	rest, ok := strings.CutPrefix(path, subPrefix)
	if !ok {
		return nil, ""
	}
	id, action, more := strings.Cut(rest, "/")
	c.id = id
	switch name, stream, of := strings.Cut(action, "/"); {
	case id == "":
	case !more:
		return methodsOf{"PUT": c.create, "GET": c.show, "HEAD": c.show, "DELETE": c.remove}, "DELETE, GET, HEAD, PUT"
	case name == "streams" && of && stream != "":
		c.stream = stream
		return methodsOf{"DELETE": c.removeStream}, "DELETE"
	case of:
	case name == "streams":
		return methodsOf{"POST": c.addStreams}, "POST"
	case name == "callback":
		return methodsOf{"POST": func() error { return c.report(subscription.Webhook) }}, "POST"
	case name == "ack":
		return methodsOf{"POST": func() error { return c.report(subscription.PullWake) }}, "POST"
	case name == "claim":
		return methodsOf{"POST": c.claim}, "POST"
	case name == "release":
		return methodsOf{"POST": c.release}, "POST"
	}
	return nil, ""
}

func (c *controlling) none(path string) error {
	return leat.Errorf(leat.CodeNotFound, "there is nothing at %s%.128s", controlPrefix, path).
		Advise("Subscriptions are at " + controlPrefix + subPrefix + "ID.")
}

// read reads the body, a JSON object that may be left out.
func (c *controlling) read(v any) error {
	if c.in.Empty() {
		return nil
	}
	a, err := ingest.Record(c.in.Ingest(c.r, MaxControlBody))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(a.Data, v); err != nil {
		return leat.Errorf(leat.CodeInvalidBody, "the body is no JSON object as it is expected: %w", err)
	}
	return nil
}

// A webhook and a subscription as they are written and read.
type (
	controlSigning struct {
		Alg     string `json:"alg"`
		KeyID   string `json:"kid"`
		KeysURL string `json:"jwks_url"`
	}
	controlWebhook struct {
		URL     string          `json:"url"`
		Signing *controlSigning `json:"signing,omitempty"`
	}
	controlLink struct {
		Path  string `json:"path"`
		Type  string `json:"link_type"`
		Acked string `json:"acked_offset"`
	}
	controlDocument struct {
		ID          string          `json:"id"`
		Same        string          `json:"subscription_id"`
		Type        string          `json:"type"`
		Pattern     string          `json:"pattern,omitempty"`
		Streams     []controlLink   `json:"streams"`
		Webhook     *controlWebhook `json:"webhook,omitempty"`
		WakeStream  string          `json:"wake_stream,omitempty"`
		Lease       int64           `json:"lease_ttl_ms"`
		Created     string          `json:"created_at"`
		Status      string          `json:"status"`
		Description string          `json:"description,omitempty"`
	}
)

// root returns the URL of the streams as the client has it.
func (c *controlling) root() string {
	name, _ := c.s.Name(c.r.URL.Path)
	return origin(c.r) + strings.TrimSuffix(c.r.URL.Path, name)
}

func (c *controlling) document(v subscription.View) controlDocument {
	d := controlDocument{
		ID: v.ID, Same: v.ID, Type: v.Type, Pattern: v.Pattern, WakeStream: v.WakeStream, Lease: v.Lease.Milliseconds(),
		Created: v.Created, Description: v.Description, Streams: make([]controlLink, 0, len(v.Streams)), Status: "active",
	}
	if v.Failed {
		d.Status = "failed"
	}
	if v.Full {
		d.Status = "full"
	}
	for _, l := range v.Streams {
		d.Streams = append(d.Streams, controlLink{l.Path, l.LinkType, l.Acked})
	}
	if v.Type == subscription.Webhook {
		d.Webhook = &controlWebhook{v.URL, &controlSigning{"ed25519", c.m.KeyID(), c.root() + controlPrefix + keysPath}}
	}
	return d
}

func (c *controlling) create() error {
	var in struct {
		Type        string         `json:"type"`
		Pattern     string         `json:"pattern"`
		Streams     []string       `json:"streams"`
		Webhook     controlWebhook `json:"webhook"`
		WakeStream  string         `json:"wake_stream"`
		Lease       *int64         `json:"lease_ttl_ms"`
		Description string         `json:"description"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	config := subscription.Config{
		Type: in.Type, Pattern: in.Pattern, Streams: in.Streams, URL: in.Webhook.URL, WakeStream: in.WakeStream, Description: in.Description,
	}
	if in.Lease != nil {
		// What is no lease at all must not look like one that is left out.
		config.Lease = time.Duration(min(max(*in.Lease, 1), int64(subscription.MaxLease/time.Millisecond)+1)) * time.Millisecond
	}
	v, made, err := c.m.Create(c.r.Context(), c.id, c.root(), config)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if made {
		status = http.StatusCreated
	}
	surface.WriteJSON(c.w, status, c.document(v))
	return nil
}

func (c *controlling) show() error {
	v, err := c.m.Get(c.r.Context(), c.id)
	if err != nil {
		return err
	}
	surface.WriteJSON(c.w, http.StatusOK, c.document(v))
	return nil
}

// emptied answers a request that has succeeded and has nothing to tell.
func (c *controlling) emptied(err error) error {
	if err == nil {
		c.w.WriteHeader(http.StatusNoContent)
	}
	return err
}

func (c *controlling) remove() error { return c.emptied(c.m.Delete(c.r.Context(), c.id)) }

func (c *controlling) addStreams() error {
	var in struct {
		Streams []string `json:"streams"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	return c.emptied(c.m.AddStreams(c.r.Context(), c.id, in.Streams))
}

func (c *controlling) removeStream() error {
	return c.emptied(c.m.RemoveStream(c.r.Context(), c.id, c.stream))
}

func (c *controlling) keys() error {
	h := c.w.Header()
	h.Set("Content-Type", "application/jwk-set+json")
	h.Set("Cache-Control", "public, max-age=300")
	_, _ = c.w.Write(c.m.Keys()) // the client may be gone
	return nil
}

// readReport reads what a worker says.
func (c *controlling) readReport() (r subscription.Report, err error) {
	scheme, token, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return r, leat.Errorf(leat.CodeTokenInvalid, "there is no token").
			Advise("Send the one that came with the wake, as Authorization: Bearer TOKEN.")
	}
	var in struct {
		WakeID     string `json:"wake_id"`
		Generation uint64 `json:"generation"`
		Acks       []struct {
			Stream string `json:"stream"`
			Path   string `json:"path"` // the same
			Offset string `json:"offset"`
		} `json:"acks"`
		Done bool `json:"done"`
	}
	if err := c.read(&in); err != nil {
		return r, err
	}
	r = subscription.Report{Token: strings.TrimSpace(token), WakeID: in.WakeID, Generation: in.Generation, Done: in.Done}
	for _, a := range in.Acks {
		if a.Stream == "" {
			a.Stream = a.Path
		}
		r.Acks = append(r.Acks, subscription.Ack{Stream: a.Stream, Offset: a.Offset})
	}
	return r, nil
}

// report answers what a worker says of its wake.
func (c *controlling) report(typ string) error {
	report, err := c.readReport()
	if err != nil {
		return err
	}
	next, err := c.m.Report(c.r.Context(), c.id, typ, report)
	if err != nil {
		return err
	}
	surface.WriteJSON(c.w, http.StatusOK, struct {
		OK   bool `json:"ok"`
		Next bool `json:"next_wake"`
	}{true, next})
	return nil
}

func (c *controlling) claim() error {
	var in struct {
		Worker string `json:"worker"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	claim, err := c.m.Claim(c.r.Context(), c.id, in.Worker)
	if err != nil {
		return err
	}
	surface.WriteJSON(c.w, http.StatusOK, struct {
		WakeID     string                `json:"wake_id"`
		Generation uint64                `json:"generation"`
		Token      string                `json:"token"`
		Streams    []subscription.Stream `json:"streams"`
		Lease      int64                 `json:"lease_ttl_ms"`
	}{claim.WakeID, claim.Generation, claim.Token, claim.Streams, claim.Lease.Milliseconds()})
	return nil
}

func (c *controlling) release() error {
	report, err := c.readReport()
	if err != nil {
		return err
	}
	return c.emptied(c.m.Release(c.r.Context(), c.id, report))
}

// controlCodes are the protocol's names of errors that have others elsewhere. The rest
// has the same, in capitals.
var controlCodes = map[leat.Code]string{
	leat.CodeInvalidBody:      "INVALID_REQUEST",
	leat.CodeInvalidName:      "INVALID_REQUEST",
	leat.CodeInvalidParameter: "INVALID_REQUEST",
	leat.CodeInvalidPattern:   "INVALID_REQUEST",
	leat.CodeNotFound:         "SUBSCRIPTION_NOT_FOUND",
	leat.CodeExists:           "SUBSCRIPTION_ALREADY_EXISTS",
}

// writeControlError answers with an error in the form that the protocol has for them.
func (s *Surface) writeControlError(w http.ResponseWriter, r *http.Request, err error) {
	e := leat.AsError(err)
	doc := map[string]any{"message": e.Detail}
	if e.Advice != "" {
		doc["advice"] = e.Advice
	}
	for name, value := range e.Fields {
		doc[name] = value
	}
	code, ok := controlCodes[e.Code]
	if !ok {
		code = strings.ToUpper(string(e.Code))
	}
	doc["code"] = code
	status := e.Code.Status()
	switch e.Code {
	case leat.CodeInvalidOffset:
		status = http.StatusConflict // here it is not the form of an offset that is wrong
	case leat.CodeInternal:
		s.o.Logger.Error("request failed", "method", r.Method, "path", r.URL.Path, "err", err, "cause", e.Cause)
	case leat.CodeUnavailable, leat.CodeOverloaded:
		w.Header().Set("Retry-After", "2")
	case leat.CodeTokenInvalid, leat.CodeTokenExpired:
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	surface.WriteJSON(w, status, map[string]any{"error": doc})
}
