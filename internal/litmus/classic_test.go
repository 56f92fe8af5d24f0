package litmus

import (
	"fmt"
	"strings"
	"testing"
)

// classics are tests whose verdicts are known from the papers on both memory models and
// from herd7, as rows of a register of locations, the threads, the condition and the
// verdict. X1 holds the address of x, X2 that of y.
var classics = []struct {
	name, arch, threads, exists, verdict string
}{
	{"MP", "AArch64", "MOV W0,#1; STR W0,[X1]; STR W0,[X2] | LDR W3,[X2]; LDR W4,[X1]", "1:X3=1 /\\ 1:X4=0", "Sometimes"},
	{"MP+dmb.st+dmb.ld", "AArch64", "MOV W0,#1; STR W0,[X1]; DMB ISHST; STR W0,[X2] | LDR W3,[X2]; DMB ISHLD; LDR W4,[X1]", "1:X3=1 /\\ 1:X4=0", "Never"},
	{"MP+dmb.ld+dmb.ld", "AArch64", "MOV W0,#1; STR W0,[X1]; DMB ISHLD; STR W0,[X2] | LDR W3,[X2]; DMB ISHLD; LDR W4,[X1]", "1:X3=1 /\\ 1:X4=0", "Sometimes"},
	{"MP+dmb.st+dmb.st", "AArch64", "MOV W0,#1; STR W0,[X1]; DMB ISHST; STR W0,[X2] | LDR W3,[X2]; DMB ISHST; LDR W4,[X1]", "1:X3=1 /\\ 1:X4=0", "Sometimes"},
	{"MP+dmb+ctrl", "AArch64", "MOV W0,#1; STR W0,[X1]; DMB ISH; STR W0,[X2] | LDR W3,[X2]; CBZ W3,L0; L0:; LDR W4,[X1]", "1:X3=1 /\\ 1:X4=0", "Sometimes"},
	{"MP+dmb+addr", "AArch64", "MOV W0,#1; STR W0,[X1]; DMB ISH; STR W0,[X2] | LDR W3,[X2]; EOR X5,X3,X3; ADD X6,X1,X5; LDR W4,[X6]", "1:X3=1 /\\ 1:X4=0", "Never"},
	{"MP+rel+acq", "AArch64", "MOV W0,#1; STR W0,[X1]; STLR W0,[X2] | LDAR W3,[X2]; LDR W4,[X1]", "1:X3=1 /\\ 1:X4=0", "Never"},
	{"MP+acq-of-store", "AArch64", "MOV W0,#1; STLR W0,[X1]; STR W0,[X2] | LDAR W3,[X2]; LDR W4,[X1]", "1:X3=1 /\\ 1:X4=0", "Sometimes"},
	{"SB", "AArch64", "MOV W0,#1; STR W0,[X1]; LDR W3,[X2] | MOV W0,#1; STR W0,[X2]; LDR W3,[X1]", "0:X3=0 /\\ 1:X3=0", "Sometimes"},
	{"SB+dmbs", "AArch64", "MOV W0,#1; STR W0,[X1]; DMB ISH; LDR W3,[X2] | MOV W0,#1; STR W0,[X2]; DMB ISH; LDR W3,[X1]", "0:X3=0 /\\ 1:X3=0", "Never"},
	{"SB+rel-acqs", "AArch64", "MOV W0,#1; STLR W0,[X1]; LDAR W3,[X2] | MOV W0,#1; STLR W0,[X2]; LDAR W3,[X1]", "0:X3=0 /\\ 1:X3=0", "Never"},
	{"SB+rel-plain", "AArch64", "MOV W0,#1; STLR W0,[X1]; LDR W3,[X2] | MOV W0,#1; STLR W0,[X2]; LDR W3,[X1]", "0:X3=0 /\\ 1:X3=0", "Sometimes"},
	{"SB+amos", "AArch64", "MOV W0,#1; LDADDAL W0,W5,[X1]; LDR W3,[X2] | MOV W0,#1; LDADDAL W0,W5,[X2]; LDR W3,[X1]", "0:X3=0 /\\ 1:X3=0", "Never"},
	{"LB", "AArch64", "LDR W3,[X1]; MOV W0,#1; STR W0,[X2] | LDR W3,[X2]; MOV W0,#1; STR W0,[X1]", "0:X3=1 /\\ 1:X3=1", "Sometimes"},
	{"LB+ctrls", "AArch64", "LDR W3,[X1]; CBZ W3,L0; L0:; MOV W0,#1; STR W0,[X2] | LDR W3,[X2]; CBZ W3,L0; L0:; MOV W0,#1; STR W0,[X1]", "0:X3=1 /\\ 1:X3=1", "Never"},
	{"LB+rels", "AArch64", "LDR W3,[X1]; MOV W0,#1; STLR W0,[X2] | LDR W3,[X2]; MOV W0,#1; STLR W0,[X1]", "0:X3=1 /\\ 1:X3=1", "Never"},
	{"2+2W", "AArch64", "MOV W0,#1; STR W0,[X1]; MOV W0,#2; STR W0,[X2] | MOV W0,#1; STR W0,[X2]; MOV W0,#2; STR W0,[X1]", "x=1 /\\ y=1", "Sometimes"},
	{"2+2W+dmb.sts", "AArch64", "MOV W0,#1; STR W0,[X1]; DMB ISHST; MOV W0,#2; STR W0,[X2] | MOV W0,#1; STR W0,[X2]; DMB ISHST; MOV W0,#2; STR W0,[X1]", "x=1 /\\ y=1", "Never"},
	{"CoRR", "AArch64", "MOV W0,#1; STR W0,[X1] | LDR W3,[X1]; LDR W4,[X1]", "1:X3=1 /\\ 1:X4=0", "Never"},
	{"CoWR", "AArch64", "MOV W0,#1; STR W0,[X1]; LDR W3,[X1] | MOV W0,#2; STR W0,[X1]", "0:X3=2 /\\ x=1", "Never"},
	{"S+rel+data", "AArch64", "MOV W0,#2; STR W0,[X1]; MOV W5,#1; STLR W5,[X2] | LDR W3,[X2]; EOR X4,X3,X3; ADD X4,X4,#1; STR W4,[X1]", "1:X3=1 /\\ x=2", "Never"},
	{"two exclusives", "AArch64", "LDXR W3,[X1]; ADD W4,W3,#1; STXR W5,W4,[X1] | LDXR W3,[X1]; ADD W4,W3,#1; STXR W5,W4,[X1]", "0:X5=0 /\\ 1:X5=0 /\\ x=1", "Never"},
	{"three threads, WRC+addrs", "AArch64", "MOV W0,#1; STR W0,[X1] | LDR W3,[X1]; EOR X4,X3,X3; ADD X5,X2,X4; MOV W6,#1; STR W6,[X5] | LDR W3,[X2]; EOR X4,X3,X3; ADD X5,X1,X4; LDR W6,[X5]", "1:X3=1 /\\ 2:X3=1 /\\ 2:X6=0", "Never"},
	{"x86 SB", "X86", "MOV [x],$1; MOV EAX,[y] | MOV [y],$1; MOV EAX,[x]", "0:EAX=0 /\\ 1:EAX=0", "Sometimes"},
	{"x86 SB+mfences", "X86", "MOV [x],$1; MFENCE; MOV EAX,[y] | MOV [y],$1; MFENCE; MOV EAX,[x]", "0:EAX=0 /\\ 1:EAX=0", "Never"},
	{"x86 SB+mfence", "X86", "MOV [x],$1; MFENCE; MOV EAX,[y] | MOV [y],$1; MOV EAX,[x]", "0:EAX=0 /\\ 1:EAX=0", "Sometimes"},
	{"x86 SB, own stores first", "X86", "MOV [x],$1; MOV EAX,[x]; MOV EBX,[y] | MOV [y],$1; MOV EAX,[y]; MOV EBX,[x]", "0:EAX=1 /\\ 0:EBX=0 /\\ 1:EAX=1 /\\ 1:EBX=0", "Sometimes"},
	{"x86 MP", "X86", "MOV [x],$1; MOV [y],$1 | MOV EAX,[y]; MOV EBX,[x]", "1:EAX=1 /\\ 1:EBX=0", "Never"},
	{"x86 LB", "X86", "MOV EAX,[x]; MOV [y],$1 | MOV EAX,[y]; MOV [x],$1", "0:EAX=1 /\\ 1:EAX=1", "Never"},
	{"x86 2+2W", "X86", "MOV [x],$1; MOV [y],$2 | MOV [y],$1; MOV [x],$2", "x=1 /\\ y=1", "Never"},
	{"x86 two exchanges", "X86", "MOV EAX,$1; XCHG [x],EAX | MOV EAX,$1; XCHG [x],EAX", "0:EAX=0 /\\ 1:EAX=0", "Never"},
}

// TestModelKnowsTheClassics checks the model, which else could call everything Never.
func TestModelKnowsTheClassics(t *testing.T) {
	for _, c := range classics {
		threads := strings.Split(c.threads, "|")
		init, columns, longest := "x=0; y=0;", [][]string{}, 0
		for i, thread := range threads {
			if c.arch == "AArch64" {
				init += fmt.Sprintf(" %d:X1=x; %d:X2=y;", i, i)
			}
			columns = append(columns, strings.Split(thread, ";"))
			longest = max(longest, len(columns[i]))
		}
		rows := strings.Repeat("P |", len(threads)-1) + "P ;\n"
		for row := range longest {
			var cells []string
			for _, column := range columns {
				cells = append(cells, append(column, make([]string, longest)...)[row])
			}
			rows += strings.Join(cells, "|") + ";\n"
		}
		l, err := parse(c.arch + " classic\n{ " + init + " }\n" + rows + "exists (" + c.exists + ")")
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		can, _, err := l.happens()
		if got := map[bool]string{true: "Sometimes", false: "Never"}[can]; err != nil || got != c.verdict {
			t.Errorf("%s: %s, want %s; %v", c.name, got, c.verdict, err)
		}
	}
}
