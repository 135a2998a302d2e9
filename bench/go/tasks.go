// The workloads for tasks: starting, yielding, sleeping, locking, and memory.

package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

func spawn(tasks uint64) time.Duration {
	var finished sync.WaitGroup
	begun := time.Now()
	finished.Add(int(tasks))
	for i := uint64(0); i < tasks; i++ {
		go finished.Done()
	}
	finished.Wait()
	return time.Since(begun)
}

func yield(yields uint64) time.Duration {
	var finished sync.WaitGroup
	begun := time.Now()
	for i := 0; i < yielders; i++ {
		finished.Add(1)
		go func() {
			defer finished.Done()
			for j := uint64(0); j < yields/yielders; j++ {
				runtime.Gosched()
			}
		}()
	}
	finished.Wait()
	return time.Since(begun)
}

func sleep(tasks uint64) time.Duration {
	var awake sync.WaitGroup
	begun := time.Now()
	awake.Add(int(tasks))
	for i := uint64(0); i < tasks; i++ {
		go func(nap time.Duration) {
			time.Sleep(nap)
			awake.Done()
		}(time.Duration(i%100) * time.Millisecond)
	}
	awake.Wait()
	elapsed := time.Since(begun)
	if elapsed < 99*time.Millisecond {
		panic(fmt.Sprintf("the last task woke too early, after %v", elapsed))
	}
	return elapsed
}

func mutex(increments uint64) time.Duration {
	var lock sync.Mutex
	var finished sync.WaitGroup
	counter := uint64(0)
	begun := time.Now()
	for i := 0; i < lockers; i++ {
		finished.Add(1)
		go func() {
			defer finished.Done()
			for j := uint64(0); j < increments/lockers; j++ {
				lock.Lock()
				counter++
				lock.Unlock()
			}
		}()
	}
	finished.Wait()
	elapsed := time.Since(begun)
	check(counter, increments)
	return elapsed
}

func idle(tasks uint64) float64 {
	nothing := make(chan uint64)
	var parking, finished sync.WaitGroup
	parking.Add(int(tasks))
	finished.Add(int(tasks))
	before := resident()
	for i := uint64(0); i < tasks; i++ {
		go func() {
			parking.Done()
			<-nothing
			finished.Done()
		}()
	}
	parking.Wait()
	time.Sleep(settle)
	after := resident()
	close(nothing)
	finished.Wait()
	return after - before
}

// resident returns the resident bytes of this process and of its page tables.
func resident() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	kib := 0.0
	for _, line := range strings.Split(string(status), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 3 && (fields[0] == "VmRSS:" || fields[0] == "VmPTE:") {
			value, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				panic(err)
			}
			kib += value
		}
	}
	return kib * 1024
}
