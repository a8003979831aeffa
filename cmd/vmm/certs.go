package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ferryvmm/ferry/vmm/supervisor/identity"
)

func (a *app) certsCommand() *cobra.Command {
	var hosts hostList
	valid := duration{d: 30 * 24 * time.Hour, min: time.Minute}
	cmd := &cobra.Command{
		Use:   "certs DIR --host NAME|IP[,...] [flags]",
		Short: "Make an authority for a laboratory, and certificates for hosts",
		Long: `Make what --tls needs: an authority in DIR, if there is none, and for each --host, which is dialled by any of its
names, a folder DIR/NAME. Copy that to the host and give it as --tls there. A host is given a new certificate in
the same way; who reads a folder's files anew finds it, which every connection does.

DIR/ca-key.pem can make a certificate for anybody: keep it where no guest runs. It is good for a laboratory. Where
hosts have certificates already, those can be used: a folder with ca.pem, cert.pem (for server and client) and key.pem.`,
		Example: "  vmm certs lab --host a.example,192.0.2.7 --host b.example,192.0.2.8\n" +
			"  scp -r lab/b.example root@b.example:/etc/ferry/tls",
		Args: takes("DIR"),
	}
	f := cmd.Flags()
	f.Var(&hosts, "host", "the names and addresses of one host, as others dial it; give it once for each host")
	f.Var(&valid, "valid", "how long the certificates of hosts are; at most as long as the authority, which is for a year")
	a.jsonFlag(cmd)
	cmd.RunE = a.do(func(cmd *cobra.Command, args []string) error {
		if len(hosts) == 0 {
			return usage("%s needs --host NAME", cmd.CommandPath())
		}
		made, err := a.certs(args[0], hosts, valid.d)
		if err != nil {
			return err
		}
		if a.json {
			a.emit(struct {
				Hosts []identity.Issued `json:"hosts"`
			}{made})
			return nil
		}
		for _, h := range made {
			a.printLine(fmt.Sprintf("%s  for %s, until %s", h.Dir, strings.Join(h.Names, ", "), h.Expires.Format(time.DateTime+" MST")))
		}
		return nil
	})
	return cmd
}
