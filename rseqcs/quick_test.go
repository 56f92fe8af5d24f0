package rseqcs
import ("testing";"unsafe";"sync")
func BenchmarkPair(b *testing.B){
 s,err:=NewStack("bench",[]Capacity{{10,20},{100,1000}})
 if err!=nil{b.Fatal(err)}
 x:=new([64]byte)
 s.Push(1,unsafe.Pointer(x))
 b.ResetTimer()
 for b.Loop(){
  p:=s.TryPop(1)
  if p==nil {b.Fatal()}
  if s.TryPush(1,p)!=Pushed {b.Fatal()}
 }
}
func BenchmarkCounter(b *testing.B){
 var c Counter
 for b.Loop(){ c.Add(1)}
}
func BenchmarkPool(b *testing.B){
 p:=sync.Pool{New:func()any{return new([64]byte)}}
 p.Put(p.Get())
 for b.Loop(){ p.Put(p.Get())}
}
