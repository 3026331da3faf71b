package supervisor

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci/statedir"
	"runsc-recover/test/expect"
)

// Containers of different roots may have one id, their sandboxes may not.
func TestSandboxesAreNamedUniquely(t *testing.T) {
	seen := map[string]bool{}
	for _, root := range []string{"/run/a", "/run/b"} {
		for _, id := range []string{"web", "db"} {
			for n := range 3 {
				seen[generationID(statedir.ContainerDir(root, id), n)] = true
			}
		}
	}
	expect.Equal(t, "names", len(seen), 12)
	for name := range seen {
		expect.Equal(t, name, statedir.ValidateID(name), nil)
	}
}

func TestSpecsAreToldApart(t *testing.T) {
	one, again, other := digestOf(&specs.Spec{Hostname: "a"}), digestOf(&specs.Spec{Hostname: "a"}), digestOf(&specs.Spec{Hostname: "b"})
	expect.Equal(t, "the same", one, again)
	expect.Equal(t, "another", one != other, true)
	expect.Equal(t, "named by its kind", strings.HasPrefix(one, "sha256:"), true)
}
