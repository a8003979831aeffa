// Package api holds the wire types of a machine's API socket and the client that speaks to it.
//
// The API is HTTP and JSON over the Unix socket $FERRY_DIR/NAME.sock, under /v1. Sizes are bytes, rates are bits per
// second, durations are floating-point milliseconds. A failure is answered with status 4xx or 5xx and the body
// {"error":{"code","message","remedy"}}. Operations that take long (migrate, snapshot) answer 200 with
// application/x-ndjson: any number of {"progress":{…}} lines, then exactly one {"result":{…}} line, or an {"error":{…}}
// line if there is none. What happens to a machine is told as server-sent events. docs/openapi.json describes all of it.
//
// Clients ignore fields that they do not know, servers refuse them: an old client may talk to a new supervisor, and a
// new client learns from an old supervisor that what it asked for is not there.
package api
