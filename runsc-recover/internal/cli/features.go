package cli

import (
	"encoding/json"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"github.com/urfave/cli/v2"

	"runsc-recover/checkpoint/config"
	"runsc-recover/oci"
	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/cli/flags"
)

func (p *program) featuresCommand() *cli.Command {
	return &cli.Command{
		Name:  "features",
		Usage: "show what the runtime can do",
		Description: `Prints the features structure of the OCI runtime specification as JSON.

EXAMPLE:
   # runsc-recover features` + exitHelp,
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 0, 0); err != nil {
				return err
			}
			enc := json.NewEncoder(p.Out)
			enc.SetIndent("", "    ")
			defaults, err := config.Parse(p.globals.Recover)
			if err != nil {
				return errdefs.Errorf(errdefs.CodeRequest, "read recovery configuration: %w", err)
			}
			return enc.Encode(p.describeFeatures(defaults))
		},
	}
}

func (o Options) describeFeatures(defaults config.Config) features.Features {
	yes, no := true, false
	return features.Features{
		OCIVersionMin: "1.0.0",
		OCIVersionMax: specs.Version,
		Hooks:         []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"},
		MountOptions:  []string{"bind", "rbind", "ro", "rw", "noexec", "exec", "nosuid", "suid", "nodev", "dev", "noatime", "atime", "rprivate", "private", "rslave", "slave"},
		Linux: &features.Linux{
			Namespaces:   []string{"ipc", "mount", "network", "pid", "user", "uts", "cgroup"},
			Capabilities: oci.Capabilities(),
			Cgroup:       &features.Cgroup{V1: &yes, V2: &yes, Systemd: &yes, SystemdUser: &no, Rdma: &no},
			Seccomp: &features.Seccomp{
				Enabled:   &yes,
				Actions:   []string{"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"},
				Operators: []string{"SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"},
				Archs:     []string{"SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"},
			},
			Apparmor:        &features.Apparmor{Enabled: &no},
			Selinux:         &features.Selinux{Enabled: &no},
			IntelRdt:        &features.IntelRdt{Enabled: &no},
			MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: &no}},
		},
		Annotations: map[string]string{
			"dev.runsc-recover.version":                  o.Version,
			"dev.runsc-recover.commit":                   o.Commit,
			"dev.runsc-recover.gvisor":                   o.GVisorVersion,
			"dev.runsc-recover.tracking":                 o.Tracking(defaults.Tracking),
			"org.opencontainers.runc.checkpoint.enabled": "true",
		},
		PotentiallyUnsafeConfigAnnotations: []string{"dev.gvisor.", config.NetworkAnnotation, "dev.runsc-recover.store"},
	}
}
