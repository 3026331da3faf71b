// Package engines tests runsc-recover as the runtime of container engines:
// Docker, containerd and podman. Each is started by its test, in a network and
// a mount namespace of its own and with all its state in one directory, so that
// it meets no other engine on the host and leaves nothing behind.
//
// It must not know the project's packages: it sees the runtime as engines and the
// command line show it.
package engines
