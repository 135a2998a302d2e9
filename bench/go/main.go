// The workloads on Go.
//
//	kahn-bench-go WORKLOAD ROUNDS SIZE
//
// For each round the program prints "WORKLOAD total". The total is in nanoseconds, or in bytes for idle. GOMAXPROCS
// sets the number of workers. For a workload of servers it prints a port and serves. The constants are those of ../src/workloads.rs, and kahn-bench passes the size.
//
// Exit code: 0; 2 for a bad argument, or if a result is wrong, which panics.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

const (
	yielders         = 4
	pairCount        = 64
	ringTasks        = 503
	streamCapacity   = 128
	selectCapacity   = 16
	skynetArity      = 10
	poolTasks        = 8
	poolSteps        = 20_000
	poolCapacity     = 8
	pipelineStages   = 3
	pipelineSteps    = 800
	pipelineCapacity = 16
	lockers          = 8
	idleBefore       = 10 * time.Millisecond
	settle           = 200 * time.Millisecond
)

var workloads = map[string]func(n uint64) float64{
	"spawn":    timed(spawn),
	"yield":    timed(yield),
	"pingpong": timed(func(n uint64) time.Duration { return pairs(1, n) }),
	"pairs":    timed(func(n uint64) time.Duration { return pairs(pairCount, n) }),
	"ring":     timed(ring),
	"spsc":     timed(func(n uint64) time.Duration { return stream(1, 1, n) }),
	"mpsc":     timed(func(n uint64) time.Duration { return stream(8, 1, n) }),
	"mpmc":     timed(func(n uint64) time.Duration { return stream(4, 4, n) }),
	"select":   timed(selecting),
	"skynet":   timed(skynet),
	"sieve":    timed(sieve),
	"pool":     timed(pool),
	"pipeline": timed(pipeline),
	"sleep":    timed(sleep),
	"mutex":    timed(mutex),
	"idle":     idle,
}

func main() {
	if len(os.Args) != 4 {
		fail("usage: kahn-bench-go WORKLOAD ROUNDS SIZE")
	}
	if server, known := servers[os.Args[1]]; known {
		serve(server)
	}
	workload, known := workloads[os.Args[1]]
	if !known {
		fail("unknown workload " + os.Args[1])
	}
	rounds, err := strconv.Atoi(os.Args[2])
	if err != nil || rounds < 1 {
		fail("not a number of rounds: " + os.Args[2])
	}
	size, err := strconv.ParseUint(os.Args[3], 10, 64)
	if err != nil || size < 1 {
		fail("not a size: " + os.Args[3])
	}
	for ; rounds > 0; rounds-- {
		fmt.Printf("%s %.0f\n", os.Args[1], workload(size))
	}
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(2)
}

func timed(f func(uint64) time.Duration) func(uint64) float64 {
	return func(n uint64) float64 { return float64(f(n).Nanoseconds()) }
}

func check[T comparable](got, want T) {
	if got != want {
		panic(fmt.Sprintf("wrong result: %v, expected %v", got, want))
	}
}

func sumTo(n uint64) uint64 { return n * (n - 1) / 2 }
