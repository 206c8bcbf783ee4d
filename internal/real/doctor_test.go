//go:build linux && !race

package real

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// leat doctor finds out that an nginx holds events back, for how long, and what to do;
// and that one which is configured as docs/operations.md says does not.
func TestDoctorBehindNginx(t *testing.T) {
	buffering := site{location: "proxy_pass http://SERVER; proxy_ignore_headers X-Accel-Buffering;"}
	for name, test := range map[string]struct {
		site   site
		status int
		want   []string
	}{
		"documented": {documented(t), 0, []string{"each of 12 events that were published came within", "none missing and none twice"}},
		"buffering": {buffering, 5, []string{
			"12 events were held back", "until 64 KiB more pushed them out",
			"nginx is in between: in its location say `proxy_buffering off;`"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			p := nginx(t, s, test.site)
			var out bytes.Buffer
			cmd := exec.Command(leatPath, "doctor", p.url+"/events?topic=news", "--probe", "--for", "100ms")
			cmd.Stdout = &out
			err := start(t, cmd).wait(t)
			status := 0
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
				status = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			if status != test.status {
				t.Errorf("exit status %d, want %d", status, test.status)
			}
			for _, want := range test.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("nothing is said of %q:\n%s", want, out.String())
				}
			}
		})
	}
}
