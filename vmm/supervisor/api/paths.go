package api

// The paths of the API.
const (
	PathMachine         = "/v1/machine"                  // GET: Machine
	PathPause           = "/v1/machine/pause"            // POST
	PathResume          = "/v1/machine/resume"           // POST
	PathDirtyRate       = "/v1/machine/dirty-rate"       // POST DirtyRateRequest: DirtyRate
	PathBalloon         = "/v1/machine/balloon"          // POST BalloonRequest
	PathStop            = "/v1/machine/stop"             // POST: asks the guest, insists after 10 s; answers when it ended
	PathKill            = "/v1/machine/kill"             // POST
	PathStatistics      = "/v1/machine/statistics"       // GET: Statistics
	PathEvents          = "/v1/machine/events"           // GET: stream of Event
	PathMetrics         = "/v1/metrics"                  // GET: text for Prometheus
	PathReceive         = "/v1/machine/receive"          // GET: Receiving, of a machine that waits for a guest
	PathMigrate         = "/v1/machine/migrate"          // POST MigrateRequest: stream. GET: Moving
	PathMigrateCancel   = "/v1/machine/migrate/cancel"   // POST
	PathMigrateContinue = "/v1/machine/migrate/continue" // POST
	PathMigratePull     = "/v1/machine/migrate/pull"     // POST: answers when the guest has all of its memory
	PathMigrateResolve  = "/v1/machine/migrate/resolve"  // POST ResolveRequest: answers when the guest runs, or is gone
	PathSnapshot        = "/v1/machine/snapshot"         // POST SnapshotRequest: stream
	PathConsole         = "/v1/machine/console"          // GET with Upgrade: ferry-console, then raw bytes both ways
)

// ConsoleProtocol is the protocol that PathConsole upgrades to.
const ConsoleProtocol = "ferry-console"

// streamType is the content type of a stream of StreamLine.
const streamType = "application/x-ndjson"
