#!/usr/bin/env bash
# check.sh [OBJECTS]: checks the model of ../drain.md, and that every way in which
# it is broken on purpose is noticed. With one object (the default) in about half
# a minute, with two in several. The exit status is 1 if a row comes out otherwise.
set -euo pipefail
objects=${1:-1}
model=$(cd "$(dirname "$0")" && pwd)/drain.pml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What must come out | its name | the names that are defined.
rows='
holds | sections, with a fence          |
holds | ... emptied for good            | SHUT
holds | a thread on the slab of its P   | FALLBACK
holds | no fence: the world is stopped  | NO_MEMBARRIER
holds | the kernel loses an abort       | LOSSY
holds | ... a thread on its own slab    | LOSSY FALLBACK
fails | no fence                        | NO_FENCE
fails | the fence aborts nobody         | NO_ABORT
fails | ... is no barrier for the caller| NO_BARRIER_OF_CALLER
fails | ... is no barrier for others    | NO_BARRIER_OF_OTHERS
fails | one call, its abort lost        | LOSSY ONE_CALL
fails | ... a second behind emptying    | LOSSY SECOND_CALL_LATE
fails | ... the second one lost as well | LOSSY LOSES_BOTH
fails | preemption aborts nobody        | NO_ABORT_OF_PREEMPTED
fails | no START                        | NO_START
fails | id read before START            | ID_BEFORE_START
fails | count read before START         | COUNT_BEFORE_START
fails | slab read before the count      | EARLY_LOADS
fails | ... on the slab of a P          | EARLY_LOADS FALLBACK
fails | ... where the world is stopped  | EARLY_LOADS NO_MEMBARRIER
fails | count restored before emptying  | COUNT_BACK_BEFORE_EMPTY
fails | fallbacks not looked at         | FALLBACK FALLBACKS_IGNORED
fails | ... looked at before the fence  | FALLBACK FALLBACKS_FIRST
fails | ... counted after the section   | FALLBACK COUNTED_LATE
fails | ... not counted while it works  | FALLBACK COUNTED_DOWN_EARLY
'

status=0
printf '%-34s %-7s %10s\n' "model, $objects object(s)" "must" "states"
while IFS='|' read -r want name defines; do
	want=${want// /}
	[ -n "$want" ] || continue
	flags="-DOBJECTS=$objects"
	for define in $defines; do flags="$flags -D$define"; done
	cd "$work"
	# shellcheck disable=SC2086
	spin -a $flags "$model" >spin.log 2>&1 || { cat spin.log; exit 1; }
	cc -O1 -w -DSAFETY -DVECTORSZ=2048 -DCOLLAPSE -DNOFAIR -o pan pan.c
	./pan -m10000000 >pan.log 2>&1 || true
	states=$(awk '/states, stored/ {print $1}' pan.log)
	if grep -q 'max search depth too small' pan.log || ! grep -q 'errors: [01]' pan.log; then
		got="incomplete"
	elif grep -q 'errors: 0' pan.log; then
		got="holds"
	elif grep -q 'assertion violated' pan.log; then
		got="fails"
	else
		got="stuck" # an end that is none
	fi
	printf '%-34s %-7s %10s  %s\n' "$name" "$want" "$states" "$got"
	if [ "$got" != "$want" ]; then
		status=1
		tail -20 pan.log
	fi
done <<<"$rows"
exit $status
