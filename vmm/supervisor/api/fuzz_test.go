package api

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
)

// FuzzRequest feeds bodies to the decoder of each request.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"target":"tcp:127.0.0.1:1","mode":"auto","downtime_limit_ms":50,"channels":1}`))
	f.Add([]byte(`{"memory_bytes":1e300}`))
	f.Add([]byte(`{"owner":"source"}{"owner":"target"}`))
	f.Add([]byte(`{"dir":"/x","duration_ms":-1}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, out := range []any{new(MigrateRequest), new(SnapshotRequest), new(ResolveRequest), new(BalloonRequest), new(DirtyRateRequest)} {
			r := httptest.NewRequest(http.MethodPost, "/v1/machine/x", bytes.NewReader(body))
			err := ReadRequest(httptest.NewRecorder(), r, out)
			if err != nil && AsError(err).Code != CodeBadRequest {
				t.Errorf("got %+v; want code %s", AsError(err), CodeBadRequest)
			}
		}
	})
}

// FuzzAddress reads addresses; what was taken is read again as the same one.
func FuzzAddress(f *testing.F) {
	f.Add("tcp:127.0.0.1:4444")
	f.Add("tcp:[::1]:0")
	f.Add("unix:/tmp/x")
	f.Add("tcp::99999")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAddress(text)
		if err != nil {
			if AsError(err).Code != CodeUsage || AsError(err).Remedy == "" {
				t.Errorf("%q: got %+v; want a usage error with a remedy", text, AsError(err))
			}
			return
		}
		if again, err := ParseAddress(a.String()); err != nil || again != a {
			t.Errorf("%q: got %+v, and of that %+v, %v; want the same", text, a, again, err)
		}
	})
}
