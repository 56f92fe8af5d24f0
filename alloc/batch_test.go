package alloc

import "testing"

// TestBatchClears fills blocks of every class with rubbish, and takes them again as
// a batch: cleared up to the capacity, or as they are.
func TestBatchClears(t *testing.T) {
	a := open(t, Options{})
	for _, n := range sizes() {
		if n < 2 || n > 20<<10 {
			continue
		}
		blocks := make([][]byte, 5)
		for round := range 2 {
			var got int
			var err error
			if round == 0 {
				got, err = a.AllocBatchUninit(blocks, n)
			} else {
				got, err = a.AllocBatch(blocks, n)
			}
			if got != len(blocks) || err != nil {
				t.Fatalf("%d bytes: %d blocks, %v", n, got, err)
			}
			for _, b := range blocks {
				if len(b) != n || cap(b) != a.UsableSize(b) {
					t.Fatalf("%d bytes: length %d, capacity %d, usable %d", n, len(b), cap(b), a.UsableSize(b))
				}
				if i := firstOther(b[:cap(b)], 0); round > 0 && i >= 0 {
					t.Fatalf("%d bytes: byte %d of %d is not zero", n, i, cap(b))
				}
				fill(b[:cap(b)], 0xdd)
			}
			a.FreeBatch(blocks)
		}
	}
	checkQuiet(t, a, 0)
}

// TestFreeBatchOverflows frees more than the magazine and the transfer cache take:
// each block once, and none is lost.
func TestFreeBatchOverflows(t *testing.T) {
	const n = 2000
	a := open(t, Options{Limit: 32 << 20})
	blocks := make([][]byte, 5000)
	for range 3 {
		if got, err := a.AllocBatchUninit(blocks, n); got != len(blocks) || err != nil {
			t.Fatalf("%d blocks, %v", got, err)
		}
		once := make(map[uintptr]bool, len(blocks))
		for _, b := range blocks {
			if once[addressOf(b)] {
				t.Fatalf("block %#x is handed out twice", addressOf(b))
			}
			once[addressOf(b)] = true
		}
		a.FreeBatch(blocks)
		checkQuiet(t, a, 0)
	}
}

// TestFreeBatchMixed frees what one section cannot: cut and short slices, blocks of
// other classes, large ones, nil, and one that is not the allocator's.
func TestFreeBatchMixed(t *testing.T) {
	a := open(t, Options{})
	alloc := func(n int) []byte { return must(t)(a.AllocUninit(n)) }
	cut := alloc(1000)
	a.FreeBatch([][]byte{
		alloc(100), alloc(100), alloc(1000), alloc(100)[:0], alloc(100), nil,
		cut[:10:10], alloc(300_000), alloc(1000), alloc(1000)[:3], {},
	})
	checkQuiet(t, a, 0)
	// A batch stops at what is no block, and what comes before it is free.
	b, c, foreign := alloc(100), alloc(100), make([]byte, GoodSize(100))
	if _, ok := panicOf(func() { a.FreeBatch([][]byte{b, c, foreign, alloc(100)}) }).(*MisuseError); !ok {
		t.Error("foreign memory is freed")
	}
	checkQuiet(t, a, GoodSize(100))
	// A block twice, one behind the other, at each place of the batch.
	for at := range 4 {
		var blocks [][]byte
		for i := range 4 {
			blocks = append(blocks, alloc(500))
			if i == at {
				blocks = append(blocks, blocks[i])
			}
		}
		if _, ok := panicOf(func() { a.FreeBatch(blocks) }).(*MisuseError); !ok {
			t.Errorf("block %d is freed twice", at)
		}
	}
	// The same capacity does not make it the start of a block.
	big := alloc(2 * GoodSize(500))
	inside := big[8 : 8+GoodSize(500) : 8+GoodSize(500)]
	if _, ok := panicOf(func() { a.FreeBatch([][]byte{alloc(500), inside}) }).(*MisuseError); !ok {
		t.Error("the middle of a block is freed")
	}
	start := big[:GoodSize(500):GoodSize(500)]
	a.FreeBatch([][]byte{alloc(500), start}) // cut: the whole block
	if err := a.heap.CheckInvariants(); err != nil {
		t.Error(err)
	}
}
