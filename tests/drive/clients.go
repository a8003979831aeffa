package drive

import (
	"context"
	"errors"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
)

// Clients ask one guest in several ways at once.
type Clients []*lab.Ping

// StartClients starts them on a host, and returns once the guest answers all of
// them.
func StartClients(ctx context.Context, from *lab.Host, configs ...lab.PingConfig) (Clients, error) {
	var c Clients
	for _, config := range configs {
		config.From = from
		p, err := lab.StartPing(config)
		if err != nil {
			c.Stop()
			return nil, err
		}
		c = append(c, p)
		if err := p.Begin(ctx); err != nil {
			c.Stop()
			return nil, err
		}
	}
	return c, nil
}

// Settle waits until every packet that has been sent by now is answered or lost.
func (c Clients) Settle(ctx context.Context) (err error) {
	for _, p := range c {
		err = errors.Join(err, p.Settle(ctx))
	}
	return err
}

// Stop stops them, and adds up what they have seen. The silence is the first's.
func (c Clients) Stop() lab.PingReport {
	return c.sum(func(p *lab.Ping) lab.PingReport { return p.Stop() })
}

// ReportSince adds up what they have seen from start on (as lab.Now says it).
func (c Clients) ReportSince(start time.Duration) lab.PingReport {
	return c.sum(func(p *lab.Ping) lab.PingReport { return p.ReportSince(start) })
}

func (c Clients) sum(of func(*lab.Ping) lab.PingReport) (all lab.PingReport) {
	for i, p := range c {
		r := of(p)
		if i == 0 {
			all.Silence, all.SilenceAt, all.Stall = r.Silence, r.SilenceAt, r.Stall
		}
		all.Sent += r.Sent
		all.Lost += r.Lost
		if all.LostAt == 0 || r.LostAt != 0 && r.LostAt < all.LostAt {
			all.LostAt = r.LostAt
		}
		all.Duplicated += r.Duplicated
		all.Reordered += r.Reordered
		all.Wrong += r.Wrong
	}
	return all
}
