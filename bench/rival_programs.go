//go:build linux

package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
)

var (
	flagDurable    = flag.String("durable-streams", "durable-streams", "directory of serve.js, measured if npm has installed what it needs")
	flagNginx      = flag.String("nginx", "", "nginx, to be measured with the module nchan")
	flagNchan      = flag.String("nchan-module", "/usr/lib/nginx/modules/ngx_nchan_module.so", "the module")
	flagCentrifugo = flag.String("centrifugo", "", "Centrifugo 6, to be measured")
	flagMercure    = flag.String("mercure", "", "Mercure 0.24, to be measured")
)

// programs are rivals that are not ours to build. All but the first are measured when
// a flag says where they are.
var programs = []*peer{
	durableNode,
	{
		name: "nchan", can: events | crowds | topics | resume,
		there: func() bool { return *flagNginx != "" },
		start: startNchan,
		subscribe: func(topic string, all bool) string {
			if all {
				return get("/all?topic=" + topic)
			}
			return get("/new?topic=" + topic)
		},
		publish: func(b []byte, topic string, body []byte) []byte {
			return post(b, "/publish?topic="+topic, "Content-Type: text/plain\r\n", body)
		},
	},
	{
		name: "centrifugo", can: events | crowds | topics | resume, mark: `"data":"`,
		there: func() bool { return *flagCentrifugo != "" },
		start: startCentrifugo,
		subscribe: func(topic string, all bool) string {
			return get("/connection/uni_sse?cf_connect=" + url.QueryEscape(fmt.Sprintf(`{"subs":{"%s":{"recover":%t}}}`, topic, all)))
		},
		publish: func(b []byte, topic string, body []byte) []byte {
			return post(b, "/api/publish", "Content-Type: application/json\r\n", fmt.Appendf(nil, `{"channel":"%s","data":"%s"}`, topic, body))
		},
	},
	{
		name: "mercure", can: events | crowds | topics | resume,
		there: func() bool { return *flagMercure != "" },
		start: startMercure,
		subscribe: func(topic string, all bool) string {
			if all {
				return get("/.well-known/mercure?topic="+topic, "Last-Event-ID: earliest")
			}
			return get("/.well-known/mercure?topic=" + topic)
		},
		publish: func(b []byte, topic string, body []byte) []byte {
			form := fmt.Appendf(nil, "topic=%s&data=%s", topic, bytes.ReplaceAll(body, []byte(" "), []byte("+")))
			return post(b, "/.well-known/mercure", mercureHeaders, form)
		},
	},
}

// startNchan starts nginx with a worker for each of two processors, and a channel's
// history as long as a scenario needs.
func startNchan(s *server) (_ *exec.Cmd, err error) {
	if s.addr, err = freePort(); err != nil {
		return nil, err
	}
	err = s.write("nginx.conf", fmt.Sprintf(`
load_module %s;
user root;
daemon off;
worker_processes 2;
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log error.log;
events { worker_connections 19000; }
http {
	access_log off;
	keepalive_requests 1000000000;
	nchan_shared_memory_size 512M;
	server {
		listen %s backlog=4096;
		nchan_channel_id $arg_topic;
		nchan_message_buffer_length 2000;
		nchan_message_timeout 1h;
		location = /publish { nchan_publisher; }
		location = /new { nchan_subscriber eventsource; nchan_subscriber_first_message newest; }
		location = /all { nchan_subscriber eventsource; nchan_subscriber_first_message oldest; }
	}
}
`, *flagNchan, s.addr))
	return exec.Command(*flagNginx, "-p", s.dir, "-c", filepath.Join(s.dir, "nginx.conf"), "-e", filepath.Join(s.dir, "error.log")), err
}

// startCentrifugo starts it without tokens, with a channel's history in memory.
func startCentrifugo(s *server) (_ *exec.Cmd, err error) {
	if s.addr, err = freePort(); err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(s.addr)
	err = s.write("config.json", fmt.Sprintf(`{
	"http_server": {"address": "127.0.0.1", "port": "%s"},
	"client": {"insecure": true, "recovery_max_publication_limit": 2000},
	"http_api": {"insecure": true},
	"uni_sse": {"enabled": true},
	"log": {"level": "error"},
	"channel": {"without_namespace": {
		"allow_subscribe_for_client": true, "history_size": 2000, "history_ttl": "1h", "force_recovery": true
	}}
}`, port))
	return exec.Command(*flagCentrifugo, "-c", filepath.Join(s.dir, "config.json")), err
}

const mercureKey = "a key of more than thirty-two bytes, for the bench"

// mercureHeaders have the token of a publisher to all topics.
var mercureHeaders = func() string {
	encode := base64.RawURLEncoding.EncodeToString
	token := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode([]byte(`{"mercure":{"publish":["*"]}}`))
	mac := hmac.New(sha256.New, []byte(mercureKey))
	mac.Write([]byte(token))
	return "Content-Type: application/x-www-form-urlencoded\r\nAuthorization: Bearer " + token + "." + encode(mac.Sum(nil)) + "\r\n"
}()

// startMercure starts it without tokens for readers, with its records in Bolt.
func startMercure(s *server) (_ *exec.Cmd, err error) {
	if s.addr, err = freePort(); err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(s.addr)
	err = s.write("Caddyfile", fmt.Sprintf(`
{
	auto_https off
	admin off
	persist_config off
	log {
		level ERROR
	}
}
http://localhost:%s {
	bind 127.0.0.1
	mercure {
		anonymous
		publisher_jwt "%s"
		subscriber_jwt "%s"
		transport bolt {
			path %s
		}
	}
}
`, port, mercureKey, mercureKey, filepath.Join(s.dir, "mercure.db")))
	return exec.Command(*flagMercure, "run", "--config", filepath.Join(s.dir, "Caddyfile"), "--adapter", "caddyfile"), err
}

// write writes a file into the server's directory.
func (s *server) write(name, text string) error {
	return os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644)
}

// freePort returns the address of a port that is free now, for servers that do not
// choose one themselves.
func freePort() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// durableNode is the reference server of the Durable Streams protocol, in file mode.
var durableNode = func() *peer {
	p := durablePeer("ds-node", events|resume|stored)
	p.there = func() bool {
		_, err := os.Stat(filepath.Join(*flagDurable, "node_modules"))
		return err == nil
	}
	p.start = func(s *server) (*exec.Cmd, error) {
		return exec.Command("node", filepath.Join(*flagDurable, "serve.js"), s.dir), nil
	}
	return p
}()
