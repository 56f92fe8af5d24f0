package vcpu

import "testing"

func TestParseCPUList(t *testing.T) {
	for _, row := range []struct {
		list  string
		count int
		ok    bool
	}{
		{"0\n", 1, true},
		{"0-1\n", 2, true},
		{"0-3,8-11\n", 12, true},
		{"8-11,0-3", 12, true},
		{"0,2,4", 5, true},
		{"3", 4, true},
		{"0-1023", 1024, true},
		{"", 0, false},
		{"\n", 0, false},
		{"0-", 0, false},
		{"0-3,", 0, false},
		{"a-b", 0, false},
		{"0-3 8", 0, false},
		{"0--1", 0, false},
		{"0-3,0--1", 0, false},
	} {
		if count, ok := parseCPUList(row.list); count != row.count || ok != row.ok {
			t.Errorf("%q: %d, %v; want %d, %v", row.list, count, ok, row.count, row.ok)
		}
	}
}
