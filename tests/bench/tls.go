package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

const (
	tlsLink     = 1e9 // bit/s
	tlsMostCost = 3.0 // percent, where the link is what limits
	tlsLeast    = 85  // percent of a TLS pump, where the CPUs are
)

// encrypted is what TLS costs bulk moves on one link: medians.
type encrypted struct {
	LinkMbits   float64 `json:"link_mbit_s"` // 0: as fast as it goes
	Moves       int     `json:"moves"`       // of each kind
	PlainMbits  float64 `json:"plain_mbit_s"`
	TLSMbits    float64 `json:"tls_mbit_s"`
	PumpMbits   float64 `json:"tls_pump_mbit_s"` // crypto/tls at both ends, with as many connections, to who throws it away
	CostPercent float64 `json:"cost_percent"`    // of TLS, beside plain
	PumpPercent float64 `json:"of_pump_percent"`
	Suite       string  `json:"suite"`
}

// encryption moves one guest to and fro, in turn with TLS and without.
func (b bench) encryption(ctx context.Context, into *results) error {
	for _, link := range []float64{tlsLink, 0} {
		e, err := b.encrypted(ctx, link)
		if err != nil {
			return err
		}
		into.TLS = append(into.TLS, e)
		name, goal := "unshaped", fmt.Sprintf("%.0f %% of a TLS pump's %.0f (goal: %d %%)", e.PumpPercent, e.PumpMbits, tlsLeast)
		if link > 0 {
			name, goal = fmt.Sprintf("%.0f Mbit/s", link/1e6), fmt.Sprintf("%.1f %% less than plain (goal: at most %.0f %%)", e.CostPercent, tlsMostCost)
		}
		fmt.Printf("%s: TLS (%s) %.0f Mbit/s of data, plain %.0f: %s\n", name, e.Suite, e.TLSMbits, e.PlainMbits, goal)
	}
	return nil
}

func (b bench) encrypted(ctx context.Context, link float64) (e encrypted, err error) {
	ctx, cancel := context.WithTimeout(ctx, rideWithin)
	defer cancel()
	dir, err := os.MkdirTemp("", "ferry-bench-tls-")
	if err != nil {
		return e, err
	}
	defer os.RemoveAll(dir)
	w, err := drive.NewWorld(b.vmm, 2)
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if err := w.Encrypt(ctx, dir); err != nil {
		return e, err
	}
	own := []string{w.Sites[0].TLS, w.Sites[1].TLS}
	fill := fillOver(uint64(link))
	t, err := bulkTrip(ctx, w, uint64(link), fill, "random")
	if err != nil {
		return e, err
	}
	var plain, under []bulk
	var pumped []float64
	for range b.samples {
		for i, dir := range own {
			w.Sites[i].TLS = dir
		}
		got, err := b.ferryMove(ctx, w, t, fill)
		if err != nil {
			return e, err
		}
		under = append(under, got)
		p, err := lab.PumpOver(w.Lab.Hosts[0], w.Lab.Hosts[1], uint64(fill)<<20, got.channels, lab.Discard, tlsEnds(own[1], own[0], w.Sites[1].Address()))
		if err != nil {
			return e, err
		}
		pumped = append(pumped, p.BitsPerSecond()/1e6)
		w.Sites[0].TLS, w.Sites[1].TLS = "", ""
		if got, err = b.ferryMove(ctx, w, t, fill); err != nil {
			return e, err
		}
		plain = append(plain, got)
	}
	e = encrypted{LinkMbits: link / 1e6, Moves: b.samples, PlainMbits: medianOf(plain, bulk.rate), TLSMbits: medianOf(under, bulk.rate), PumpMbits: median(pumped), Suite: under[0].suite}
	e.CostPercent, e.PumpPercent = 100*(1-e.TLSMbits/e.PlainMbits), 100*e.TLSMbits/e.PumpMbits
	return e, t.Stop(ctx)
}

// tlsEnds makes the ends of a pump those of a TLS connection, by the folders of two hosts.
func tlsEnds(receiver, sender, host string) lab.Wrap {
	return func(from, to net.Conn) (net.Conn, net.Conn, error) {
		server, err := tlsConfig(receiver)
		if err != nil {
			return nil, nil, err
		}
		client, err := tlsConfig(sender)
		if err != nil {
			return nil, nil, err
		}
		client.ServerName = host
		c, s := tls.Client(from, client), tls.Server(to, server)
		shaken := make(chan error, 1)
		go func() { shaken <- s.Handshake() }()
		return c, s, errors.Join(c.Handshake(), <-shaken)
	}
}

// tlsConfig is that of a host, as either end.
func tlsConfig(dir string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13}, nil
}
