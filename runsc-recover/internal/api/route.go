package api

import "time"

// The paths of the API, version 1. A request's and an answer's body are JSON;
// an answer without contents is 204, an error is {"code","message","next"}.
//
//	POST   /v1/start
//	POST   /v1/signal                   SignalRequest
//	POST   /v1/pause, /v1/resume
//	GET    /v1/processes                []Process
//	GET    /v1/stats                    Stats
//	POST   /v1/update                   OCI LinuxResources
//	GET    /v1/generation               Generation
//	POST   /v1/exec/guard               ExecProcess; see Client.Guard
//	POST   /v1/checkpoints              checkpoint.Manifest
//	GET    /v1/checkpoints              []CheckpointEntry
//	POST   /v1/checkpoints/SEQ/verify
//	DELETE /v1/checkpoints/SEQ
//	POST   /v1/image                    SaveImageRequest
//	POST   /v1/fail                     FailRequest
//	GET    /v1/wait                     ExitStatus, when the container is over
//	POST   /v1/shutdown
const (
	pathStart       = "/v1/start"
	pathSignal      = "/v1/signal"
	pathPause       = "/v1/pause"
	pathResume      = "/v1/resume"
	pathProcesses   = "/v1/processes"
	pathStats       = "/v1/stats"
	pathUpdate      = "/v1/update"
	pathGeneration  = "/v1/generation"
	pathExecGuard   = "/v1/exec/guard"
	pathCheckpoints = "/v1/checkpoints"
	pathImage       = "/v1/image"
	pathFail        = "/v1/fail"
	pathWait        = "/v1/wait"
	pathShutdown    = "/v1/shutdown"
)

// Limits of the conversation, both ways.
const (
	maxRequest = 1 << 20
	maxAnswer  = 64 << 20

	// requestTime bounds every request but wait, whatever the client wants.
	requestTime = 2 * time.Minute
	// imageTime bounds the writing of an image, which is as large as the
	// program's memory.
	imageTime = time.Hour
	// headerTime bounds a client that connects and says nothing.
	headerTime = 10 * time.Second
)
