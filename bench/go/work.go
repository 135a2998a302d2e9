// The workloads that resemble programs: a tree, a chain of filters, a pool, a pipeline.

package main

import (
	"time"
)

func skynet(leaves uint64) time.Duration {
	begun := time.Now()
	root := make(chan uint64)
	go node(root, 0, leaves)
	sum := <-root
	elapsed := time.Since(begun)
	check(sum, sumTo(leaves))
	return elapsed
}

func node(up chan<- uint64, first, leaves uint64) {
	if leaves == 1 {
		up <- first
		return
	}
	sums := make(chan uint64)
	below := leaves / skynetArity
	for i := uint64(0); i < skynetArity; i++ {
		go node(sums, first+i*below, below)
	}
	sum := uint64(0)
	for i := 0; i < skynetArity; i++ {
		sum += <-sums
	}
	up <- sum
}

func sieve(primes uint64) time.Duration {
	begun := time.Now()
	numbers := make(chan uint64)
	go func(out chan<- uint64) {
		for i := uint64(2); ; i++ {
			out <- i
		}
	}(numbers)
	prime := uint64(0)
	for i := uint64(0); i < primes; i++ {
		prime = <-numbers
		filtered := make(chan uint64)
		go func(in <-chan uint64, out chan<- uint64, prime uint64) {
			for {
				if i := <-in; i%prime != 0 {
					out <- i
				}
			}
		}(numbers, filtered, prime)
		numbers = filtered
	}
	elapsed := time.Since(begun)
	check(prime, nthPrime(primes))
	return elapsed
}

func nthPrime(n uint64) uint64 {
	count, candidate := uint64(0), uint64(1)
	for count < n {
		candidate++
		isPrime := true
		for d := uint64(2); d*d <= candidate; d++ {
			if candidate%d == 0 {
				isPrime = false
				break
			}
		}
		if isPrime {
			count++
		}
	}
	return candidate
}

//go:noinline
func xorshift(x uint64, steps int) uint64 {
	for i := 0; i < steps; i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}

func seed(i uint64) uint64 { return (i + 1) * 0x9e3779b97f4a7c15 }

// xorOf returns the exclusive or of the results of xorshift for the first n seeds. xorshift is linear over exclusive
// or, so one call computes it.
func xorOf(n uint64, steps int) uint64 {
	all := uint64(0)
	for i := uint64(0); i < n; i++ {
		all ^= seed(i)
	}
	return xorshift(all, steps)
}

func pool(jobs uint64) time.Duration {
	queue := make(chan uint64, poolCapacity)
	results := make(chan uint64, poolTasks)
	for i := 0; i < poolTasks; i++ {
		go func() {
			all := uint64(0)
			for job := range queue {
				all ^= xorshift(job, poolSteps)
			}
			results <- all
		}()
	}
	time.Sleep(idleBefore)
	begun := time.Now()
	for i := uint64(0); i < jobs; i++ {
		queue <- seed(i)
	}
	close(queue)
	all := uint64(0)
	for i := 0; i < poolTasks; i++ {
		all ^= <-results
	}
	elapsed := time.Since(begun)
	check(all, xorOf(jobs, poolSteps))
	return elapsed
}

func pipeline(items uint64) time.Duration {
	source := make(chan uint64, pipelineCapacity)
	out := source
	for i := 0; i < pipelineStages; i++ {
		after := make(chan uint64, pipelineCapacity)
		go func(in <-chan uint64, out chan<- uint64) {
			for item := range in {
				out <- xorshift(item, pipelineSteps)
			}
			close(out)
		}(out, after)
		out = after
	}
	time.Sleep(idleBefore)
	begun := time.Now()
	go func() {
		for i := uint64(0); i < items; i++ {
			source <- seed(i)
		}
		close(source)
	}()
	count, all := uint64(0), uint64(0)
	for item := range out {
		count++
		all ^= item
	}
	elapsed := time.Since(begun)
	check(count, items)
	check(all, xorOf(items, pipelineStages*pipelineSteps))
	return elapsed
}
