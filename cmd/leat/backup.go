package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/leat-dev/leat"
)

type backupCmd struct {
	Dir string `arg:"" help:"Directory for the copy, on the server's machine. It must be empty or not exist." type:"path"`

	Token string `help:"What the server has as --api-token." env:"LEAT_API_TOKEN" placeholder:"TOKEN"`
}

// Help is shown below the flags.
func (backupCmd) Help() string {
	return `Has the server copy its store while it works. Without --api-token it does so for programs on its own machine only.
To restore, start a server with the copy: leat serve --data DIR.

    leat backup /var/backups/leat/$(date +%F)`
}

// Run asks the server.
func (c *backupCmd) Run(ctx context.Context, std *streams, global *cli) error {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return leat.Errorf(leat.CodeInvalidParameter, "%s: %w", c.Dir, err).Advise("Give an absolute path.")
	}
	server := global.client()
	if c.Token != "" {
		server.Header = http.Header{"Authorization": {"Bearer " + c.Token}}
	}
	b, err := server.Backup(ctx, dir)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(std.out, b.Head); err != nil {
		return fmt.Errorf("writing to stdout failed: %w", err)
	}
	std.note("the store up to %s is in %s: %s, in %v", b.Head, b.To, humanSize(b.Bytes), b.Took.Round(time.Millisecond))
	return nil
}
