// Package wire defines the messages between the supervisor and the agent in
// the sandbox: one JSON object a packet on a SOCK_SEQPACKET socket, each at
// most MaxMessage bytes, decoded strictly.
//
//	supervisor                          agent
//	    | ----- Request (with files) -----> |
//	    | <------------- Reply ------------ |  same ID; one for each Request
//	    | <------------ Failure ----------- |  the sandbox is stopped until Refuse
//	    | <------- CheckpointRequest ------ |
//	    | <------------ Resolved ---------- |
//
// It must not know gVisor, nor either end's use of a message. No locks and no
// goroutines.
package wire

// MaxMessage bounds a packet, in bytes: a failure's data in base64, its message
// with every byte escaped, and the rest.
const MaxMessage = 160 << 10
