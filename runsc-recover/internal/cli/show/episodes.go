package show

import (
	"fmt"
	"io"
	"time"

	"runsc-recover/runsc-recover/internal/api"
)

// Episodes writes a line for each episode.
func Episodes(w io.Writer, all []api.Episode) error {
	t := newTable(w)
	fmt.Fprint(t, "EPISODE\tFAILED\tFAILURE\tATTEMPTS\tLEVEL\tOUTCOME\n")
	for _, e := range all {
		level := 0
		if n := len(e.Attempts); n > 0 {
			level = e.Attempts[n-1].Level
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%d\t%d\t%s\n", e.Episode, e.FailedAt.Format(time.RFC3339Nano), failureText(e), len(e.Attempts), level, e.Outcome)
	}
	return t.Flush()
}

// failureText is a failure in few words.
func failureText(e api.Episode) string {
	switch {
	case e.Signal != 0:
		return fmt.Sprintf("%s %d", e.Kind, e.Signal)
	case e.Message == "":
		return fmt.Sprintf("%s %d", e.Kind, e.Code)
	}
	return fmt.Sprintf("%s %d: %s", e.Kind, e.Code, Printable(e.Message))
}

// EpisodeDetails writes each episode with its attempts and reasons.
func EpisodeDetails(w io.Writer, all []api.Episode) error {
	for i, e := range all {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "Episode %d: %s, %s\n", e.Episode, failureText(e), e.Outcome)
		fmt.Fprintf(w, "  failed    %s", e.FailedAt.Format(time.RFC3339Nano))
		if !e.EndedAt.IsZero() {
			fmt.Fprintf(w, ", ended %s", e.EndedAt.Format(time.RFC3339Nano))
		}
		fmt.Fprintf(w, "\n  program   %s, pid %d, thread %d\n", Printable(e.Program), e.PID, e.TID)
		if e.Signal != 0 {
			fmt.Fprintf(w, "  fault     instruction %s, address %s\n", e.FaultIP, e.FaultAddr)
		}
		fmt.Fprintf(w, "  key       %s\n", e.Key)
		writeReasons(w, "  ", e.Reasons)
		for _, a := range e.Attempts {
			fmt.Fprintf(w, "  attempt %d: level %d, checkpoint %d, %s; stop %.3f ms, restore %.3f ms%s, interrupt %.3f ms\n",
				a.Attempt, a.Level, a.CheckpointSeq, a.Outcome, a.StopMS, a.RestoreMS, standbyText(a.Standby), a.InterruptMS)
			writeReasons(w, "    ", a.Reasons)
		}
	}
	return nil
}

// standbyText is the kind of the standby that became the copy; nothing without a
// copy.
func standbyText(kind string) string {
	if kind == "" {
		return ""
	}
	return " (" + kind + ")"
}

func writeReasons(w io.Writer, indent string, reasons []string) {
	for _, r := range reasons {
		fmt.Fprintf(w, "%s- %s\n", indent, Printable(r))
	}
}
