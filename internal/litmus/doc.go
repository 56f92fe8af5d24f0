// Package litmus is a test only: it checks the litmus tests of docs/model/litmus, which
// hold what docs/memory-order.md says of the order of memory accesses.
//
// A file is one that herd7 reads, with fields of its own behind the comment:
//
//	Verdict=Never             what must come out: Never or Sometimes
//	Breaks=NAME               the test of which this one leaves something out
//	Section-P1=pop count current=; push count
//	                          thread P1 makes, besides others, the accesses of each of these
//	                          sections to these locations; = is a store
//
// The tests are that
//
//   - each verdict comes out of the model in this package, and of herd7 where it is
//     installed;
//   - each test that must be Never has a broken one that is Sometimes, or says in
//     notBroken why not;
//   - the accesses of each section, read from its disassembly, have the order and at least
//     the dependencies and releases that a litmus test gives them.
//
// The model (model_test.go) has the part of Armv8's and of x86's memory model that these
// tests need: no instruction fetches, page tables, or accesses of mixed sizes. It follows
// aarch64.cat and x86tso.cat of herdtools7.
package litmus
