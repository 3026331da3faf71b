// Command discard-index keeps users in a table and finds them through a hash
// index with a classic bug: deleting from it empties the slot, which cuts off
// every entry that was pushed past that slot when it was added. Much later a
// lookup comes back with no position, and the table is read at -1.
//
// The handler throws the index away and builds it anew from the table, which
// is right. Without protection the panic ends the program.
package main

import (
	"fmt"
	"log"
	"sync"

	"runsc-recover/sdk/go"
)

const (
	users = 1000
	slots = 2048 // a power of two above users
)

// index finds positions in the table by id: open addressing, linear probing.
type index struct {
	ids       [slots]uint32 // 0: empty
	positions [slots]int
}

func home(id uint32) uint32 { return id * 2654435761 >> 20 % slots }

func (x *index) add(id uint32, position int) {
	s := home(id)
	for x.ids[s] != 0 {
		s = (s + 1) % slots
	}
	x.ids[s], x.positions[s] = id, position
}

func (x *index) slot(id uint32) (uint32, bool) {
	s := home(id)
	for x.ids[s] != id {
		if x.ids[s] == 0 {
			return 0, false
		}
		s = (s + 1) % slots
	}
	return s, true
}

func (x *index) find(id uint32) int {
	if s, ok := x.slot(id); ok {
		return x.positions[s]
	}
	return -1
}

// remove is the bug: the entries behind the slot can't be reached any more.
func (x *index) remove(id uint32) {
	if s, ok := x.slot(id); ok {
		x.ids[s] = 0
	}
}

type user struct {
	id      uint32
	balance int
	gone    bool
}

// database is the data that the handler, in its goroutine, and the lookups share.
type database struct {
	mu    sync.Mutex
	table []user
	byID  *index
}

func (d *database) add(u user) {
	d.byID.add(u.id, len(d.table))
	d.table = append(d.table, u)
}

func (d *database) remove(position int) {
	d.table[position].gone = true
	d.byID.remove(d.table[position].id)
}

func (d *database) balance(id uint32) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.table[d.byID.find(id)].balance
}

// rebuildIndex makes the index anew from the data that is certain.
func (d *database) rebuildIndex() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.byID = &index{}
	for i, u := range d.table {
		if !u.gone {
			d.byID.add(u.id, i)
		}
	}
}

func newDatabase() *database {
	d := &database{byID: &index{}}
	for i := range users {
		d.add(user{id: uint32(1000 + 37*i), balance: i})
	}
	for i := 0; i < users; i += 7 {
		d.remove(i)
	}
	return d
}

// reportPanic makes a panic a failure, as which it can be rolled back.
func reportPanic(program *recovery.Program, id uint32) {
	cause := recover()
	if cause == nil {
		return
	}
	err := program.Fail(recovery.Failure{
		Code:    1,
		Message: fmt.Sprint(cause),
		Data:    fmt.Appendf(nil, "user %d", id),
	})
	log.Print(err)
	panic(cause)
}

func lookUp(program *recovery.Program, d *database, id uint32) int {
	defer reportPanic(program, id)
	return d.balance(id)
}

func main() {
	d := newDatabase()
	program, err := recovery.Attach(recovery.Options{Handlers: map[uint32]recovery.Handler{
		1: func(info recovery.Info) {
			fmt.Printf("%s ahead at %s: building the index anew\n", info.Message, info.Data)
			d.rebuildIndex()
		},
	}})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := program.Checkpoint(); err != nil {
		log.Print(err)
	}
	found, sum := 0, 0
	for i := range users {
		if d.table[i].gone {
			continue
		}
		sum += lookUp(program, d, d.table[i].id)
		found++
	}
	if err := program.Resolved(); err != nil {
		log.Print(err)
	}
	fmt.Printf("RESULT found=%d sum=%d\n", found, sum)
}
