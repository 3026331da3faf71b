package runsc

import (
	"context"

	"runsc-recover/sentry/wire"
)

// SetMemory implements sandbox.Sandbox.
func (g *generation) SetMemory(ctx context.Context, size uint64) error {
	_, err := g.ask(ctx, askTimeout, wire.Request{Verb: wire.VerbMemory, Memory: size})
	return err
}
