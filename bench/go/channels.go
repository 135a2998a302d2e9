// The workloads for channels.

package main

import (
	"sync"
	"time"
)

func pairs(count, trips uint64) time.Duration {
	begun := time.Now()
	seen := make(chan uint64, count)
	for i := uint64(0); i < count; i++ {
		there, back := make(chan uint64), make(chan uint64)
		go func() {
			for j := uint64(0); j < trips/count; j++ {
				there <- j
				check(<-back, j+1)
			}
			close(there)
		}()
		go func() {
			arrived := uint64(0)
			for j := range there {
				arrived++
				back <- j + 1
			}
			seen <- arrived
		}()
	}
	all := uint64(0)
	for i := uint64(0); i < count; i++ {
		all += <-seen
	}
	elapsed := time.Since(begun)
	check(all, trips)
	return elapsed
}

func ring(hops uint64) time.Duration {
	first := make(chan uint64)
	done := make(chan uint64, 1)
	mine := first
	for i := uint64(0); i < ringTasks; i++ {
		next := first
		if i+1 < ringTasks {
			next = make(chan uint64)
		}
		go func(i uint64, mine, next chan uint64) {
			for left := range mine {
				if left == 0 {
					done <- i
					break
				}
				next <- left - 1
			}
		}(i, mine, next)
		mine = next
	}
	begun := time.Now()
	first <- hops
	winner := <-done
	elapsed := time.Since(begun)
	check(winner, hops%ringTasks)
	return elapsed
}

func stream(senders, receivers, messages uint64) time.Duration {
	begun := time.Now()
	words := make(chan uint64, streamCapacity)
	share := messages / senders
	var sent sync.WaitGroup
	for i := uint64(0); i < senders; i++ {
		sent.Add(1)
		go func(i uint64) {
			defer sent.Done()
			for word := i * share; word < (i+1)*share; word++ {
				words <- word
			}
		}(i)
	}
	sums := make(chan uint64, receivers)
	for i := uint64(0); i < receivers; i++ {
		go func() {
			sum := uint64(0)
			for word := range words {
				sum += word
			}
			sums <- sum
		}()
	}
	sent.Wait()
	close(words)
	all := uint64(0)
	for i := uint64(0); i < receivers; i++ {
		all += <-sums
	}
	elapsed := time.Since(begun)
	check(all, sumTo(messages))
	return elapsed
}

func selecting(messages uint64) time.Duration {
	begun := time.Now()
	var channels [4]chan uint64
	share := messages / 4
	for i := range channels {
		channels[i] = make(chan uint64, selectCapacity)
		go func(i uint64, words chan<- uint64) {
			for word := i * share; word < (i+1)*share; word++ {
				words <- word
			}
		}(uint64(i), channels[i])
	}
	done := make(chan uint64)
	go func() {
		a, b, c, d := channels[0], channels[1], channels[2], channels[3]
		sum := uint64(0)
		for i := uint64(0); i < messages; i++ {
			select {
			case word := <-a:
				sum += word
			case word := <-b:
				sum += word
			case word := <-c:
				sum += word
			case word := <-d:
				sum += word
			}
		}
		done <- sum
	}()
	sum := <-done
	elapsed := time.Since(begun)
	check(sum, sumTo(messages))
	return elapsed
}
