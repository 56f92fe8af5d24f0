// Command sample has one place for each operator, and prints what every part of it
// does. TestMutantsDiffer breaks it in all ways, and each must show.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

const share = 8

type pair struct {
	first, second int
	on            bool
}

type counter struct{ n int }

func (c *counter) add(n int)      { c.n += n }
func (c *counter) String() string { return fmt.Sprint(c.n + 1) }

var errOdd = errors.New("odd")

func half(n int) (int, error) {
	if n%2 != 0 {
		return 0, errOdd
	}
	return n / 2, nil
}

func passOn(n int) (int, error) { return half(n) }

func isBetween(n, low, high int) bool { return n >= low && n < high }

func isOutside(n, low, high int) bool { return n < low || n > high }

func kind(n int) string {
	switch n {
	case 1, 2:
		return "few"
	case 3:
		return "three"
	default:
		return "many"
	}
}

func weigh(n int) (weight int) {
	switch {
	case n > 4:
		weight += n
	case n > 2:
		weight--
	}
	select {
	default:
		weight += 3
	}
	return weight
}

func clamp(n, low, high int) int { return max(low, min(n, high)) }

func sum(list []int) (total int) {
	for i := 0; i < len(list); i++ {
		if list[i] < 3 {
			continue
		}
		if list[i] == 99 {
			break
		}
		total += list[i]
	}
	return total
}

func join(list []string) string {
	var b strings.Builder
	for _, s := range list {
		b.WriteString(s)
	}
	return b.String()
}

func bits(n uint32, shift int) []uint32 {
	return []uint32{n << shift, n >> shift, n & 6, n | 6, n ^ 6, n &^ 6, ^n}
}

func more(list []int, x int) []int { return append(list, x) }

func difference(a, b int) int { return -(a - b) }

func deferred() (log []string) {
	func() {
		defer func() { log = append(log, "deferred") }()
		log = append(log, "first")
	}()
	done := make(chan int)
	go func() { done <- 2 }()
	return append(log, fmt.Sprint(<-done))
}

func rounds(limit int) (n int) {
	for {
		n++
		if n*share > limit {
			return n
		}
	}
}

func generic[T ~int | ~uint8](n T) T { return n*2 + 3 }

// main prints each result. It has no mutants that matter: what it prints is text.
func main() {
	for n := range 7 {
		h, err := half(n)
		p, perr := passOn(n)
		fmt.Fprintln(os.Stdout, n, h, err, p, perr, isBetween(n, 2, 4), isOutside(n, 2, 4), kind(n), weigh(n), clamp(n, 2, 4), difference(n, 2))
	}
	c := counter{n: 1}
	c.add(4)
	fmt.Println(c.n, pair{first: c.n, second: 2, on: true})
	fmt.Println(sum([]int{2, 3, 4, 99, 7}), sum([]int{5}), join([]string{"a", "b", "c"}))
	fmt.Println(bits(0b10011, 2), bits(8, 1), more([]int{1}, 2), deferred())
	fmt.Println(rounds(7), rounds(8), rounds(40), generic(5), generic(uint8(4)))
}
