package event

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// Decode reads an event from a log: a JSON object with the name of the event's type.
func Decode(b []byte) (Event, error) {
	var head struct{ Type string }
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, err
	}
	for _, e := range All() {
		t := reflect.TypeOf(e)
		if t.Name() != head.Type {
			continue
		}
		v := reflect.New(t)
		if err := json.Unmarshal(b, v.Interface()); err != nil {
			return nil, err
		}
		return v.Elem().Interface().(Event), nil
	}
	return nil, fmt.Errorf("unknown event %q", head.Type)
}

// All returns an event of each type.
func All() []Event {
	return []Event{
		Opened{}, StartAsked{}, SignalAsked{}, ForegroundAsked{}, PauseAsked{}, FailAsked{}, CheckpointAsked{},
		SandboxAsked{}, RequestDropped{}, Looked{}, MemoryLimitChanged{}, CheckpointForgotten{}, ShutdownAsked{}, Failed{}, CheckpointRequested{},
		Resolved{}, Exited{}, DamageFound{}, Closed{}, TimerFired{}, Booted{}, StartPrepared{}, ProgramStarted{},
		NetworkRead{}, Restored{}, PagesLoaded{}, Released{}, Restarted{}, Destroyed{}, Refused{}, FailureCaused{},
		SignalSent{}, PauseChanged{}, MemorySet{}, CheckpointTaken{}, CheckpointsRemoved{}, StoreCompacted{}, UsageRead{},
		MemoryRead{}, MemorySeen{}, StandbyWeighed{}, OOMKillsRead{},
	}
}
