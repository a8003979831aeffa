package supervisor

import (
	"context"
	"net/http"
	"reflect"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// endpoint is one thing that the API can do: what it takes and answers, for the description to be held against, and who does it.
type endpoint struct {
	takes, answers reflect.Type // of nothing: there is none
	streams        bool         // the answer is any number of these
	serve          http.HandlerFunc
}

// nothing is a request or an answer that says nothing: {} as JSON.
type nothing struct{}

// exchange is an endpoint of one request and one answer.
func exchange[Q, A any](f func(context.Context, Q) (A, error)) endpoint {
	e := streams[Q, A](func(w http.ResponseWriter, r *http.Request) {
		var q Q
		var err error
		if _, empty := any(q).(nothing); !empty {
			err = api.ReadRequest(w, r, &q)
		}
		var a A
		if err == nil {
			a, err = f(r.Context(), q)
		}
		if err != nil {
			api.WriteError(w, err)
			return
		}
		api.WriteAnswer(w, a)
	})
	e.streams = false
	return e
}

// streams is an endpoint that reads the request and writes the answer by itself.
func streams[Q, A any](serve http.HandlerFunc) endpoint {
	return endpoint{takes: reflect.TypeFor[Q](), answers: reflect.TypeFor[A](), streams: true, serve: serve}
}

// asked makes what needs no request one that exchange takes.
func asked[A any](f func(context.Context) (A, error)) func(context.Context, nothing) (A, error) {
	return func(ctx context.Context, _ nothing) (A, error) { return f(ctx) }
}
