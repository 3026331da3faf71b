package install

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// docker's daemon.json: {"runtimes": {NAME: {"path": …, "runtimeArgs": […]}}}.

const runtimesKey = "runtimes"

type dockerRuntime struct {
	Path string   `json:"path"`
	Args []string `json:"runtimeArgs,omitempty"`
}

func addDocker(old []byte, rt Runtime) ([]byte, error) {
	config, runtimes, err := readDocker(old)
	if err != nil {
		return nil, err
	}
	want, err := json.Marshal(dockerRuntime{Path: rt.Binary, Args: rt.Args})
	if err != nil {
		return nil, fmt.Errorf("encode runtime: %w", err)
	}
	if have, ok := runtimes.get(rt.Name); ok && equalJSON(have, want) {
		return old, nil
	}
	runtimes.set(rt.Name, want)
	return writeDocker(config, runtimes)
}

func removeDocker(old []byte, name string) ([]byte, error) {
	config, runtimes, err := readDocker(old)
	if err != nil {
		return nil, err
	}
	if _, ok := runtimes.get(name); !ok {
		return old, nil
	}
	runtimes.remove(name)
	return writeDocker(config, runtimes)
}

func readDocker(old []byte) (config, runtimes object, err error) {
	if config, err = parseObject(old); err != nil {
		return nil, nil, err
	}
	text, _ := config.get(runtimesKey)
	if runtimes, err = parseObject(text); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", runtimesKey, err)
	}
	return config, runtimes, nil
}

// writeDocker leaves nothing empty behind.
func writeDocker(config, runtimes object) ([]byte, error) {
	if len(runtimes) == 0 {
		config.remove(runtimesKey)
	} else {
		config.set(runtimesKey, runtimes.encode())
	}
	if len(config) == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	if err := json.Indent(&b, config.encode(), "", "    "); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// object is a JSON object that keeps its members' order and text.
type object []member

type member struct {
	key   string
	value json.RawMessage
}

// parseObject reads an object; nothing at all is an empty one.
func parseObject(text []byte) (object, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, nil
	}
	if !json.Valid(text) {
		var v any
		return nil, fmt.Errorf("not JSON: %w", json.Unmarshal(text, &v))
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if first, err := d.Token(); err != nil || first != json.Delim('{') {
		return nil, errors.Join(errors.New("not a JSON object"), err)
	}
	var o object
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		m := member{key: key.(string)} // or the text wouldn't be valid
		if err := d.Decode(&m.value); err != nil {
			return nil, err
		}
		o = append(o, m)
	}
	return o, nil
}

func (o object) find(key string) int {
	return slices.IndexFunc(o, func(m member) bool { return m.key == key })
}

func (o object) get(key string) (json.RawMessage, bool) {
	if i := o.find(key); i >= 0 {
		return o[i].value, true
	}
	return nil, false
}

func (o *object) set(key string, value json.RawMessage) {
	if i := o.find(key); i >= 0 {
		(*o)[i].value = value
		return
	}
	*o = append(*o, member{key, value})
}

func (o *object) remove(key string) {
	*o = slices.DeleteFunc(*o, func(m member) bool { return m.key == key })
}

func (o object) encode() json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		key, _ := json.Marshal(m.key) // a string always can be
		b.Write(key)
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// equalJSON reports whether two valid texts say the same, spacing aside.
func equalJSON(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}
